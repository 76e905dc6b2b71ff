"""Corners of quota, cohorts and queues (scheduling.md §16), and what surprises in others."""

from __future__ import annotations

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, FairSharing, Resources
from pykueue.core.scheduler.decisions import CycleResult
from support.stage import CR, IQ, enter, outcome, set_stage
from support.world import World, admits, pendings, reserved


def play(queues: str, held: str, waiting: str, world: World | None = None) -> tuple[World, CycleResult]:
    world = world or World()
    set_stage(world, queues)
    enter(world, held, holding=True)
    enter(world, waiting, holding=False)
    return world, world.cycle()


def usage(world: World, queue: str) -> tuple[str, int]:
    """What is reserved of a queue's first flavor and resource, and by how many Workloads."""
    view = world.engine.cluster_queue_status(queue)
    assert view is not None
    return view.flavors_reservation[0].resources[0].total, view.reserving


def test_a_workload_deleted_while_it_is_admitted_stays_away() -> None:
    """The write of its admission fails after it is gone: nothing is reserved, nothing waits."""
    world, result = play("cq default:4", "", "w@cq 4")
    key = admits(result)["w"].key
    world.delete("w")
    world.engine.forget(key, world.now, requeue=True)
    assert world.holds() == {}
    assert world.engine.waiting("cq") == []
    assert usage(world, "cq") == ("0", 0)


def test_an_admitted_workload_counts_once() -> None:
    """However often it is told, and while it is only assumed."""
    world, result = play("cq default:4", "", "w@cq 3")
    assert usage(world, "cq") == ("3", 1)
    admit = admits(result)["w"]
    for _ in range(3):
        world.put(reserved(admit.workload, admit.admission, world.now, True))
        assert usage(world, "cq") == ("3", 1)


@pytest.mark.parametrize(
    ("queues", "waiting", "want"),
    [
        ("a[co] default:2 LL0\nb[co] default:2", "w@b 3", "parked ExceedsMaxQuota"),
        ("a[co] default:2 LL0\nb[co] default:2", "w@a 4", "on default"),
        ("a[co] default:2 BL0\nb[co] default:2", "w@a 3", "parked ExceedsMaxQuota"),
        ("a[co] default:2 BL0\nb[co] default:2", "w@b 4", "on default"),
    ],
    ids=["nothing is lent", "who lends nothing borrows", "nothing is borrowed", "who borrows nothing lends"],
)
def test_limits_of_nothing(queues: str, waiting: str, want: str) -> None:
    """A limit of zero closes one direction, and only that."""
    world, result = play(queues, "", waiting)
    assert outcome(world, result) == {"w": want}


def test_preempting_in_the_own_queue_while_borrowing() -> None:
    """No cohort policy is needed for victims of the own queue, even above nominal."""
    world, result = play("a[co] default:2 | WCQ=L BWC=L\nb[co] default:2", "low@a 4", "w@a 4 p1")
    assert outcome(world, result) == {"low": IQ, "w": "heap WaitingForPreemptedWorkloads"}


def test_victims_need_not_be_admitted() -> None:
    """Whoever holds quota can be preempted, though its checks are not passed."""
    world = World()
    set_stage(world, "cq default:2 | WCQ=L")
    low = world.workload("low", "cq", "2", -1)
    admission = admits(world.cycle())["low"].admission
    world.put(reserved(low, admission, world.now, False))
    enter(world, "w@cq 2", holding=False)
    assert outcome(world, world.cycle()) == {"low": IQ, "w": "heap WaitingForPreemptedWorkloads"}


def test_a_preemptor_waits_and_competes() -> None:
    """Until its victims have given the quota back it stays pending; then it is judged as any other."""
    world, result = play("cq default:2 | WCQ=L", "low@cq 2", "w@cq 2 p1")
    assert outcome(world, result)["w"] == "heap WaitingForPreemptedWorkloads"
    assert [info.key.name for info in world.engine.waiting("cq")] == ["w"]
    world.delete("low")
    world.settle()
    assert world.holds() == {"w": {"cpu": "default"}}


def test_quota_that_shrinks_below_what_is_used() -> None:
    """Nobody loses what it has; nobody gets more before usage has fallen; the cohort lends the rest."""
    world, _ = play("a[co] default:4\nb[co] default:4", "a1@a 2; a2@a 2", "")
    world.queue("a", "default:1", "co")
    assert sorted(world.holds()) == ["a1", "a2"]
    enter(world, "wa@a 2; wb@b 2", holding=False)
    assert outcome(world, world.cycle()) == {"wa": "parked WaitingForQuota", "wb": "parked WaitingForQuota"}
    enter(world, "small@b 1 t5", holding=False)
    assert outcome(world, world.cycle()) == {"small": "on default"}, "five, of which four are used"
    world.delete("a1")
    world.settle()
    assert sorted(world.holds()) == ["a2", "small", "wb"], "the lender has its own back"


def test_a_queue_that_moves_to_another_cohort() -> None:
    """It takes its usage along: those it borrowed from have theirs back, and those it joins are told what it owes."""
    world, _ = play("a[left] default:1\nl[left] default:3\nr[right] default:3", "a1@a 4", "")
    enter(world, "wl@l 3; wr@r 3", holding=False)
    world.cycle()
    assert world.is_parked("wl")
    assert sorted(world.holds()) == ["a1", "wr"]
    world.queue("a", "default:1", "right")
    world.settle()
    assert sorted(world.holds()) == ["a1", "wl", "wr"]
    enter(world, "more@r 1 t9", holding=False)
    assert pendings(world.cycle())["more"].reason == "WaitingForQuota"
    world.delete("a1")
    world.settle()
    assert sorted(world.holds()) == ["more", "wl", "wr"]


