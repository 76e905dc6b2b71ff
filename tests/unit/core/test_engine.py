"""The engine from objects to decisions: one queue, flavors, admission, waiting."""

from __future__ import annotations

import pytest

from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.scheduler.entry import Entry
from support.world import World, admits, pendings, victims


def test_a_workload_that_fits_is_admitted() -> None:
    """One head that fits reserves quota and, without checks, is admitted at once."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("w", "cq", "2×1")
    admit = admits(world.cycle())["w"]
    assert admit.is_admitted
    assert admit.flavors_considered == ""
    [assignment] = admit.admission.pod_set_assignments
    assert (assignment.count, dict(assignment.flavors), dict(assignment.resource_usage)) == (
        2,
        {"cpu": "f"},
        {"cpu": "2"},
    )


def test_the_engine_settles_and_wakes_after_a_completion() -> None:
    """What does not fit is parked with its reason, and tried again a second after quota is given back."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("a", "cq", "3")
    world.workload("b", "cq", "2", t=1)
    results = world.settle()
    waiting = pendings(results[-1])["b"]
    assert waiting.reason == "WaitingForQuota"
    assert (
        waiting.message
        == "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor f, 1 more needed"
    )
    assert world.is_parked("b")
    world.delete("a")
    assert world.engine.next_cycle_at(world.now) == world.now + 1_000_000
    world.settle()
    assert world.holds() == {"b": {"cpu": "f"}}


def test_more_than_can_ever_be_had() -> None:
    """A request above all quota says so."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("w", "cq", "5")
    waiting = pendings(world.cycle())["w"]
    assert waiting.reason == "ExceedsMaxQuota"
    assert waiting.message == (
        "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor f, previously considered podsets "
        "requests (0) + current podset request (5) > maximum capacity (4)"
    )
    assert dict(waiting.requests[0].resources) == {"cpu": "5"}


def test_preemption_names_its_victim() -> None:
    """PR-31: both conditions of a victim say who needed the quota and why."""
    world = World()
    world.queue("standalone", "default:6", WCQ="L")
    world.workload("low", "standalone", "2", -1, at="default")
    world.workload("mid", "standalone", "2", 0, at="default")
    world.workload("high", "standalone", "2", 1, at="default")
    world.workload("wl-in", "standalone", "2", 1, metadata={"labels": {"kueue.x-k8s.io/job-uid": "job-in"}})
    result = world.cycle()
    assert victims(result) == {"low": "InClusterQueue"}
    [victim] = result.decisions[0].victims  # type: ignore[union-attr]
    assert victim.message == (
        "Preempted to accommodate a workload (UID: wl-in, JobUID: job-in) due to prioritization in the ClusterQueue; "
        "preemptor path: /standalone; preemptee path: /standalone"
    )
    assert pendings(result)["wl-in"].message.endswith("2 more needed. Pending the preemption of 1 workload(s)")


@pytest.mark.parametrize("step", ["_nominate", "_process"])
def test_a_workload_on_which_our_code_fails_stops_nobody(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """It is told so and waits, the error is handed out, and all others are decided."""
    world = World()
    for name in ("a", "b", "c"):
        world.queue(name, "f:4", cohort="all")
        world.workload(f"{name}-1", name, "1")
    original = getattr(Cycle, step)

    def failing(cycle: Cycle, entry: Entry, *rest: object) -> None:
        original(cycle, entry, *rest)
        if entry.info.key.name == "b-1":
            raise KeyError("gone")

    monkeypatch.setattr(Cycle, step, failing)
    result = world.cycle()
    assert set(admits(result)) == {"a-1", "c-1"}
    assert pendings(result)["b-1"].message == "couldn't be evaluated because of an internal error: KeyError('gone')"
    assert [(key.name, repr(error)) for key, error in result.faults] == [("b-1", "KeyError('gone')")]
    assert world.is_parked("b-1")
    monkeypatch.undo()
    world.delete("a-1")
    world.settle()
    assert set(world.holds()) == {"b-1", "c-1"}


def test_heads_of_a_cycle_that_fails_as_a_whole_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is assumed, and nobody is lost."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("w", "cq", "1")

    def failing(cycle: Cycle, entries: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr(Cycle, "_ordered", failing)
    with pytest.raises(KeyError):
        world.cycle()
    assert world.is_parked("w")
