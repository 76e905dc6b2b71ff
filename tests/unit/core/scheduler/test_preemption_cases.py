"""Who is preempted: the tables of scheduling-cases.md §4 to §6.2, as exact sets of victims."""

from __future__ import annotations

import pytest

from pykueue.api.configuration.types import Configuration, FairSharing
from support.world import World, victims

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
    "PR-06 nobody is over nominal": ("h@c1 4 1; l@c2 4 -1", "c1 4 1", {}),
    "PR-07 not enough is borrowed": ("h@c1 4 1; x@c2 4 -1; y@c2 4 -1", "c1 4 1", {}),
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
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical(name: str) -> None:
    """Exactly these Workloads are preempted, for these reasons."""
    admitted, incoming, want = CLASSICAL[name]
    check(fixture_p(), admitted, incoming, want)


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
    "HI-14 lending limit": (
        lambda: without_qn(hierarchy(c="default:2", q="default:3 LL2")), "b@qb 4", "q 5 -2", {"b": CR},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_hierarchical(name: str) -> None:
    """In a tree of cohorts exactly these Workloads are preempted."""
    make, admitted, incoming, want = HIERARCHICAL[name]
    check(make(), admitted, incoming, want)


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


def check(world: World, admitted: str, incoming: str, want: dict[str, str]) -> None:
    for text in admitted.split("; "):
        name, amount, *priority = text.split()
        name, queue = name.split("@")
        world.workload(name, queue, amount, int(priority[0]) if priority else 0, at="default")
    queue, amount, priority_text = incoming.split()
    world.workload("incoming", queue, amount, int(priority_text), t=10)
    assert victims(world.cycle()) == want
