"""What a real Kueue was seen to decide and to say, played on the engine alone."""

from __future__ import annotations

from pykueue.api.configuration.types import Configuration, FairSharing
from support.world import World, admits, pendings, victims

NO_ROOM = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor f, 1 more needed"


def share(world: World, name: str) -> int | None:
    status = world.engine.cluster_queue_status(name)
    assert status is not None
    return status.weighted_share


def test_quota_of_a_parent_cohort() -> None:
    """Quota of the root is lent to both sides within the limit of a cohort in between, and the level is told."""
    world = World()
    world.cohort("root", "f:4")
    world.cohort("left", "f:0 BL3", parent="root")
    world.cohort("right", parent="root")
    world.queue("l", "f:1", "left")
    world.queue("r", "f:1", "right")
    world.workload("left-4", "l", "4×1")
    assert admits(world.settle()[0])["left-4"].flavors_considered == "main: f(Fit;borrow=2)"
    world.workload("left-5", "l", "1", t=1)
    assert pendings(world.settle()[0])["left-5"].message == NO_ROOM
    world.workload("right-2", "r", "2×1", t=2)
    assert admits(world.settle()[0])["right-2"].flavors_considered == "main: f(Fit;borrow=2)"
    world.workload("right-3", "r", "1", t=3)
    waiting = pendings(world.settle()[0])["right-3"]
    assert (waiting.reason, waiting.message) == ("WaitingForQuota", NO_ROOM)


def test_the_next_flavor_before_borrowing() -> None:
    """Borrowing comes before the next flavor, unless the queue says otherwise; what was passed over is told."""
    world = World()
    world.queue("a", "f1:2→f2:4", "co")
    world.queue("b", "f1:2→f2:4", "co", FF="T/T")
    world.queue("c", "f1:4→f2:0", "co")
    world.workload("a-borrows", "a", "4×1")
    first = admits(world.settle()[0])["a-borrows"]
    world.workload("b-next", "b", "4×1", t=1)
    second = admits(world.settle()[0])["b-next"]
    assert (first.flavors_considered, second.flavors_considered) == ("main: f1(Fit;borrow=1)",) * 2
    assert world.holds() == {"a-borrows": {"cpu": "f1"}, "b-next": {"cpu": "f2"}}


def test_fair_shares_move_to_who_has_less() -> None:
    """The queue that borrows most gives way; the shares are 667, then 167 on both sides; nobody takes more."""
    world = World(Configuration(fair_sharing=FairSharing()))
    for name in "xyz":
        world.queue(name, "f:2", "co", WCQ="L", RWC="A")
    for n, cpu in enumerate((2, 1, 3), start=1):
        world.workload(f"x{n}", "x", f"{cpu}×1", t=n)
        world.settle()
        world.advance(2)
    assert [share(world, name) for name in "xyz"] == [667, 0, 0]
    world.workload("y1", "y", "3×1", t=4)
    [preemption] = [found for result in world.settle() if (found := victims(result))]
    assert preemption == {"x3": "InCohortFairSharing"}
    assert [share(world, name) for name in "xyz"] == [167, 167, 0]
    world.workload("y2", "y", "1", t=5)
    assert not any(victims(result) for result in world.settle())
    assert set(world.holds()) == {"x1", "x2", "y1"}


def test_a_strict_queue_waits_behind_its_head() -> None:
    """In a strict queue nothing passes a head that does not fit, and what waits behind it is not told of it."""
    world = World()
    for name, is_strict in (("strict", True), ("effort", False)):
        world.queue(name, "f:4", strict=is_strict)
        world.workload(f"{name}-base", name, "3")
        world.settle()
        world.workload(f"{name}-large", name, "2", t=1)
        world.workload(f"{name}-small", name, "1", t=2)
        world.settle()
    assert set(world.holds()) == {"strict-base", "effort-base", "effort-small"}
    assert world.engine.admissibility(world.workloads["strict-small"]).equivalent is None


def test_a_head_that_was_passed_over_is_tried_when_the_other_gives_up() -> None:
    """One that lost its place to a head which is then parked does not wait for an event."""
    world = World()
    world.queue("a", "f:4", "co", WCQ="L")
    world.queue("b", "f:0", "co")
    world.workload("held", "a", "2", priority=5, at="f")
    world.workload("needs", "a", "4", priority=1)
    world.workload("small", "b", "2")
    world.settle()
    assert set(world.holds()) == {"held", "small"}
    assert world.is_parked("needs")
