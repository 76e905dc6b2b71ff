"""One cycle over several heads: the tables of scheduling-cases.md §3 and §6.3, each as exactly what becomes of whom."""

from __future__ import annotations

import pytest

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.core.features import Features, Gate
from support.stage import CR, FSH, IQ, enter, outcome, set_stage
from support.world import World

F1 = """
    sales[alone] default:50 BL0 | strict
    alpha[eng] on-demand:50 BL50→spot:100 BL0 | strict
    beta[eng] on-demand:50 BL10→spot:0 BL100 ∥ model-a:gpu20 BL0 | strict RWC=A WCQ=L
    lend-a[lend] default:3 LL2
    lend-b[lend] default:2 LL2
"""
GAMMA = F1 + "gamma[eng] on-demand:50 BL10→spot:0 BL100 | RWC=A WCQ=L"
THREE = "\n".join(f"cq{i}[co] default:r110 BL10,r210 BL10 | RWC=A WCQ=L" for i in (1, 2, 3))
FLAVORS = "alpha[co] on-demand:gpu10→spot:gpu10 | WCQ=L RWC=L\nbeta[co] on-demand:gpu0→spot:gpu0"
RECLAIM = "c1[co] default:gpu10\nc2[co] default:gpu10 | RWC=A\nc3[co] default:gpu0"
CHILD = "root{{child{{lender 10 LL{}, borrower 5 BL10 used 5}}}}"
NARROW = """
    root spot:5{mid{}}
    cq[mid] on-demand:5 BL0→spot:0 | FF=T/T WCQ=L preference=PreemptionOverBorrowing
    sibling[mid] on-demand:5
    lender[root] spot:0
"""

