"""One cycle over several heads: the tables of scheduling-cases.md §3, §6.3 and §8."""

from __future__ import annotations

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.api.v1beta2 import NamedGate
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.cycle import NO_LONGER_FITS, OVERLAP_DEFERRED, required_checks
from pykueue.core.scheduler.nominate import reduced_counts
from pykueue.core.views import Blocker
from support.stage import IQ, enter, outcome, set_stage
from support.world import World, admits, pendings, pod_set, victims


def f1(*, fair: bool = False) -> World:
    world = World(Configuration(fair_sharing=FairSharing()) if fair else None)
    world.queue("sales", "default:50 BL0", "sales-alone", strict=True)
    world.queue("alpha", "on-demand:50 BL50→spot:100 BL0", "eng", strict=True)
    two = [
        {"name": "on-demand", "resources": [{"name": "cpu", "nominalQuota": "50", "borrowingLimit": "10"}]},
        {"name": "spot", "resources": [{"name": "cpu", "nominalQuota": "0", "borrowingLimit": "100"}]},
    ]
    gpu = [{"name": "model-a", "resources": [{"name": "example.com/gpu", "nominalQuota": "20", "borrowingLimit": "0"}]}]
    groups = [
        {"coveredResources": ["cpu"], "flavors": two},
        {"coveredResources": ["example.com/gpu"], "flavors": gpu},
    ]
    world.flavor("model-a")
    world.queue("beta", "on-demand:50→spot:0", "eng", strict=True, RWC="A", WCQ="L", spec={"resourceGroups": groups})
    world.queue("lend-a", "default:3 LL2", "lend")
    world.queue("lend-b", "default:2 LL2", "lend")
    return world


def test_flavors_are_told() -> None:
    """CY-04: the event lists what was tried, and what is borrowed."""
    world = f1()
    world.workload("w", "beta", "80")
    told = admits(world.cycle())["w"].flavors_considered
    exceeded = (
        "insufficient quota for cpu in flavor on-demand, previously considered podsets requests (0) + current podset "
        "request (80) > maximum capacity (60)"
    )
    assert told == f"main: on-demand(NoFit;{exceeded}), spot(Fit;borrow=1)"


def test_a_simulated_preemption_is_told() -> None:
    """CY-05: a flavor passed over although preemption would do is listed with that mode."""
    world = World()
    world.queue("cq", "on-demand:1→spot:1", WCQ="L")
    world.workload("blocker", "cq", "1", 50, at="on-demand")
    world.workload("new", "cq", "1", 100)
    admit = admits(world.cycle())["new"]
    assert dict(admit.admission.pod_set_assignments[0].flavors) == {"cpu": "spot"}
    assert admit.flavors_considered == (
        "main: on-demand(preemptionMode=Preempt;insufficient unused quota for cpu in flavor on-demand, 1 more needed)"
    )


def test_no_candidates_means_next_flavor() -> None:
    """CY-01: equal priority cannot be preempted, so the second flavor is taken."""
    world = World()
    world.queue("cq", "on-demand:50→spot:100", WCQ="L", FF="S/S")
    world.workload("holder", "cq", "50", at="on-demand")
    world.workload("new", "cq", "20", t=1)
    world.settle()
    assert world.holds()["new"] == {"cpu": "spot"}


def test_namespace_mismatch() -> None:
    """CY-06: a namespace that the queue does not select."""
    world = World()
    world.queue("cq", "f:4", spec={"namespaceSelector": {"matchLabels": {"dep": "sales"}}}, strict=True)
    world.workload("w", "cq", "1")
    waiting = pendings(world.cycle())["w"]
    assert (waiting.reason, waiting.message) == (
        "Misconfigured",
        "workload namespace doesn't match ClusterQueue selector",
    )
    assert world.is_parked("w")


