"""Positions of the visibility API: the order of the queues, counted slowly, and as explanations tell it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.objects import ObjectKey
from pykueue.core.features import Gate
from pykueue.views.pending_workloads import PendingWorkload, Slice, of_cluster_queue, of_local_queue
from support.storm import Storm
from support.world import World

LOCALS = ("cq", "other", "third")
WORKLOAD = st.tuples(st.sampled_from(LOCALS), st.sampled_from((0, 0, 5)), st.integers(0, 4), st.sampled_from("12"))


def told(world: World, name: str) -> list[PendingWorkload]:
    return of_cluster_queue(name, world.engine.waiting(name), Slice(limit=100_000), "v1beta2").items


@given(
    workloads=st.lists(WORKLOAD, max_size=12),
    offset=st.integers(0, 14),
    limit=st.integers(0, 14),
    n_cycles=st.integers(0, 4),
)
def test_positions_are_those_of_a_slow_count(workloads: list[Any], offset: int, limit: int, n_cycles: int) -> None:
    """Sorted by priority, age and uid, whatever is parked; counted before it is cut."""
    world = World()
    world.queue("cq", "default:2")
    for local in LOCALS[1:]:
        world.local(local, "cq")
    for number, (local, priority, age, cpu) in enumerate(workloads):
        world.workload(f"w{number}", local, cpu, priority, t=-age)
    for _ in range(n_cycles):
        world.cycle()
    waiting = [w for name, w in world.workloads.items() if world.engine._queues.find(ObjectKey("ns", name))]
    order = sorted(waiting, key=lambda w: (-w.spec.priority, w.created_at, w.uid))
    want = [
        (w.name, i, [x for x in order if x.spec.queue_name == w.spec.queue_name].index(w)) for i, w in enumerate(order)
    ]

    def lines(items: list[PendingWorkload]) -> list[tuple[str, int, int]]:
        return [(one.metadata.name, one.position_in_cluster_queue, one.position_in_local_queue) for one in items]

    assert lines(told(world, "cq")) == want
    part, everybody = Slice(offset, limit), world.engine.waiting("cq")
    assert lines(of_cluster_queue("cq", everybody, part, "v1beta2").items) == want[offset : offset + limit]
    for local in LOCALS:
        own = [line for line in want if world.workloads[line[0]].spec.queue_name == local]
        found = of_local_queue(ObjectKey("ns", local), everybody, part, "v1beta2").items
        assert lines(found) == own[offset : offset + limit]


@pytest.mark.parametrize("seed", range(6))
def test_explanations_tell_the_same_positions(seed: int) -> None:
    """In storms with preemption, where preemptors wait at the head: a place there is a position here, counted from 1."""
    storm = Storm(seed, {Gate.PYKUEUE_SAFE_PREEMPTION: seed % 2 == 1})
    n_told = 0
    for _ in range(8):
        storm.rage(25)
        world = storm.world
        explainer = world.engine.explainer(world.now)
        for name in storm.queues:
            positions = {str(ObjectKey(o.metadata.namespace, o.metadata.name)): o for o in told(world, name)}
            explained = explainer.cluster_queue(name, n_told=1000)
            assert explained is not None
            want = [(one.workload, one.position - 1) for one in explained.waiting]
            assert [(key, one.position_in_cluster_queue) for key, one in positions.items()] == want
            n_told += len(want)
            for key in list(positions)[:3]:
                whole = explainer.workload(ObjectKey(*key.split("/")))
                assert whole is not None
                assert whole.position == positions[key].position_in_cluster_queue + 1
    assert n_told > 10
