"""What makes the engine try waiting Workloads again, and whom: scheduling-cases.md §7 on the engine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import AdmissionCheck
from support.stage import enter, set_stage
from support.world import World, admits, pendings, reserved


def parked(queues: str, held: str, waiting: str) -> World:
    """A world in which these hold quota, and these were tried in vain."""
    world = World()
    set_stage(world, queues)
    enter(world, held, holding=True)
    enter(world, waiting, holding=False)
    world.settle()
    world.advance(10)
    return world


def active(world: World) -> set[str]:
    """Who would be tried in the next cycle, or in one after it."""
    world.advance(2)
    world.engine._wake(world.now)
    return {
        name
        for name in world.workloads
        if world.engine._queues.find(ObjectKey("ns", name)) and not world.is_parked(name)
    }


DEEP = "root{ch1{cq1 1, cq2 1}, ch2{cq3 1}}\nfar default:1"


def test_the_whole_tree_is_retried_once() -> None:
    """RQ-17, RQ-18, RQ-21: what ends in one queue wakes every queue of the tree, and no other."""
    world = parked(DEEP, "h@cq1 1; f@far 1", "a@cq1 9; b@cq2 9; c@cq3 9; d@cq3 8; e@far 9")
    assert active(world) == set()
    world.delete("h")
    assert active(world) == {"a", "b", "c", "d"}
    assert {name for result in world.settle() for name in pendings(result)} == {"a", "b", "c", "d"}


def test_a_cohort_that_is_its_own_ancestor_wakes_nobody() -> None:
    """RQ-19: its queues are not scheduled until the cycle is broken; then they are."""
    world = World()
    world.cohort("a", parent="b")
    world.cohort("b", parent="c")
    world.queue("cq1", "default:1", "a")
    world.workload("w", "cq1", "1")
    world.cohort("c", parent="a")
    world.settle()
    assert world.holds() == {}
    world.cohort("c")
    world.settle()
    assert world.holds() == {"w": {"cpu": "default"}}


def edit_flavor(world: World) -> None:
    world.flavor("default", nodeLabels={"pool": "new"})


def edit_quota(world: World) -> None:
    world.queue("cq", "default:2")


def edit_weight(world: World) -> None:
    world.queue("cq", "default:1", weight="2")


def move_cohort(world: World) -> None:
    world.queue("cq", "default:1", "co")


def finish(world: World) -> None:
    old = world.workloads["h"]
    done = reserved(old, old.status.admission, world.now, True)  # type: ignore[arg-type]
    finished = msgspec.structs.replace(done.status.conditions[0], type="Finished")
    status = msgspec.structs.replace(done.status, conditions=(*done.status.conditions, finished))
    world.put(msgspec.structs.replace(done, status=status))


def reclaim(world: World) -> None:
    world.workload("h", "cq", "4×250m", at="default", status={"reclaimablePods": [{"name": "main", "count": 2}]})


def lower_priority(world: World) -> None:
    world.workload("h", "cq", "4×250m", -5, at="default")


def label_namespace(world: World) -> None:
    world.engine.set_namespace("ns", {"dep": "eng", "more": "yes"}, world.now)


@pytest.mark.parametrize(
    "event", [edit_flavor, edit_quota, edit_weight, move_cohort, finish, reclaim, lower_priority, label_namespace]
)
def test_events_that_wake(event: Any) -> None:
    """§3.7: after each of these the answer may be another one."""
    world = parked("cq default:1", "", "")
    world.workload("h", "cq", "4×250m", at="default", t=-9)
    world.workload("w", "cq", "1")
    world.settle()
    assert active(world) == set()
    event(world)
    assert active(world) == {"w"}


def test_events_that_change_nothing_wake_nobody() -> None:
    """The same objects again, a condition of the holder, an arrival of another shape."""
    world = parked("cq default:1", "h@cq 1", "w@cq 1")
    world.queue("cq", "default:1")
    world.put(world.workloads["h"])
    world.workload("late", "cq", "2", t=9)
    assert active(world) == {"late"}


def test_hold_and_release_of_a_queue() -> None:
    """RQ-23, RQ-27: a queue that is stopped gives no heads; released it gives one at a time."""
    world = World()
    world.queue("cq", "default:9", spec={"stopPolicy": "Hold"})
    for name in ("a", "b"):
        world.workload(name, "cq", "1" if name == "a" else "2")
    assert world.cycle().decisions == ()
    assert [info.key.name for info in world.engine.waiting("cq")] == ["a", "b"]
    world.queue("cq", "default:9")
    world.advance(2)
    assert list(admits(world.cycle())) == ["a"]
    assert list(admits(world.cycle())) == ["b"]


def test_what_waits_is_counted() -> None:
    """RQ-28: the heap, the parked, and the one in flight."""
    world = parked("cq default:1", "h@cq 1", "w@cq 1")
    world.workload("next", "cq", "2", t=9)
    status = world.engine.cluster_queue_status("cq")
    assert status is not None
    assert (status.pending, status.reserving, status.admitted) == (2, 1, 1)
    popped = world.engine._heads()
    assert [entry.info.key.name for entry in popped] == ["next"]
    status, local = world.engine.cluster_queue_status("cq"), world.engine.local_queue_status(ObjectKey("ns", "cq"))
    assert status is not None
    assert local is not None
    assert (status.pending, local.pending) == (2, 1)


def test_a_check_that_turns_active_wakes_its_queues() -> None:
    """A ClusterQueue without its AdmissionCheck admits nobody; with it, its Workloads are tried at once."""
    world = World()
    world.queue("cq", "default:1", spec={"admissionChecksStrategy": {"admissionChecks": [{"name": "ac"}]}})
    world.workload("w", "cq", "1")
    world.settle()
    assert world.holds() == {}
    status = {"conditions": [{"type": "Active", "status": "True", "reason": "Active"}]}
    obj = {"metadata": {"name": "ac"}, "spec": {"controllerName": "c"}, "status": status}
    world.engine.set_admission_check("ac", msgspec.convert(obj, AdmissionCheck), world.now)
    world.settle()
    assert world.holds() == {"w": {"cpu": "default"}}


def test_a_missing_flavor_stops_its_queue() -> None:
    """CY-13: neither an unknown LocalQueue, nor ClusterQueue, nor a missing flavor lets a Workload be tried."""
    world = World()
    world.queue("cq", "gone:1", missing=("gone",))
    world.local("astray", "nowhere")
    for queue in ("cq", "astray", "nobody"):
        world.workload(queue, queue, "1")
    assert world.cycle().decisions == ()
    assert [info.key.name for info in world.engine.waiting("cq")] == ["cq"]
    assert not world.is_parked("cq")
    world.flavor("gone")
    world.settle()
    assert world.holds() == {"cq": {"cpu": "gone"}}


def test_a_deep_queue_is_drained() -> None:
    """Those that cannot fit, each in its own way, do not keep those behind them waiting; nobody is judged twice."""
    world = World()
    world.queue("cq", "default:100")
    world.settle()
    for n in range(60):
        world.workload(f"w{n:02}", "cq", "1" if n % 3 else f"{101 + n}", 9 if n % 2 else 0, t=n)
    results = world.settle(cycles_max=200)
    tried = [decision.key.name for result in results for decision in result.decisions]
    assert len(tried) == len(set(tried)) == 60
    assert list(world.holds()) == [f"w{n:02}" for n in range(60) if n % 3]
