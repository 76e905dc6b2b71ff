"""What the book of preemptions keeps at hand instead of looking through all it knows, compared with a look at all of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.scheduler.preemption.claims import Claims, End
from pykueue.core.scheduler.preemption.loops import REPEATS_MIN, WINDOW_US, PreemptionHistory
from pykueue.core.workload.info import Info
from support.world import SECOND, START, World

NAMES = [f"w{n}" for n in range(6)]
steps = st.lists(
    st.tuples(
        st.sampled_from(("make", "left", "end", "due")), st.sampled_from(NAMES[:3]), st.lists(st.sampled_from(NAMES[3:]), max_size=3),
        st.integers(0, 200),
    ),
    max_size=40,
)  # fmt: skip


def slow_next(claims: Claims) -> Instant | None:
    """The least of all times."""
    return min([c.until for c in claims] + [by for _, by in claims._leaving.values()], default=None)


@settings(max_examples=150)
@given(steps)
def test_the_next_time_is_the_least_of_all(played: list[tuple[str, str, list[str], int]]) -> None:
    """After every step; and what is due is whoever's time is up then, the oldest claim first."""
    infos = held_infos()
    claims, now = Claims(), START
    for act, preemptor, victims, seconds in played:
        now = Instant(now + seconds * SECOND)
        key = ObjectKey("ns", preemptor)
        if act == "make":
            claims.make(infos[preemptor], {}, (), [infos[name] for name in victims], now)
        elif act == "left":
            for name in victims:
                claims.left(ObjectKey("ns", name))
        elif act == "end":
            claims.end(key, End.CHANGED)
        else:
            want = [claim for claim in claims if claim.until <= now]
            left = {victim for victim, (_, by) in claims._leaving.items() if by > now}
            assert claims.due(now) == want
            assert set(claims.leaving) == left
            for claim in want:
                claims.end(claim.info.key, End.OVERDUE)
        assert claims.next_due() == slow_next(claims)


def held_infos() -> dict[str, Info]:
    """Six Workloads that hold quota."""
    world = World()
    world.queue("q", "default:100")
    for name in NAMES:
        world.workload(name, "q", "1", at="default")
    return {name: world.engine._cache.workloads[ObjectKey("ns", name)] for name in NAMES}


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(("evict", "forget", "expire")), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 3000)),
        max_size=40,
    )
)  # fmt: skip
def test_a_history_knows_whether_some_pair_repeated_itself(played: list[tuple[str, str, str, int]]) -> None:
    """It says when its oldest pair is forgotten exactly while some pair was seen twice, whatever was forgotten meanwhile."""
    history, now = PreemptionHistory(), START
    for act, one, other, seconds in played:
        now = Instant(now + seconds * SECOND)
        if act == "evict":
            history.evicted(ObjectKey("ns", one), ObjectKey("ns", other), now)
        elif act == "forget":
            history.forget(ObjectKey("ns", one))
        else:
            history.expire(now)
        pairs = list(history._pairs.values())
        want = pairs[0].last + WINDOW_US if any(pair.count >= REPEATS_MIN for pair in pairs) else None
        assert history.next_end() == want
