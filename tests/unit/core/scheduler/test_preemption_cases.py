"""Who is preempted: the tables of scheduling-cases.md §4 to §6.2, as exact sets of victims."""

from __future__ import annotations

import pytest

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.api.constants import Reason
from pykueue.controllers.core import transitions
from pykueue.core.scheduler.decisions import Preempt
from support.cohorts import plant
from support.world import World, pendings, victims

IQ, CR, RWB, FSH = "InClusterQueue", "InCohortReclamation", "InCohortReclaimWhileBorrowing", "InCohortFairSharing"


def fixture_p() -> World:
    world = World()
    world.queue("standalone", "default:6 ∥ alpha:mem3Gi→beta:mem3Gi", WCQ="L")
    for name, policies in (("c1", {"WCQ": "L", "RWC": "L"}), ("c2", {"WCQ": "N", "RWC": "A"})):
        spec = {
            "resourceGroups": [
                {
                    "coveredResources": ["cpu", "memory"],
                    "flavors": [
                        {
                            "name": "default",
                            "resources": [
                                {"name": "cpu", "nominalQuota": "6", "borrowingLimit": "6"},
                                {"name": "memory", "nominalQuota": "3Gi", "borrowingLimit": "3Gi"},
                            ],
                        }
                    ],
                }
            ]
        }
        world.queue(name, "default:6", "cohort", spec=spec, **policies)
    world.queue("pstarve", "default:6", WCQ="LN")
    world.queue("l1", "default:cpu6 BL12", "legion", WCQ="L", RWC="L")
    world.queue("a_std", "default:1 BL12", "shared", WCQ="N", RWC="L", BWC="L", threshold=0)
    world.queue("b_std", "default:1 BL12", "shared", WCQ="L", RWC="A", BWC="L", threshold=0)
    world.queue("a_be", "default:1 BL12", "shared", WCQ="N", RWC="L", BWC="L", threshold=0)
    world.queue("b_be", "default:0 BL13", "shared", WCQ="N", RWC="L", BWC="L", threshold=0)
    world.queue("shared", "default:10", "shared")
    world.queue("d1", "default:cpu6,mem3Gi", "no-limits", WCQ="L", RWC="L")
    world.queue("d2", "default:cpu6,mem3Gi", "no-limits", WCQ="N", RWC="A")
    world.queue("a", "default:cpu2,mem2", "three", WCQ="L", RWC="A")
    world.queue("b", "default:cpu2,mem2", "three")
    world.queue("c", "default:cpu2,mem2", "three")
    world.queue("lend1", "default:6 LL4", "lend", WCQ="L", RWC="L")
    world.queue("lend2", "default:6 LL2", "lend", WCQ="L", RWC="L")
    return world


