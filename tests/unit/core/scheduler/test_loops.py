"""What counts as a loop of preemptions, and when it is forgotten."""

from __future__ import annotations

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.scheduler.preemption.loops import PAIRS_MAX, WINDOW_US, PreemptionHistory

NOW = Instant(1_700_000_000_000_000)


def key(name: str) -> ObjectKey:
    return ObjectKey("ns", name)


def evictions(history: PreemptionHistory, *pairs: str, now: Instant = NOW) -> list[tuple[int, str]]:
    """Play evictions, preemptor and victim as two letters; the loops with their circles."""
    loops = [history.evicted(key(one), key(other), now) for one, other in pairs]
    return [(loop.count, "".join(k.name for k in loop.circle)) for loop in loops if loop is not None]


def test_the_second_time_in_vain_is_a_loop() -> None:
    """A victim that is evicted again by one that was not admitted meanwhile."""
    assert evictions(PreemptionHistory(), "pv", "pw", "pv", "pv") == [(2, ""), (3, "")]


def test_an_admission_is_progress() -> None:
    """Whoever was admitted in between may evict the same victim again."""
    history = PreemptionHistory()
    for _ in range(5):
        assert evictions(history, "pv") == []
        history.admitted(key("p"))


def test_circles_are_loops_whoever_is_admitted() -> None:
    """Two, or three, that preempt each other; once round is not a loop yet."""
    for pairs, circles in ((("ab", "ba"), ["ba", "ab"]), (("ab", "bc", "ca"), ["bca", "cab", "abc"])):
        history, found = PreemptionHistory(), []
        for pair in pairs * 2:
            found += evictions(history, pair)
            history.admitted(key(pair[0]))
        assert found == [(2, circle) for circle in circles]


def test_loops_are_told_ever_more_rarely() -> None:
    """The second time, the fourth, the eighth: events stay few however long it goes on."""
    history = PreemptionHistory()
    loops = [history.evicted(key("p"), key("v"), NOW) for _ in range(100)]
    assert [loop.count for loop in loops if loop is not None and loop.is_told] == [2, 4, 8, 16, 32, 64]


def test_quiet_pairs_are_forgotten() -> None:
    """What is more than an hour apart has nothing to do with each other; who was in a loop may be tried again."""
    history = PreemptionHistory()
    evictions(history, "pv", "pv", "qw")
    assert history.in_loop_with(key("p")) == [key("v")]
    assert history.next_end() == NOW + WINDOW_US
    assert history.expire(Instant(NOW + WINDOW_US)) == [key("p")]
    assert history.in_loop_with(key("p")) == []
    assert evictions(history, "pv", now=Instant(NOW + WINDOW_US)) == []


def test_who_changes_begins_anew() -> None:
    """A Workload that ended, or asks for something else, is in no loop any more, on either side."""
    history = PreemptionHistory()
    evictions(history, "ab", "ab", "ca", "ca")
    history.forget(key("a"))
    assert key("a") not in history
    assert key("c") not in history
    assert evictions(history, "ab", "ca") == []


def test_memory_is_bounded() -> None:
    """Beyond the limit, the pair that was quiet for the longest goes."""
    history = PreemptionHistory()
    evictions(history, "pv")
    for n in range(PAIRS_MAX - 1):
        history.evicted(key("p"), key(f"v{n}"), NOW)
    assert evictions(history, "pv") == [(2, "")]
    history.evicted(key("p"), key("one more"), NOW)
    assert history.evicted(key("p"), key("v0"), NOW) is None
    assert evictions(history, "pv") == [(3, "")]