def test_preemptions_in_two_queues_of_a_cohort() -> None:
    """CY-30: both preemptors get their victims in one cycle."""
    world = World()
    for name in ("alpha", "beta"):
        world.queue(name, "default:2", "co", WCQ="L")
        world.workload(f"{name}1", name, "2", at="default")
        world.workload(f"p-{name}", name, "2", 100)
    result = world.cycle()
    assert victims(result) == {"alpha1": "InClusterQueue", "beta1": "InClusterQueue"}
    assert result.skipped == {}


def test_a_shared_remainder_is_given_once() -> None:
    """CY-32: what the first preemptor will borrow is not there for the second."""
    world = World()
    for name in ("alpha", "beta"):
        world.queue(name, "default:2", "co", WCQ="L", RWC="A", BWC="L")
        world.workload(f"{name}1", name, "2", at="default")
    world.queue("bank", "default:1", "co")
    world.workload("pa", "alpha", "3", 100)
    world.workload("pb", "beta", "3", 99)
    result = world.cycle()
    assert victims(result) == {"alpha1": "InClusterQueue"}
    assert pendings(result)["pb"].message == NO_LONGER_FITS
    assert result.skipped == {"beta": 1}


def test_capacity_is_reserved_unless_it_can_be_reclaimed() -> None:
    """CY-39: who can always reclaim lets others borrow meanwhile."""
    for policy, is_admitted in (("A", True), ("L", False), ("N", False)):
        world = World()
        world.queue("a", "default:2", "co", RWC=policy)
        world.queue("b", "default:0", "co")
        world.workload("a1", "a", "1", at="default")
        world.workload("wait", "a", "2")
        world.workload("borrow", "b", "1", t=1)
        result = world.cycle()
        assert ("borrow" in admits(result)) is is_admitted
        assert world.is_parked("wait")


def test_preemption_or_borrowing_first() -> None:
    """CY-44, CY-45: the preference decides between a victim and another flavor."""
    for preference, want in (("PreemptionOverBorrowing", {"low": "InClusterQueue"}), ("BorrowingOverPreemption", {})):
        world = World()
        world.queue("cq", "on-demand:5 BL0→spot:0 BL5", "co", WCQ="L", FF="T/T", preference=preference)
        world.queue("lender", "spot:5", "co")
        world.workload("low", "cq", "5", -1, at="on-demand")
        world.workload("high", "cq", "5")
        result = world.cycle()
        assert victims(result) == want
        assert ("high" in admits(result)) is not want or not want


def test_less_borrowing_first() -> None:
    """CY-40: the entry that borrows from nearer goes first, whatever its priority."""
    world = World()
    world.cohort("root")
    world.cohort("guaranteed", "default:4", "root")
    world.queue("cq-guaranteed", "default:0", "guaranteed")
    world.queue("best-effort", "default:0", "root")
    world.workload("g", "cq-guaranteed", "4", 0)
    world.workload("b", "best-effort", "4", 3)
    result = world.cycle()
    assert list(admits(result)) == ["g"]
    assert pendings(result)["b"].message == NO_LONGER_FITS


def test_limit_ranges_and_limits() -> None:
    """CY-51, CY-52: templates that the namespace would refuse are not nominated."""
    world = World()
    world.queue("cq", "f:4")
    limit_range = {"spec": {"limits": [{"type": "Container", "max": {"cpu": "300m"}}]}}
    world.engine.set_limit_ranges("ns", [limit_range], world.now)
    world.workload("w", "cq", "500m")
    container = {"name": "c", "resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": "100m"}}}
    waiting = pendings(world.cycle())["w"]
    assert waiting.reason == "Misconfigured"
    assert waiting.message == (
        "resources didn't satisfy LimitRange constraints: spec.podSets[0].template.spec.containers[0]: "
        'Invalid value: ["cpu"]: requests must not be above the limitRange max'
    )
    world.delete("w")
    world.workload("x", "cq", "1", pod={"containers": [container]})
    assert pendings(world.cycle())["x"].message == (
        "resources validation failed: spec.podSets[0].template.spec.containers[0]: "
        'Invalid value: ["cpu"]: requests must not exceed its limits'
    )


