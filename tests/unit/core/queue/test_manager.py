"""Who waits where: moves between queues, and what is told of Workloads that were not tried themselves."""

from __future__ import annotations

from typing import Any

import msgspec

from pykueue.api.instant import format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Condition
from support.world import World, admits, pendings

BYPASSED = "Bypassed scheduling evaluation because an equivalent workload recently failed"


def pending_of(world: World, cluster_queue: str, local_queue: str) -> tuple[int, int]:
    """`pendingWorkloads` of both kinds of queue."""
    of_cluster = world.engine.cluster_queue_status(cluster_queue)
    of_local = world.engine.local_queue_status(ObjectKey("ns", local_queue))
    assert of_cluster is not None
    assert of_local is not None
    return of_cluster.pending, of_local.pending


def with_condition(world: World, name: str, type_: str, status: str, **more: Any) -> None:
    """The Workload with one condition set."""
    old = world.workloads[name]
    new = Condition(type=type_, status=status, reason=type_, last_transition_time=format_time(world.now), **more)
    conditions = (*(c for c in old.status.conditions if c.type != type_), new)
    world.put(msgspec.structs.replace(old, status=msgspec.structs.replace(old.status, conditions=conditions)))


def test_a_move_to_another_cluster_queue_is_seen_in_both() -> None:
    """A Workload that waits and changes its LocalQueue is counted in the new queues alone, and both are told."""
    world = World()
    world.queue("narrow", "f:1")
    world.queue("wide", "f:4")
    world.workload("w", "narrow", "2")
    world.settle()
    assert pending_of(world, "narrow", "narrow") == (1, 1)
    world.engine.take_changed()
    world.workload("w", "wide", "2")
    changed = world.engine.take_changed()
    assert changed.cluster_queues == ("narrow", "wide")
    assert changed.local_queues == (ObjectKey("ns", "narrow"), ObjectKey("ns", "wide"))
    assert pending_of(world, "narrow", "narrow") == (0, 0)
    world.settle()
    assert world.holds() == {"w": {"cpu": "f"}}


def test_a_move_within_a_cluster_queue_is_counted_anew() -> None:
    """A Workload that moves to another LocalQueue of the same ClusterQueue is counted there."""
    world = World()
    world.queue("cq", "f:1")
    world.local("second", "cq")
    world.workload("w", "cq", "2")
    world.workload("w", "second", "2")
    assert pending_of(world, "cq", "cq") == (1, 0)
    assert pending_of(world, "cq", "second") == (1, 1)


def test_a_workload_that_was_tried_itself_is_not_bypassed() -> None:
    """Only Workloads that were parked for another one's failure are told of it; so are later arrivals."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("held", "cq", "3", at="f")
    world.workload("tried", "cq", "2")
    world.workload("other", "cq", "2", t=1)
    assert list(pendings(world.cycle())) == ["tried"]
    world.workload("late", "cq", "2", t=2)
    told = {name: world.engine.admissibility(world.workloads[name]).equivalent for name in ("tried", "other", "late")}
    assert told == {"tried": None, "other": ("WaitingForQuota", BYPASSED), "late": ("WaitingForQuota", BYPASSED)}


def test_a_status_write_does_not_make_a_tried_workload_bypassed() -> None:
    """The version with the condition that the scheduler wrote changes nothing for a parked Workload."""
    world = World()
    world.queue("cq", "f:1")
    world.workload("w", "cq", "2")
    world.cycle()
    with_condition(world, "w", "PodsReady", "False")
    assert world.is_parked("w")
    assert world.engine.admissibility(world.workloads["w"]).equivalent is None


def test_missing_pods_keep_a_waiting_workload_from_the_heap() -> None:
    """A group that waits and misses pods goes on being counted, and is tried again when they are there."""
    world = World()
    world.queue("cq", "f:2")
    world.workload("held", "cq", "2", at="f")
    world.workload("group", "cq", "2")
    world.settle()
    with_condition(world, "group", "WaitingForReplacementPods", "True")
    assert pending_of(world, "cq", "cq") == (1, 1)
    world.delete("held")
    world.settle()
    assert world.holds() == {}
    assert world.is_parked("group")
    with_condition(world, "group", "WaitingForReplacementPods", "False")
    assert "group" in admits(world.cycle())


def test_missing_pods_keep_a_workload_out_of_the_queue() -> None:
    """A group that misses pods and does not wait yet is not queued."""
    world = World()
    world.queue("cq", "f:2")
    conditions = [{"type": "WaitingForReplacementPods", "status": "True", "reason": "Preempted"}]
    world.workload("group", "cq", "2", status={"conditions": conditions})
    assert pending_of(world, "cq", "cq") == (0, 0)
    assert world.cycle().decisions == ()


def test_a_deactivated_workload_leaves() -> None:
    """A Workload that is deactivated while it waits is not counted any more."""
    world = World()
    world.queue("cq", "f:1")
    old = world.workload("w", "cq", "2")
    world.settle()
    world.put(msgspec.structs.replace(old, spec=msgspec.structs.replace(old.spec, active=False)))
    assert pending_of(world, "cq", "cq") == (0, 0)