def test_cohorts_with_shares() -> None:
    """An explicit Cohort tells its weighted share, with fair sharing only; an implicit one has no status."""
    for config, want in ((Configuration(fair_sharing=FairSharing()), 100), (Configuration(), None)):
        world = World(config)
        set_stage(world, "root 45{child w2{cq 5 used 10}}")
        view = world.engine.cohort_status("child")
        assert view is not None
        assert view.weighted_share == (want if want is None else want // 2)
        assert world.engine.cohort_status("nobody") is None


def test_shares_that_change_are_told() -> None:
    """With fair sharing, usage reaches the status of every Cohort above, and a quota or weight that of the whole tree."""
    world = World(Configuration(fair_sharing=FairSharing()))
    world.cohort("root")
    world.cohort("child", parent="root")
    world.cohort("other", parent="root")
    world.queue("cq", "default:2", "child")
    world.queue("lender", "default:6", "other")
    world.engine.take_changed()
    world.workload("w", "cq", "4", at="default")
    changed = world.engine.take_changed()
    assert (changed.cluster_queues, changed.cohorts) == (("cq",), ("child", "root"))
    world.queue("lender", "default:14", "other")
    changed = world.engine.take_changed()
    assert (changed.cluster_queues, changed.cohorts) == (("cq", "lender"), ("child", "other", "root"))
    world.queue("cq", "default:2", "other")
    changed = world.engine.take_changed()
    assert (changed.cluster_queues, changed.cohorts) == (("cq", "lender"), ("child", "other", "root"))
    world.cohort("other", parent="new")
    assert world.engine.take_changed().cohorts == ("new", "other", "root")


@pytest.mark.parametrize("strategy", ["BlockUndeclared", "IgnoreUndeclared"])
def test_resources_that_no_group_covers(strategy: str) -> None:
    """They keep a Workload waiting, or do not count, as the configuration says."""
    world = World(Configuration(resources=Resources(quota_check_strategy=strategy)))
    _, result = play("cq default:4", "", "w@cq cpu1,gpu1", world)
    if strategy == "IgnoreUndeclared":
        assert dict(admits(result)["w"].admission.pod_set_assignments[0].flavors) == {"cpu": "default"}
    else:
        waiting = pendings(result)["w"]
        assert waiting.reason == "NoMatchingFlavor"
        assert waiting.message.endswith("resource example.com/gpu unavailable in ClusterQueue")


def test_a_cohort_that_is_its_own_parent_harms_nobody() -> None:
    """A queue made in it is inactive and says so; a change of a namespace, and other queues, go on."""
    world = World()
    world.cohort("loop", parent="loop")
    world.queue("stuck", "default:1", "loop")
    world.queue("fine", "default:1")
    world.workload("w", "stuck", "1")
    world.settle()
    world.engine.set_namespace("ns", {"dep": "eng", "new": "label"}, world.now)
    world.engine.set_namespace("other", {"a": "b"}, world.now)
    world.workload("x", "fine", "1")
    results = world.settle()
    assert world.holds() == {"x": {"cpu": "default"}}
    told = [pendings(result)["w"] for result in results if "w" in pendings(result)]
    assert {(each.reason, each.message) for each in told} <= {("Suspended", "ClusterQueue stuck is inactive")}
    world.cohort("loop")
    world.settle()
    assert "w" in world.holds()


def test_a_cohort_that_lends_more_than_it_has() -> None:
    """Is accepted; what it has is all that can be lent."""
    world = World()
    world.cohort("co", "default:1 LL5", "root")
    world.queue("a", "default:0", "root")
    world.workload("w", "a", "2")
    world.workload("x", "a", "1", t=1)
    world.settle()
    assert world.holds() == {"x": {"cpu": "default"}}


def test_who_has_no_weight_goes_first() -> None:
    """With fair sharing a queue without weight has the largest share as soon as it borrows."""
    world = World(Configuration(fair_sharing=FairSharing()))
    queues = "a[co] default:1 | WCQ=L RWC=A\nb[co] default:0 | weight=0\nc[co] default:0\nbank[co] default:1"
    _, result = play(queues, "b1@b 1; c1@c 1", "w@a 1", world)
    assert outcome(world, result) == {"b1": CR, "w": "heap WaitingForPreemptedWorkloads"}


def test_whether_an_equal_workload_is_told_does_not_depend_on_time() -> None:
    """One that was parked for another says so; one that was tried itself has its own words."""
    world, result = play("cq default:1", "h@cq 1", "a@cq 1; b@cq 1")
    assert list(pendings(result)) == ["a"]
    told = {name: world.engine.admissibility(world.workloads[name]).equivalent for name in ("a", "b")}
    bypassed = "Bypassed scheduling evaluation because an equivalent workload recently failed"
    assert told == {"a": None, "b": ("WaitingForQuota", bypassed)}
    before = world.workloads["b"]
    world.put(msgspec.structs.replace(before, metadata=msgspec.structs.replace(before.metadata, resource_version="9")))
    assert world.engine.admissibility(world.workloads["b"]).equivalent == ("WaitingForQuota", bypassed)