CLASSICAL = {
    "PR-01 the lowest priority": ("low@standalone 2 -1; mid@standalone 2; high@standalone 2 1", "standalone 2 1", {"low": IQ}),
    "PR-02 two of them": (
        "low@standalone 2 -1; mid@standalone 2; high@standalone 2 1", "standalone 3 1", {"low": IQ, "mid": IQ},
    ),
    "PR-03 nobody is lower": ("low@standalone 2 -1; mid@standalone 2; high@standalone 2 1", "standalone 1 -1", {}),
    "PR-04 the lower ones are not enough": ("low@standalone 3 -1; mid@standalone 3", "standalone 4 0", {}),
    "PR-04a one is enough": ("low@standalone 1 -1; mid@standalone 1; high@standalone 3 1", "standalone 2 1", {"low": IQ}),
    "PR-04b the smaller one is put back": (
        "low@standalone 1 -1; mid@standalone 2; high@standalone 3 1", "standalone 2 1", {"mid": IQ},
    ),
    "PR-05 a zero request of something exhausted": (
        "low@c1 cpu3,mem3Gi -1; mid@c2 3; high@c2 6 1", "c1 cpu3,mem0 1", {"mid": CR},
    ),
    "PR-06 nobody is over nominal": ("h@c1 4 1; l@c2 4 -1", "c1 4 1", {}),
    "PR-07 not enough is borrowed": ("h@c1 4 1; x@c2 4 -1; y@c2 4 -1", "c1 4 1", {}),
    "PR-08 one resource is free": ("low@c1 4 -1; x@c2 4 -1; y@c2 4 1", "c1 cpu4,mem5Gi 1", {"low": IQ}),
    "PR-09 own first, without limits": ("m@d1 4; l@d1 4 -1; o@d2 4 -1", "d1 4 1", {"l": IQ}),
    "PR-10 borrowing memory": ("m@c1 4; x@c2 5 -1; y@c2 1 -1; z@c2 1 -1", "c1 cpu2,mem5Gi 1", {"m": IQ}),
    "PR-09 own first": ("m@c1 4; l@c1 4 -1; o@c2 4 -1", "c1 4 1", {"l": IQ}),
    "PR-11 fill back": ("med@l1 4; low@l1 2 -1", "l1 4 1", {"med": IQ}),
    "PR-12 reclaim only lower priorities": ("x@c1 2; y@c2 4; z@c2 4", "c1 4 0", {}),
    "PR-13 reclaim any": ("c1-1@c1 4 0; c1-2@c1 4 1; o@c2 2", "c2 4 0", {"c1-1": CR}),
    "PR-14 own and reclaimed": ("c1l@c1 3 -1; c1m@c1 2; c2l@c2 3 -1; c2m@c2 4", "c1 4 0", {"c1l": IQ, "c2l": CR}),
    "PR-15 never in the own queue": ("low@c2 3 -1", "c2 4 1", {}),
    "PR-18 reclaim while borrowing": ("x@a_be 10 -1; y@b_be 1 -1", "a_std 10 0", {"x": RWB}),
    "PR-19 above the threshold": ("x@b_std 10 1", "a_std 10 2", {}),
    "PR-20 above it, but without borrowing after": ("x@b_std 13 1", "a_std 1 2", {"x": CR}),
    "PR-21 own queue never": ("x@a_std 13 1", "a_std 1 2", {}),
    "PR-22 own lowest": ("a@a_std 10 1; b@a_std 1 1; c@b_std 1 1; d@b_std 1 2", "b_std 1 3", {"c": IQ}),
    "PR-23 borrowing victim, then own": (
        "high@b_std 10 2; mid@b_std 1 1; low@a_be 1 -1; lower@a_be 1 -2", "b_std 2 2", {"lower": RWB, "mid": IQ},
    ),
    "PR-24 lending limit": ("l@lend1 3 -1; m@lend2 3; h@lend2 4 1", "lend1 3 1", {"m": CR}),
    "PR-25 lending limit, own too": ("l@lend1 3 -1; m@lend1 2; x@lend2 3 -1; y@lend2 4", "lend1 4 0", {"l": IQ, "x": CR}),
    "PR-26 more than can be had": ("x@lend2 10 -1", "lend1 9 0", {}),
    "PR-27 own first, of one resource": (
        "a1@a 1 -2; a2@a 1 -2; a3@a 1 -1; b1@b 1; b2@b 1; b3@b 1", "a 2 0", {"a1": IQ, "a2": IQ},
    ),
    "PR-27 own first, of two resources": (
        "a1@a cpu1,mem1 -2; a2@a cpu1,mem1 -2; a3@a cpu1,mem1 -1; b1@b cpu1,mem1; b2@b cpu1,mem1; b3@b cpu1,mem1",
        "a cpu2,mem2 0", {"a1": IQ, "a2": IQ},
    ),
    "PR-27 own first, where the other resource is free": (
        "a1@a 1 -2; a2@a 1 -2; a3@a 1 -1; b1@b 1; b2@b 1; b3@b 1", "a cpu2,mem2 0", {"a1": IQ, "a2": IQ},
    ),
    "PR-28 own and a borrower": (
        "a1@a 1 -2; b1@b 1; b2@b 1; b3@b 1; b4@b 1; b5@b 1 -1", "a 2 0", {"a1": IQ, "b5": CR},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical(name: str) -> None:
    """Exactly these Workloads are preempted, for these reasons."""
    admitted, incoming, want = CLASSICAL[name]
    check(fixture_p(), admitted, incoming, want)


def test_only_users_of_the_chosen_flavor() -> None:
    """PR-04c: who holds the other flavor is left alone, however low."""
    world = fixture_p()
    label_flavors(world)
    hold(world, "low@standalone mem2Gi -1 alpha; mid@standalone mem1Gi 0 beta; high@standalone mem1Gi 1 beta")
    world.workload("incoming", "standalone", "cpu1,mem2Gi", 1, t=10, pod={"nodeSelector": {"type": "beta"}})
    assert victims(world.cycle()) == {"mid": IQ}


def test_pod_sets_on_different_flavors() -> None:
    """PR-16: each pod set's flavor is freed of its user."""
    world = fixture_p()
    label_flavors(world)
    hold(world, "low-alpha@standalone mem2Gi -1 alpha; low-beta@standalone mem2Gi -1 beta")
    pod_sets = [
        {
            "name": name,
            "count": count,
            "template": {
                "spec": {
                    "nodeSelector": {"type": flavor},
                    "containers": [{"name": "c", "resources": {"requests": {"memory": memory}}}],
                }
            },
        }
        for name, count, flavor, memory in (("launcher", 1, "alpha", "2Gi"), ("workers", 2, "beta", "1Gi"))
    ]
    world.workload("incoming", "standalone", "1", 0, t=10, pod_sets=pod_sets)
    assert victims(world.cycle()) == {"low-alpha": IQ, "low-beta": IQ}


def test_the_latest_reservation_first() -> None:
    """PR-17: among equals the one that reserved last gives way, to whoever is older."""
    world = fixture_p()
    world.workload("wl1", "pstarve", "2", 2, at="default")
    world.workload("wl2", "pstarve", "2", 1, at="default", reserved=1)
    world.workload("wl3", "pstarve", "2", 1, at="default")
    world.workload("incoming", "pstarve", "2", 1, t=-15)
    assert victims(world.cycle()) == {"wl2": IQ}


def test_reclaim_of_a_cousin() -> None:
    """PR-29: the borrower of another cohort below the same root gives back."""
    world = World()
    plant(world, "root{left{cq-left 10 RWC=A}, right{cq-right 0}}")
    check(world, "x@cq-right 5", "cq-left 8 0", {"x": CR})


def test_a_victim_that_leaves_already() -> None:
    """PR-30: it counts, and nothing is written of it."""
    world = fixture_p()
    hold(world, "low@standalone 2 -1; mid@standalone 2; high@standalone 2 1")
    evict(world, "low")
    world.workload("incoming", "standalone", "2", 1, t=10)
    result = world.cycle()
    assert [(v.key.name, v.is_evicted) for d in result.decisions if isinstance(d, Preempt) for v in d.victims] == [
        ("low", True)
    ]
    assert pendings(result)["incoming"].message.endswith("Pending the preemption of 1 workload(s)")


def hierarchy(root: str = "", c: str = "c:2", q: str = "default:0", **q_options: object) -> World:
    world = World()
    world.cohort("r", root)
    world.cohort("c", c, "r")
    world.queue("q", q, "c", **{"WCQ": "L", "RWC": "A", **q_options})
    world.queue("qb", "default:0", "r", WCQ="L", RWC="A")
    world.queue("qn", "default:2", "r", WCQ="L", RWC="A")
    world.queue("qs", "default:0", "c", WCQ="L", RWC="A")
    return world


def without_qn(world: World) -> World:
    world.engine.set_cluster_queue("qn", None, world.now)
    return world


B = {"BWC": "L", "threshold": 0}
HIERARCHICAL = {
    "HI-01 equal priority is reclaimed": (lambda: without_qn(hierarchy(c="default:2")), "b@qb 2", "q 2 0", {"b": CR}),
    "HI-02 not from within nominal": (lambda: hierarchy(c="default:2"), "b@qb 2; n@qn 2 -10", "q 2 0", {"b": CR}),
    "HI-03 both": (lambda: without_qn(hierarchy(c="default:2")), "x@qb 1 1; y@qb 1 2", "q 2 0", {"x": CR, "y": CR}),
    "HI-04 own and borrower": (
        lambda: without_qn(hierarchy(c="default:3", **B)), "s1@qs 1 1; s0@qs 2; own@q 1 -1", "q 2 1", {"own": IQ, "s0": RWB},
    ),
    "HI-05 hierarchical before own": (
        lambda: without_qn(hierarchy(c="default:2")), "b@qb 1 1; own@q 1 -2", "q 1 0", {"b": CR},
    ),
    "HI-06 borrowing from the sibling": (lambda: hierarchy(c="default:2", **B), "n@qn 2 -10; s@qs 2 -1", "q 2 0", {"s": RWB}),
    "HI-07 fits own nominal": (
        lambda: without_qn(hierarchy(c="default:2", q="default:4")), "b@qb 3 10; s@qs 3 10", "q 4 0", {"b": CR, "s": CR},
    ),
    "HI-08 lower priority only": (
        lambda: without_qn(hierarchy("default:1", "default:4", RWC="L", **B)),
        "b1@qb 2 -1; b2@qb 2 1; s@qs 1 -1", "q 3 0", {"b1": CR, "s": RWB},
    ),
    "HI-09 own instead": (
        lambda: without_qn(hierarchy("default:1", "default:4", RWC="L", **B)),
        "b1@qb 2 -1; b2@qb 2 1; own@q 1 -1", "q 3 0", {"b1": CR, "own": IQ},
    ),
    "HI-10 only who borrows": (
        lambda: hierarchy(c="default:3"), "b8@qb 1 8; b9@qb 1 9; c9@qb 1 9; n@qn 2 -2", "q 1 0", {"b8": CR},
    ),
    "HI-11 a cohort within its quota": (
        lambda: planted("r{c 2{q 0, qs 0}, c_other 2{qo 0}}"), "o1@qo 1 -10; o2@qo 1 -10; s@qs 2", "q 2 0", {},
    ),
    "HI-12 two resources": (
        lambda: without_qn(hierarchy("default:cpu3", "default:cpu4,mem4Gi", "default:cpu0,mem0")),
        "b@qb cpu3,mem1Gi; s@qs cpu1,mem3Gi -2", "q cpu2,mem1Gi -2", {"b": CR},
    ),
    "HI-15 a branch that is back within its quota": (
        lambda: planted("r{c11 4{c21 4{c31 4{q5}, c32 4{q4}}, c22 4{q3}, c23 4{q2}}, c12 4{q1}}"),
        "q1-6@q1 4 -6; q1-5@q1 4 -5; q2-9@q2 4 -9; q2-10@q2 4 -10; q3-4@q3 4 -4; q3-3@q3 3 -3; q4-2@q4 3 2; q4-4@q4 2 4",
        "q5 7 -2", {"q2-10": CR, "q1-6": CR},
    ),
    "HI-16 a queue that is back within its quota": (
        lambda: planted("r{c 2{q 0}, qb 1, qc 0}"), "x@qb 1 -3; y@qb 1 -2; z@qc 1 -1", "q 2 0", {"x": CR, "z": CR},
    ),
    "HI-14 lending limit": (
        lambda: without_qn(hierarchy(c="default:2", q="default:3 LL2")), "b@qb 4", "q 5 -2", {"b": CR},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_hierarchical(name: str) -> None:
    """In a tree of cohorts exactly these Workloads are preempted."""
    make, admitted, incoming, want = HIERARCHICAL[name]
    check(make(), admitted, incoming, want)


def test_who_leaves_already_comes_first() -> None:
    """HI-13: an evicted Workload that still holds quota is taken before a lower one, and not evicted again."""
    world = without_qn(hierarchy(c="default:2", **B))
    hold(world, "b@qb 1 -10; s@qs 1 -1")
    evict(world, "s")
    world.workload("incoming", "q", "1", t=10)
    result = world.cycle()
    assert [(v.key.name, v.is_evicted) for d in result.decisions if isinstance(d, Preempt) for v in d.victims] == [
        ("s", True)
    ]


def planted(text: str, **options: str) -> World:
    world = World()
    plant(world, text, WCQ="L", RWC="A", **options)
    return world


def fair(weights: dict[str, str] | None = None, strategies: tuple[str, ...] = ()) -> World:
    config = Configuration(fair_sharing=FairSharing(preemption_strategies=strategies))
    world = World(config)
    for name in ("a", "b", "c"):
        options = {"weight": weights[name]} if weights and name in weights else {}
        world.queue(name, "default:3", "all", WCQ="L", RWC="A", BWC="L", threshold=-3, **options)
    world.queue("free", "default:0", "all")
    return world


def units(queue: str, n: int) -> str:
    return "; ".join(f"{queue}{i}@{queue} 1" for i in range(1, n + 1))


FAIR = {
    "FP-01": (fair, f"{units('a', 3)}; {units('b', 5)}; c1@c 1", "c 1 0", {"b1": CR}),
    "FP-02": (fair, "a1@a 3; a2@a 1; b1@b 2; b2@b 3", "c 3 0", {"a1": CR}),
    "FP-03": (fair, f"{units('a', 3)}; {units('b', 5)}; c1@c 1", "a 1 0", {"b1": FSH}),
    "FP-04": (
        fair, "a1@a 500m; a2@a 500m; a3@a 3; b1@b 500m; b2@b 500m; b3@b 3", "c 2 0", {"a1": CR, "b1": CR},
    ),
    "FP-05": (fair, f"{units('a', 3)}; {units('b', 3)}; {units('c', 3)}", "c 1 0", {}),
    "FP-06": (fair, f"{units('a', 4)}; {units('b', 5)}", "a 2 0", {}),
    "FP-07": (fair, f"a1@a 1 -1; a2@a 1 -1; a3@a 1; a4@a 1; {units('b', 5)}", "a 2 0", {"a1": IQ, "a2": IQ}),
    "FP-08": (fair, f"a1@a 1 -1; a2@a 1; a3@a 1; {units('b', 6)}", "a 2 0", {"a1": IQ, "b1": FSH}),
    "FP-09": (fair, "b1@b 9", "a 2 0", {"b1": CR}),
    "FP-10": (fair, "a1@a 2; b1@b 7", "a 5 0", {}),
    "FP-11": (fair, "b1@b 2; b2@b 2; b3@b 3", "a 6 0", {}),
    "FP-12": (fair, "a1@a 2 -1; a2@a 1 -1; b1@b 3; b2@b 3", "a 4 0", {"a1": IQ, "b1": FSH}),
    "FP-13": (fair, "b1@b 2; b2@b 1; b3@b 2; c1@c 1", "a 3500m 0", {"b2": FSH}),
    "FP-14": (fair, "b1@b 2; b2@b 2500m; c1@c 2; c2@c 2500m", "a 3500m 0", {"b1": FSH, "c1": FSH}),
    "FP-15": (fair, "a1@a 3500m; b1@b 2500m; c1@c 2500m", "b 2 0", {}),
    "FP-16": (fair, "b1@b 3; b2@b 3; c1@c 3", "a 4 0", {}),
    "FP-17": (fair, "a1@a 3; b1@b 3; f1@free 1 -3; f2@free 1 -3; f3@free 1 -3", "a 2 0", {}),
    "FP-18": (lambda: fair(None, ("LessThanInitialShare",)), "a1@a 3; low@b 5; high@b 1 1", "a 1 0", {"low": FSH}),
    "FP-19": (lambda: fair(None, ("LessThanOrEqualToFinalShare",)), "a1@a 3; low@b 5; high@b 1 1", "a 1 0", {"high": FSH}),
    "FP-20": (lambda: fair({"a": "2"}), f"{units('a', 3)}; {units('b', 6)}", "a 2 0", {"b1": FSH, "b2": FSH}),
    "FP-21": (
        lambda: fair({"b": "0"}), f"{units('a', 3)}; {units('b', 6)}", "a 3 0", {"b1": FSH, "b2": FSH, "b3": FSH},
    ),
    "FP-22": (lambda: fair({"b": "0"}), "a1@a 3; b1@b 3; c1@c 3", "a 1 0", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAIR)
def test_fair_sharing(name: str) -> None:
    """With fair sharing exactly these Workloads are preempted."""
    make, admitted, incoming, want = FAIR[name]
    check(make(), admitted, incoming, want)


def fair_tree(text: str, **options: str) -> World:
    world = World(Configuration(fair_sharing=FairSharing()))
    plant(world, text, **{"WCQ": "L", "RWC": "A", **options})
    return world


FAIR_TREES = {
    "FP-23 a weightless cohort within its quota": ("ROOT{right 1 w0{r 0}, left 0}", {}, "r1@r 1", "left 1 0", {}),
    "FP-24 without a cohort": ("alone 1", {}, "a1@alone 1", "alone 1 1000", {"a1": IQ}),
    "FP-25 weights of cohorts and queues": (
        "ROOT 5{LEFT 5 w2{a 1 w2, b 1}, c 1, RIGHT 5{d 1, e 1 w0.99}}", {},
        "; ".join(f"{q}{i}@{q} 1 {i}" for q in "bcde" for i in range(1, 6)), "a 5 0",
        {"b1": FSH, "b2": FSH, "c1": FSH, "c2": FSH, "e1": FSH},
    ),
    "FP-26 the other cohort does not borrow": (
        "ROOT{a 5 w10, RIGHT 1 w0.1{b 0 w0.1}}", {}, "a1@a 1 -1; a2@a 1 -1; a3@a 1 -1; b1@b 1 -1", "a 5 0",
        {"a1": IQ, "a2": IQ, "a3": IQ},
    ),
    "FP-27 the borrower is too important": (
        "ROOT{a 5 w10, RIGHT 3 w0.1{b 0 w0.1}}", {"RWC": "L"}, "a1@a 1 -1; a2@a 1 -1; a3@a 1 -1; b1@b 4 100", "a 4 0",
        {"a1": IQ, "a2": IQ, "a3": IQ},
    ),
    "FP-28 weights count below the common root": (
        "ROOT{A w1.01{AA{AAA{a 0}}}, B w0.99{BB{BBB{b 0}}}, C{CC{CCC{CCCC 1{}}}}}", {}, "b1@b 1", "a 1 0", {"b1": FSH},
    ),
    "FP-29 no weight, within nominal": ("ROOT{a 1 w0, b 0}", {}, "b1@b 1", "a 1 0", {"b1": CR}),
    "FP-30 no weight, within the cohort's quota": ("ROOT{A 1 w0{a 0}, b 0}", {}, "b1@b 1", "a 1 0", {"b1": FSH}),
    "FP-31 one flavor within nominal": (
        "ROOT{a premium:3→cheap:0 FF=S/S, b premium:0→cheap:6}", {},
        "a1@a 2 0 premium; a2@a 5 0 cheap; b1@b 1 0 premium", "a 1 0", {"b1": CR},
    ),
    "FP-32 infinite against finite": ("ROOT{a 1 w0, b 1}", {}, "a1@a 1; b1@b 2", "a 1 0", {}),
    "FP-33 infinite against infinite": (
        "ROOT 3{a 1 w0, b 0 w0}", {}, "b1@b 1; b2@b 1; b3@b 1", "a 2 0", {"b1": FSH},
    ),
    "FP-33 one against one": ("ROOT 3{a 1, b 0}", {}, "b1@b 1; b2@b 1; b3@b 1", "a 2 0", {"b1": FSH}),
    "FP-34 refused at first, taken by the second rule": (
        "ROOT{A 1 w0{p 2, y 2}, x 1}", {}, "p1@p 2; y1@y 2; y2@y 2; x1@x 1; x2@x 1", "p 1 0", {"y1": FSH, "x1": FSH},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAIR_TREES)
def test_fair_sharing_in_a_tree(name: str) -> None:
    """With fair sharing, in a tree with weights, exactly these Workloads are preempted."""
    tree, options, admitted, incoming, want = FAIR_TREES[name]
    check(fair_tree(tree, **options), admitted, incoming, want)


def check(world: World, admitted: str, incoming: str, want: dict[str, str]) -> None:
    hold(world, admitted)
    queue, amount, priority = incoming.split()
    world.workload("incoming", queue, amount, int(priority), t=10)
    assert victims(world.cycle()) == want


def hold(world: World, admitted: str) -> None:
    """Workloads with quota: `name@queue amount [priority [flavor]]`, separated by semicolons."""
    for text in admitted.split("; "):
        name, amount, *more = text.split()
        name, queue = name.split("@")
        priority = int(more[0]) if more else 0
        world.workload(name, queue, amount, priority, at=more[1] if len(more) > 1 else "default")


def evict(world: World, name: str) -> None:
    """The Workload is being evicted, and still holds its quota."""
    workload = world.workloads[name]
    world.put(transitions.preempt(workload, Reason.IN_CLUSTER_QUEUE, "made room", world.now))


def label_flavors(world: World) -> None:
    for name in ("alpha", "beta"):
        world.flavor(name, nodeLabels={"type": name})