def test_overflow_is_unlimited() -> None:
    """CY-49, CY-50: what does not fit into 64 bits is more than any quota."""
    for amount in ("9223372036854776", "99999999999999999999"):
        world = World()
        world.queue("cq", "default:10000")
        world.workload("w", "cq", amount)
        assert pendings(world.cycle())["w"].reason == "ExceedsMaxQuota"


def test_overlapping_victims_are_deferred() -> None:
    """FC-19: who will fit once somebody else's victims are gone waits for that, and reserves the room."""
    for fair in (True, False):
        world = World(Configuration(fair_sharing=FairSharing()) if fair else None)
        world.cohort("root", "default:3005")
        for cohort, queues in (("pa", ("hero:3000", "noisy:0")), ("pb", ("tiny:50",)), ("pc", ("rest:0",))):
            world.cohort(cohort, "", "root")
            for text in queues:
                name, quota = text.split(":")
                world.queue(name, f"default:{quota}", cohort, RWC="A", WCQ="L")
        world.workload("held", "rest", "6055", at="default", t=-5)
        world.workload("t", "tiny", "50", t=0)
        world.workload("h", "hero", "2950", t=1)
        world.workload("r", "rest", "4000", 10, t=2)
        result = world.cycle()
        assert victims(result) == {"held": "InCohortReclamation"}
        waiting = pendings(result)["h"]
        assert (waiting.message, waiting.reason) == (OVERLAP_DEFERRED, "WaitingForPreemptedWorkloads")
        assert ("hero", "deferred_fit") in result.recomputed
        assert not world.is_parked("h")
        assert world.is_parked("r")


def test_partial_admission() -> None:
    """PA-01, PA-05: fewer pods if all do not fit, unless the gate is off."""
    world = World()
    world.queue("sales", "default:50")
    world.workload("w", "sales", "50×2", min=20)
    [assignment] = admits(world.cycle())["w"].admission.pod_set_assignments
    assert (assignment.count, assignment.resource_usage["cpu"]) == (25, "50")
    world = World(features=Features({Gate.PARTIAL_ADMISSION: False}))
    world.queue("sales", "default:50")
    world.workload("w", "sales", "50×2", min=20)
    assert pendings(world.cycle())["w"].reason == "ExceedsMaxQuota"


def test_a_failed_write_gives_the_quota_back() -> None:
    """CY-12: after a failed status write nothing is reserved, and the Workload is tried again."""
    world = World()
    world.queue("cq", "f:4")
    w = world.workload("w", "cq", "4")
    assert "w" in admits(world.cycle())
    assert world.holds() == {"w": {"cpu": "f"}}
    world.engine.forget(w.key, world.now, requeue=True)
    assert world.holds() == {}
    assert "w" in admits(world.cycle())


def test_equivalent_workloads_are_parked_together() -> None:
    """RQ-13, RQ-15: one failure parks all of the same shape; a retry activates them."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("held", "cq", "3", at="f")
    for i in range(3):
        world.workload(f"big{i}", "cq", "2", t=i)
    world.workload("small", "cq", "1", t=9)
    result = world.cycle()
    assert list(pendings(result)) == ["big0"]
    assert all(world.is_parked(f"big{i}") for i in range(3))
    assert not world.is_parked("small")
    facts = world.engine.admissibility(world.workloads["big2"])
    assert facts.equivalent == (
        "WaitingForQuota",
        "Bypassed scheduling evaluation because an equivalent workload recently failed",
    )
    world.settle()
    world.delete("held")
    world.settle()
    assert set(world.holds()) == {"big0", "small"}


def test_a_stopped_local_queue_leaves() -> None:
    """RQ-24: Workloads of a stopped LocalQueue do not wait; they come back when it runs again."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("w", "cq", "1")
    world.local("cq", "cq", stop="Hold")
    assert world.engine.waiting("cq") == []
    blocked = world.engine.admissibility(world.workloads["w"]).blocked
    assert blocked == (Blocker.LOCAL_QUEUE_STOPPED, "Suspended", "LocalQueue cq is inactive")
    world.local("cq", "cq")
    assert "w" in admits(world.cycle())