CASES = {
    "CY-10 a queue that is full": (F1, "h@sales 40", "w@sales 11", {"w": "heap WaitingForQuota"}),
    "CY-11 more than can be had": (F1, "", "w@sales 100", {"w": "heap ExceedsMaxQuota"}),
    "CY-14 cohorts do not know each other": (
        F1, "", "a@sales 1; b@alpha 51", {"a": "on default", "b": "on on-demand"},
    ),
    "CY-15 within their own quota": (F1, "", "a@alpha 40; b@beta 40", {"a": "on on-demand", "b": "on on-demand"}),
    "CY-17 the borrower is skipped": (F1, "", "a@alpha 45; b@beta 56", {"a": "on on-demand", "b": "heap NO_LONGER_FITS"}),
    "CY-18 the borrower still fits": (F1, "", "a@alpha 45; b@beta 55", {"a": "on on-demand", "b": "on on-demand"}),
    "CY-19 who waits for another flavor blocks nobody": (
        F1, "h1@beta 50 on-demand; h2@beta 1 spot", "a@alpha 100; b@beta 1",
        {"a": "heap WaitingForQuota", "b": "on on-demand"},
    ),
    "CY-20 a lender keeps its part": (F1, "h@lend-b 2", "w@lend-b 3", {"w": "parked WaitingForQuota"}),
    "CY-21 below a lending limit in a tree": (CHILD.format(3), "", "w@borrower 4", {"w": "parked WaitingForQuota"}),
    "CY-22 at it": (CHILD.format(5), "", "w@borrower 5", {"w": "on default"}),
    "CY-23 the second flavor": (F1, "h@beta 45 on-demand", "a@alpha 60", {"a": "on spot"}),
    "CY-24 no more than there is": (
        GAMMA, "h1@gamma 51 on-demand; h2@gamma 100 spot", "b@beta 50; a@alpha 1; g@gamma 50",
        {"b": "on on-demand", "a": "on on-demand", "g": "parked WaitingForQuota"},
    ),
    "CY-25 different resources of one flavor": (
        THREE, "", "w1@cq1 r116 p-1; w2@cq2 r216 p-2", {"w1": "on default", "w2": "on default"},
    ),
    "CY-26 one resource, enough for both": (
        THREE, "", "w1@cq1 r116; w2@cq2 r114", {"w1": "on default", "w2": "on default"},
    ),
    "CY-27 one resource, too little for both": (
        THREE, "", "w1@cq1 r116; w2@cq2 r116", {"w1": "on default", "w2": "heap NO_LONGER_FITS"},
    ),
    "CY-28 a borrower that waits does not hold up who fits": (
        "shared[co] default:4 BL0\na[co] default:0 BL3 | RWC=L BWC=L\nb[co] default:0 BL3 | RWC=L BWC=L", "h@a 2",
        "wa@a 3; wb@b 1", {"wa": "parked WaitingForQuota", "wb": "on default"},
    ),
    "CY-29 nobody is over nominal": (
        "alpha[co] default:2 | RWC=A WCQ=L\nbeta[co] default:2", "a1@alpha 1 p-1; b1@beta 1 p-1", "w@alpha 3 p1",
        {"w": "parked WaitingForQuota"},
    ),
    "CY-31 one fits, another preempts": (
        "alpha[co] default:1 | WCQ=L\nbeta[co] default:2 | WCQ=L", "b1@beta 2", "fit@alpha 1 p100; in@beta 2 p99",
        {"fit": "on default", "b1": IQ, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-33 victims in the cohort and in the queue": (
        F1, "s@alpha 100 spot; borrower@alpha 60 on-demand; low-1@beta 30 p-1 on-demand; low-2@beta 10 p-2 on-demand",
        "in@beta 20", {"borrower": CR, "low-2": IQ, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-34 the victim's queue waits": (
        "oa[other] default:50 BL50\nob[other] default:50 BL10 | RWC=A WCQ=L", "h@oa 100", "in@ob 1 p-1; w@oa 1 p1",
        {"h": CR, "in": "heap WaitingForPreemptedWorkloads", "w": "parked WaitingForQuota"},
    ),
    "CY-35 the flavor that can be reclaimed": (
        FLAVORS, "a1@alpha gpu5 p50 on-demand; b1@beta gpu5 p50 spot", "in@alpha gpu6 p100",
        {"b1": CR, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-36 the second flavor would need both": (
        FLAVORS, "a1@alpha gpu5 p50 on-demand; a2@alpha gpu5 p50 spot; b1@beta gpu5 p50 spot", "in@alpha gpu6 p100",
        {"a1": IQ, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-37 the borrower is too important": (
        FLAVORS, "a1@alpha gpu6 p50 on-demand; b1@beta gpu6 p9001 spot", "in@alpha gpu5 p100",
        {"a1": IQ, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-38 who reclaims goes before a fuller queue": (
        RECLAIM, "h1@c1 gpu5; low@c3 gpu5; high@c3 gpu5 p1", "w1@c1 gpu10; w2@c2 gpu10",
        {"w1": "parked WaitingForQuota", "low": CR, "w2": "heap WaitingForPreemptedWorkloads"},
    ),
    "CY-41 nobody to preempt in a queue within its quota": (
        "cq1[co] on-demand:0 BL1→spot:0 BL1 | WCQ=L RWC=A BWC=L FF=S/S\ncq2[co] on-demand:1→spot:1",
        "h@cq2 1 on-demand", "w@cq1 1 p100", {"w": "on spot"},
    ),
    "CY-46 preemption before borrowing, but nobody to preempt": (
        NARROW, "h@cq 5 on-demand", "w@cq 5", {"w": "on spot"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_cycle(name: str) -> None:
    """Of all Workloads exactly these are admitted, preempted, parked or kept."""
    queues, held, waiting, want = CASES[name]
    check(World(), queues, held, waiting, want)


FAIR_F1 = F1 + "shared[eng] on-demand:10 BL0"
FLAT = "\n".join(f"{name}[co] default:2 | WCQ=L BWC=L" for name in ("alpha", "beta", "gamma")) + "\nbank[co] default:3"
PICKY = (
    "alpha[co] on-demand:gpu7→spot:gpu7 | WCQ=L RWC=L\nbeta[co] on-demand:gpu3→spot:gpu3",
    "a1@alpha gpu5 p50 on-demand; b1@beta gpu5 p50 spot",
    "in@alpha gpu8 p100",
)  # fmt: skipPINNED = "cq-1[co] default:5→od:5 | WCQ=L RWC=A\ncq-2[co] default:5→od:5 | WCQ=L RWC=A"

PINNED = "cq-1[co] default:5→od:5 | WCQ=L RWC=A\ncq-2[co] default:5→od:5 | WCQ=L RWC=A"

FAIR = {
    "FC-01 the lower share first": (
        FAIR_F1, "h1@alpha 50 on-demand; h2@beta 55 on-demand", "b@beta 1; a@alpha 5",
        {"a": "on on-demand", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-02 who does not borrow first": (
        "a[co] on-demand:50 BL0→spot:50 BL50\nb[co] on-demand:10 BL50→spot:50 BL0",
        "h1@a 80 spot; h2@b 5 on-demand", "b@b 15; a@a 45", {"a": "on on-demand", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-03 shares of the cohorts": (
        "root{A 10{a 0}, B{b 5, c 0 used 10}}", "", "a@a 5; b@b 5", {"a": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-04 shares of the cohorts, one level deeper": (
        "root{A{SUB 10{a 0}}, B{b 5, c 0 used 10}}", "", "a@a 5; b@b 5",
        {"a": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-05 the cohort that borrows less": (
        "root{A 10{a1 5, a2 3 used 6}, B 10{b 5, c 3 used 20}}", "", "b@b 4; a@a1 7",
        {"a": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-06 shares of the flavor that is asked for": (
        "root{A on-demand:10{}, B spot:10{}}\na[A] on-demand:0→spot:0\nb[B] on-demand:5→spot:0",
        "h1@a 5 spot; h2@b 8 on-demand", "b@b 4; a@a 4", {"a": "on on-demand", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-07 who wins below must win above too": (
        "A 200{B{d 0 used 10, e 0 used 20}, C{f 0, g 0 used 100}}", "", "d@d 70; e@e 61; f@f 1; g@g 1",
        {"d": "on default"} | dict.fromkeys("efg", "heap NO_LONGER_FITS"),
    ),
    "FC-08 the share after adding": (
        "A 100{b 0 used 10, c 0}", "", "b@b 50; c@c 75", {"b": "on default", "c": "heap NO_LONGER_FITS"},
    ),
    "FC-09 no weights": (
        "A 8{b 0 w0 used 4, c 0 w0}", "", "b@b 4 p9001; c@c 4", {"c": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-09 weights so large that no share is left": (
        "A 8{b 0 w123456789 used 4, c 0 w123456789}", "", "b@b 4 p9001; c@c 4",
        {"c": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-10 trees do not know each other": (
        "A 10{a 0}\nB{b 10}\nc default:10", "", "a@a 10; b@b 10; c@c 10",
        {"a": "on default", "b": "on default", "c": "on default"},
    ),
    "FC-11 equal shares: the priority": (
        "A 10{b 0, c 0}", "", "b@b 10 p99; c@c 10 p101", {"c": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-12 equal priorities: who is older": (
        "A 10{b 0, c 0}", "", "b@b 10 t5; c@c 10 t1", {"c": "on default", "b": "heap NO_LONGER_FITS"},
    ),
    "FC-13 victims in two queues": (
        F1 + "gamma[eng] on-demand:50 | RWC=A WCQ=L",
        "; ".join(
            ["a0@alpha 100 spot"] + [f"a{i}@alpha 20 on-demand" for i in range(1, 5)] + ["g1@gamma 10 on-demand"]
            + [f"g{i}@gamma 20 on-demand" for i in range(2, 5)]
        ),
        "in@beta 30", {"a1": CR, "g1": CR, "in": "heap WaitingForPreemptedWorkloads"},
    ),
    "FC-14 three preemptors": (
        FLAT, "a1@alpha 3; b1@beta 3; c1@gamma 3", "a@alpha 3 p100; b@beta 3 p100; c@gamma 3 p100",
        {"a1": IQ, "b1": IQ, "c1": IQ} | dict.fromkeys("abc", "heap WaitingForPreemptedWorkloads"),
    ),
    "FC-16 reclaiming, even while borrowing": (*PICKY, {"b1": FSH, "in": "heap WaitingForPreemptedWorkloads"}),
    "FC-17 the flavor that is borrowed from nearer": (
        "root on-demand:2→spot:0{child on-demand:5→spot:7{}}\nq[child] on-demand:3→spot:3 | FF=T/T",
        "h1@q 8 on-demand; h2@q 3 spot", "w@q 1", {"w": "on spot"},
    ),
    "FC-18 another victim than the one that is taken": (
        "root 3005{pa{hero 3000 WCQ=L RWC=A, noisy 0 WCQ=L RWC=A}, pb{tiny 50 WCQ=L RWC=A}, pc{rest 0}}",
        "n@noisy 3000; t1@tiny 60; r1@rest 2995", "t@tiny 10; h@hero 2990",
        {"r1": FSH, "n": CR} | dict.fromkeys("th", "heap WaitingForPreemptedWorkloads"),
    ),
    "FC-20 only the flavor that was nominated": (
        PINNED, "h1@cq-1 10 default; h2@cq-1 10 od", "w1@cq-1 10 p11; w2@cq-2 10 p10",
        {"h1": FSH, "w2": "heap WaitingForPreemptedWorkloads", "w1": "parked WaitingForQuota"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAIR)
def test_fair_cycle(name: str) -> None:
    """With fair sharing, of all Workloads exactly these are admitted, preempted, parked or kept."""
    queues, held, waiting, want = FAIR[name]
    check(World(Configuration(fair_sharing=FairSharing())), queues, held, waiting, want)


OVERLAPPING = """
    alpha[co] default:cpu0,ra1,rb0,rc0 | WCQ=L RWC=A
    beta[co] default:cpu0,ra0,rb1,rc0 | WCQ=L RWC=A
    gamma[co] default:cpu0,ra0,rb0,rc1 | WCQ=L RWC=A
    bank[co] default:cpu9,ra0,rb0,rc0
"""


@pytest.mark.parametrize(
    ("queues", "held", "waiting", "want"),
    [
        (
            OVERLAPPING, "a1@alpha ra1; b1@beta rb1; c1@gamma cpu9,rc1", "a@alpha cpu3,ra1 p100; b@beta cpu3,rb1 p99",
            {"a1": IQ, "c1": FSH, "a": "heap WaitingForPreemptedWorkloads", "b": "heap OVERLAP"},
        ),
        (
            PINNED, "h1@cq-1 10 default; h2@cq-1 10 od", "w1@cq-1 10 p11; w2@cq-2 10 p10",
            {"h1": FSH, "w2": "heap WaitingForPreemptedWorkloads", "w1": "heap OVERLAP"},
        ),
    ],
    ids=["FC-15 a victim of two", "FC-20 with no second look"],
)  # fmt: skip
def test_overlapping_victims_without_a_second_look(queues: str, held: str, waiting: str, want: dict[str, str]) -> None:
    """With the gate off an entry whose victim is taken is skipped, and counted as skipped."""
    off = Features({Gate.RECOMPUTE_ASSIGNMENT_UPON_PREEMPTION_TARGETS_OVERLAP: False})
    world = World(Configuration(fair_sharing=FairSharing()), off)
    set_stage(world, queues)
    enter(world, held, holding=True)
    enter(world, waiting, holding=False)
    result = world.cycle()
    assert outcome(world, result) == want
    assert list(result.skipped.values()) == [1]


def check(world: World, queues: str, held: str, waiting: str, want: dict[str, str]) -> None:
    set_stage(world, queues)
    enter(world, held, holding=True)
    enter(world, waiting, holding=False)
    assert outcome(world, world.cycle()) == want
