"""What an explanation promises is what the engine does, and to ask changes nothing.

The twin is the engine itself in another world: with the remedy carried out there, a run to the end must admit the Workload; with less than the
remedy it must not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.core.explain.facts import AddQuota, FewerPods, StopWorkloads, WorkloadExplanation
from pykueue.core.features import Features
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.preemption.classical import _collect_others
from pykueue.core.scheduler.preemption.fair_sharing import FINAL_SHARE, _collect
from pykueue.core.scheduler.preemption.policy import Preemptor
from pykueue.core.workload.info import Info
from support.world import World


@dataclass(frozen=True)
class Queue:
    """A ClusterQueue of one cohort: quotas of two flavors, what is held of them, who waits (pods × cpu, priority)."""

    nominal: tuple[int, int]
    limits: tuple[int | None, int | None]
    held: tuple[tuple[str, int, int], ...]
    waiting: tuple[tuple[int, int, int], ...]
    strict: bool


def queues(n_waiting: int, n_held: int = 3) -> st.SearchStrategy[Queue]:
    small = st.integers(0, 4)
    return st.builds(
        Queue,
        nominal=st.tuples(small, small),
        limits=st.tuples(st.none() | small, st.none() | small),
        held=st.lists(st.tuples(st.sampled_from("fg"), st.integers(1, 3), small), max_size=n_held).map(tuple),
        waiting=st.lists(
            st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)),
            min_size=min(1, n_waiting),
            max_size=n_waiting,
        ).map(tuple),
        strict=st.booleans(),
    )


# Only the first queue has waiting Workloads: an explanation does not foresee what other queues of the cohort do meanwhile.
worlds = st.tuples(queues(3), queues(0), queues(0, 1))


def build(drawing: tuple[Queue, ...], gone: frozenset[str] = frozenset(), **policies: str) -> World:
    """The world of a drawing; with a cohort between the last queue and the root, where its name is asked for."""
    world = World()
    world.cohort("root", "f:1→g:0")
    above = policies.pop("above", "root")
    if above != "root":
        world.cohort(above, "f:1→g:0", "root")
    for n, queue in enumerate(drawing):
        borrowing, lending = queue.limits
        limits = (f" BL{borrowing}" if borrowing is not None else "") + (f" LL{lending}" if lending is not None else "")
        quotas = "→".join(f"{flavor}:{nominal}{limits}" for flavor, nominal in zip("fg", queue.nominal, strict=True))
        world.queue(f"q{n}", quotas, "root" if n < 2 else above, strict=queue.strict, **policies)
        for i, (flavor, cpu, priority) in enumerate(queue.held):
            if f"ns/q{n}-held-{i}" not in gone:
                world.workload(f"q{n}-held-{i}", f"q{n}", str(cpu), priority, at=flavor)
        for i, (count, cpu, priority) in enumerate(queue.waiting):
            world.workload(f"q{n}-waits-{i}", f"q{n}", f"{count}×{cpu}", priority, t=i)
    return world


def explanations(world: World) -> dict[str, WorkloadExplanation]:
    explainer = world.engine.explainer(world.now)
    found = {name: explainer.workload(workload.key) for name, workload in world.workloads.items() if "waits" in name}
    return {name: told for name, told in found.items() if told is not None}


def admits(world: World, name: str) -> bool:
    world.settle()
    return name in world.holds()


def with_quota(drawing: tuple[Queue, ...], remedy: AddQuota, less: int = 0) -> tuple[Queue, ...]:
    more = {q.flavor: int(q.add) for q in remedy.quotas}
    first = next(iter(more))
    more[first] -= less
    nominal = tuple(n + more.get(flavor, 0) for flavor, n in zip("fg", drawing[0].nominal, strict=True))
    return (replace(drawing[0], nominal=nominal), *drawing[1:])


@settings(max_examples=40, deadline=None)
@given(worlds)
def test_remedies_do_what_they_say(drawing: tuple[Queue, ...]) -> None:
    """The quota that is added, the Workloads that end, the pods that are fewer: each admits, and less does not."""
    for name, told in explanations(build(drawing)).items():
        for remedy in told.remedies:
            match remedy:
                case AddQuota(if_first=False):
                    assert admits(build(with_quota(drawing, remedy)), name)
                    assert not admits(build(with_quota(drawing, remedy, less=1)), name)
                case StopWorkloads(if_first=False):
                    gone = frozenset(remedy.workloads)
                    assert admits(build(drawing, gone), name)
                    assert not any(admits(build(drawing, gone - {one}), name) for one in gone)
                case FewerPods(if_first=False):
                    place = int(name.rpartition("-")[2])
                    for count in range(remedy.fits, remedy.count):
                        waiting = list(drawing[0].waiting)
                        waiting[place] = (count, *waiting[place][1:])
                        world = build((replace(drawing[0], waiting=tuple(waiting)), *drawing[1:]))
                        assert admits(world, name) is (count == remedy.fits)


@settings(max_examples=40, deadline=None)
@given(worlds)
def test_one_that_is_told_to_fit_fits(drawing: tuple[Queue, ...]) -> None:
    """Only who is admitted in the end is told that it fits and waits for its turn."""
    told = explanations(build(drawing))
    world = build(drawing)
    world.settle()
    fits = {name for name, each in told.items() if each.message == "it fits now, and waits for its turn"}
    assert fits == told.keys() & world.holds().keys()


@settings(max_examples=40, deadline=None)
@given(worlds, st.booleans())
def test_to_ask_changes_nothing(drawing: tuple[Queue, ...], is_settled: bool) -> None:
    """Every amount of every tree is as before, and the engine goes on as if it had not been asked."""
    asked, twin = build(drawing), build(drawing)
    if is_settled:
        asked.settle()
        twin.settle()
    before = amounts(asked)
    explanations(asked)
    assert amounts(asked) == before
    asked.engine.explainer(asked.now).cluster_queue("q0")
    assert asked.settle() == twin.settle()
    assert amounts(asked) == amounts(twin)


@settings(max_examples=120, deadline=None)
@given(
    worlds,
    st.sampled_from(["N", "L", "LN", "A"]),
    st.sampled_from(["N", "L", "LN", "A"]),
    st.sampled_from(["root", "side"]),
    st.sampled_from([None, (FINAL_SHARE,)]),
    st.booleans(),
)
def test_who_is_refused_is_no_candidate(
    drawing: tuple[Queue, ...], within: str, reclaim: str, above: str, strategies: tuple[str, ...] | None,
    is_one_gone: bool,
) -> None:  # fmt: skip
    """The reasons that are told draw the line where the search for victims draws it, classical and fair."""
    world = build(drawing, above=above, WCQ=within if within != "A" else "L", RWC=reclaim)
    cache = world.engine._cache
    queue = cache.queue("q0")
    assert queue is not None
    waiting = world.engine._queues.queue("q0")
    assert waiting is not None
    gone = frozenset(list(cache.workloads)[:1] if is_one_gone else ())
    preemptor = Preemptor(cache, Features({}), strategies, gone=gone)
    for item in waiting.ordered():
        cpu = sum(ps.requests["cpu"] for ps in item.info.pod_sets)
        wanted = {queue.node.tree.number(FlavorResource(flavor, "cpu")): cpu for flavor in "fg"}
        demand = preemptor.demand(item.info, queue, wanted, list(wanted))
        if strategies is not None:
            candidates = _collect(demand)
        else:
            candidates = demand.candidates(queue)
            if reclaim != "N":
                others: tuple[list[Info], list[Info]] = ([], [])
                _collect_others(demand, *others)
                candidates += [*others[0], *others[1]]
        allowed = {info.key for info in candidates}
        holders = [info for info in cache.workloads.values() if any(info.usage.values())]
        assert {info.key for info in holders if preemptor.refusal(demand, info) is None} == allowed


def amounts(world: World) -> list[object]:
    """All that a quota tree holds, of every queue and cohort."""
    parts = ("nominal", "subtree", "local", "potential", "usage")
    nodes = [node for queue in world.engine._cache.queues() for node in queue.node.lineage()]
    return [[node.name, *(list(getattr(node, part)) for part in parts)] for node in nodes]