def test_late_queues_pick_up_their_workloads() -> None:
    """RQ-30: Workloads older than their queues."""
    world = World()
    world.workload("w", "cq", "1")
    assert world.engine.next_cycle_at(world.now) is None
    world.queue("cq", "f:4")
    assert "w" in admits(world.cycle())


def tainted(world: World, *names: str) -> None:
    """Flavors whose taint nobody tolerates."""
    for name in names:
        world.flavor(name, nodeTaints=[{"key": "instance", "value": "spot", "effect": "NoSchedule"}])


@pytest.mark.parametrize(
    ("queues", "held", "waiting", "want"),
    [
        ("cq spot:20→on-demand:15 | strict", "h@cq 10 on-demand", "w@cq 10", "heap WaitingForQuota"),
        ("cq spot:20→on-demand:5 | strict", "", "w@cq 10", "heap ExceedsMaxQuota"),
        ("cq spot:20→other:20 | strict", "", "w@cq 1", "heap NoMatchingFlavor"),
    ],
    ids=["CY-07 the other one is in use", "CY-08 the other one is too small", "CY-09 all are tainted"],
)
def test_taints(queues: str, held: str, waiting: str, want: str) -> None:
    """The best flavor that the Workload could have tells why it waits."""
    world = World()
    tainted(world, "spot", "other")
    set_stage(world, queues)
    enter(world, held, holding=True)
    enter(world, waiting, holding=False)
    assert outcome(world, world.cycle()) == {"w": want}


def test_several_resources_and_pod_sets() -> None:
    """CY-16: each pod set gets flavors of its own, counted together."""
    world = f1()
    pod_sets = [pod_set(text, {}) for text in ("one 10×cpu6,gpu1", "two 40×1")]
    world.workload("w", "beta", "1", pod_sets=pod_sets)
    one, two = admits(world.cycle())["w"].admission.pod_set_assignments
    assert dict(one.flavors) == {"cpu": "on-demand", "example.com/gpu": "model-a"}
    assert dict(one.resource_usage) == {"cpu": "60", "example.com/gpu": "10"}
    assert (dict(two.flavors), dict(two.resource_usage)) == ({"cpu": "spot"}, {"cpu": "40"})


def test_zero_of_an_unknown_resource_does_not_keep_from_preempting() -> None:
    """CY-43: what is asked for in no quantity needs no quota."""
    world = World()
    world.queue("cq", "default:4", WCQ="L")
    world.workload("low", "cq", "4", -1, at="default")
    world.workload("new", "cq", "cpu2,gpu0")
    assert outcome(world, world.cycle()) == {"low": IQ, "new": "heap WaitingForPreemptedWorkloads"}


@pytest.mark.parametrize(
    ("held", "is_on", "want"),
    [
        ("low@beta gpu20 p-1 model-a", True, {"w": "heap AdmissionGated"}),
        ("low@beta gpu20 p-1 model-a", False, {"low": IQ, "w": "heap WaitingForPreemptedWorkloads"}),
        ("", True, {"w": "on model-a"}),
        ("high@beta gpu20 p1 model-a", True, {"w": "heap WaitingForQuota"}),
    ],
    ids=["CY-47 closed", "CY-47 nobody looks at it", "CY-48 not needed", "CY-48 nobody to preempt"],
)
def test_preemption_gates(held: str, is_on: bool, want: dict[str, str]) -> None:
    """A closed gate keeps a Workload from preempting, and from nothing else."""
    world = World(features=Features({Gate.MULTIKUEUE_ORCHESTRATED_PREEMPTION: is_on}))
    set_stage(world, "beta on-demand:50→spot:0 ∥ model-a:gpu20 | strict RWC=A WCQ=L")
    enter(world, held, holding=True)
    old = world.workload("w", "beta", "gpu20")
    gated = msgspec.structs.replace(old.spec, preemption_gates=(NamedGate(name="g"),))
    world.put(msgspec.structs.replace(old, spec=gated))
    result = world.cycle()
    assert outcome(world, result) == want
    assert {d.is_gated for d in pendings(result).values()} <= {"AdmissionGated" in want["w"]}
    if "AdmissionGated" in want["w"]:
        assert pendings(result)["w"].message == "Workload requires preemption, but it's gated"


def test_the_first_flavor_when_it_is_free_again() -> None:
    """CY-53: neither flavor has room at first; when the holder is gone the first one is taken."""
    world = World()
    world.queue("cq", "on-demand:50→spot:10", WCQ="L")
    world.workload("holder", "cq", "50", at="on-demand")
    world.workload("new", "cq", "20", t=1)
    world.settle()
    assert world.is_parked("new")
    world.delete("holder")
    world.settle()
    assert world.holds() == {"new": {"cpu": "on-demand"}}


# --- partial admission -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "victims_", "count"),
    [("20[10]×gpu1", {"low": IQ}, 20), ("30[10]×gpu1", {"low": IQ}, 20)],
    ids=["PA-02 all of them", "PA-03 as many as can be"],
)
def test_partial_admission_and_preemption(requests: str, victims_: dict[str, str], count: int) -> None:
    """Whoever is less important goes before pods are given up."""
    world = World()
    set_stage(world, "beta on-demand:50→spot:0 ∥ model-a:gpu20 BL0 | strict RWC=A WCQ=L")
    enter(world, "low@beta gpu10 p-4 model-a", holding=True)
    world.workload("new", "beta", requests, 4)
    result = world.cycle()
    assert victims(result) == victims_
    world.delete("low")
    world.settle()
    [assignment] = next(
        info for info in world.engine._cache.workloads.values()
    ).workload.status.admission.pod_set_assignments  # type: ignore[union-attr]
    assert assignment.count == count


def test_several_pod_sets_shrink_together() -> None:
    """PA-04: between its least and its most each pod set gives up the same part."""
    world = World()
    world.queue("sales", "default:50")
    pod_sets = [pod_set(text, {}) for text in ("one 20×1", "two 30[10]×1", "three 15[5]×1")]
    world.workload("w", "sales", "1", pod_sets=pod_sets)
    admit = admits(world.cycle())["w"]
    assert [a.count for a in admit.admission.pod_set_assignments] == [20, 20, 10]


def test_the_steps_of_a_reduction() -> None:
    """PA-08: the i-th step takes i/D of what each pod set could give up, rounded down."""
    world = World()
    workload = world.workload("w", "nowhere", "1", pod_sets=[pod_set("a 10[4]×1", {}), pod_set("b 6[6]×1", {})])
    assert reduced_counts(world.engine._maker.pending(workload, "cq"), 3) == [7, 6]


# --- admission checks ------------------------------------------------------------------------------------------------

SIX = {
    "ac1": ("f1",), "ac2": ("f2",), "ac3": ("f1", "f2"), "ac4": ("f1", "f2", "missing"), "ac5": ("missing",), "ac6": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "assigned", "want"),
    [
        (SIX, None, ("ac3", "ac4", "ac6")),
        (SIX, ("f1", "f2"), ("ac1", "ac2", "ac3", "ac4", "ac6")),
        ({"ac1": ("f1",)}, ("f1",), ("ac1",)),
        ({"ac1": ("other",)}, ("f1",), ()),
        ({"ac1": ()}, ("f1",), ("ac1",)),
        ({"ac1": ("f1", "missing")}, ("f1",), ("ac1",)),
    ],
    ids=["AC-01 before quota", "AC-02 with it", "AC-03 its flavor", "AC-03 another", "AC-03 all", "AC-03 and another"],
)
def test_which_checks_are_required(
    checks: dict[str, tuple[str, ...]], assigned: tuple[str, ...] | None, want: tuple[str, ...]
) -> None:
    """Before quota is reserved those that are required in any case; then those of the flavors."""
    assert required_checks(checks, assigned, ("f1", "f2")) == want
