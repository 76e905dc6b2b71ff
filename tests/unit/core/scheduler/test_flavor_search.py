"""The flavor search with usage, cohorts and preemption: the rest of the table of scheduling-cases.md §1."""

from __future__ import annotations

import pytest

from pykueue.api.constants import Annotation
from pykueue.core.features import Features, Gate
from support.flavor_search import TOLERATION, Row, in_full, reasons, search, told

TWO = {"nodeSelector": {"type": "two"}}
OVER = "PreemptionOverBorrowing"
TREE = "three three:4{two two:4{one one:4{}, other used two:4}}"
TREE_QUEUE = "one:0→two:0→three:0"
THREE = "uno:compute10,gpu10→due:compute10,gpu10→tre:compute10,gpu10"
ZERO = "uno:compute0,gpu0→due:compute0,gpu0→tre:compute0,gpu0"
LOWER = {"WCQ": "L", "RWC": "L"}

ROWS = {
    "FA-04 used quota": Row(
        "default:4", "2", "Preempt: main cpu→default -1 Preempt", "main: more(cpu,default,1)", used="default 3"
    ),
    "FA-05 two resource groups": Row(
        "one:2→two:4 ∥ b_one:mem1Gi→b_two:mem5Gi", "cpu3,mem10Mi", "Fit: main cpu→two -1, memory→b_one 0",
        "main: b_two(NoFit;lacks(b_two,mem)), one(NoFit;exc(cpu,one,0,3,2))",
    ),
    "FA-06 a group asks for its sum": Row(
        "one:4→two:9", "worker 4×2 | leader 1", "Fit: worker cpu→two -1 | leader cpu→two -1",
        "worker: one(NoFit;exc(cpu,one,0,9,4)) | leader: one(NoFit;exc(cpu,one,0,9,4))", workload={"group": "g"},
    ),
    "FA-07 a group takes the resources that offer all it asks for": Row(
        "one:cpu10,mem10 ∥ two:cpu5,mem5,gpu4", "worker 4×cpu1,mem1,gpu1 | leader cpu1,mem1",
        "Fit: worker cpu→two -1, example.com/gpu→two -1, memory→two -1 | leader cpu→two -1, memory→two -1",
        workload={"group": "g"},
    ),
    "FA-08 a group is not split": Row(
        "one:cpu4,gpu4→two:cpu5,gpu0", "worker 4×cpu1,gpu1 | leader 1", "NoFit(ExceedsMaxQuota): worker nothing | leader nothing",
        "worker: exc(cpu,one,0,5,4), exc(gpu,two,0,4,0); leader: exc(cpu,one,0,5,4), exc(gpu,two,0,4,0)",
        workload={"group": "g"},
    ),
    "FA-09 one resource by preemption, the other not at all": Row(
        "one:3 ∥ b_one:mem1Mi", "cpu3,mem10Mi", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(mem,b_one,0,10Mi,1Mi)",
        used="one 1",
    ),
    "FA-11 mixed modes in a cohort": Row(
        "one:cpu2,mem1Gi→two:cpu4,mem15Mi ∥ b_one:gpu4", "cpu3,mem10Mi,gpu3",
        "Preempt borrowing 1: main cpu→two -1, example.com/gpu→b_one -1 Preempt, memory→two -1 Preempt",
        "main: exc(cpu,one,0,3,2), more(gpu,b_one,1), more(mem,two,5Mi)", used="two mem10Mi",
        siblings=(("b_one:gpu0", "b_one gpu2"),), sim={"two mem": "preempt/1"},
    ),
    "FA-20 pod sets on different flavors": Row(
        "one:4→two:10", "driver 5 | worker 3", "Fit: driver cpu→two -1 | worker cpu→one 0",
        "driver: one(NoFit;exc(cpu,one,0,5,4))",
    ),
    "FA-21 later pod sets count earlier ones": Row(
        "default:cpu2 BL98,mem2Gi", "driver cpu4,mem1Gi | worker cpu6,mem4Gi",
        "Fit borrowing 1: driver cpu→default -1, memory→default -1 | worker cpu→default -1, memory→default -1",
        "driver: default(Fit;borrow=1) | worker: default(Fit;borrow=1)", siblings=(("default:cpu198,mem198Gi", ""),),
    ),
    "FA-22 a sibling that lends nothing": Row(
        "one:1", "2", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(cpu,one,0,2,1)", siblings=(("one:10 LL0", "one 9"),)
    ),
    "FA-23 over the borrowing limit": Row(
        "one:2 BL8", "2", "Preempt borrowing 1: main cpu→one -1 Preempt", "main: more(cpu,one,1)", used="one 9",
        siblings=(("one:98", "one 9"),), sim={"one": "preempt/1"},
    ),
    "FA-24 a cohort that is over-used": Row(
        "one:3", "2", "Preempt borrowing 1: main cpu→one -1 Preempt", "main: more(cpu,one,2)", used="one 2",
        siblings=(("one:7", "one 8"),), sim={"one": "preempt/1"},
    ),
    "FA-25 only a matching flavor may preempt": Row(
        "one:4→two:4", "2", "Preempt: main cpu→two -1 Preempt", "main: affinity(one), more(cpu,two,1)", used="one 3, two 3",
        workload={"pod": TWO},
    ),
    "FA-33 stop at preemption": Row(
        "one:pods99,cpu10→two:pods99,cpu10", "9", "Preempt: main cpu→one 0 Preempt, pods→one 0", "main: more(cpu,one,1)",
        used="one 2", options={"FF": "S/S"}, sim={"one": "preempt/0"},
    ),
    "FA-34 go on past preemption": Row(
        "one:pods99,cpu10→two:pods99,cpu10", "9", "Fit: main cpu→two -1, pods→two -1",
        "main: one(preemptionMode=Preempt;more(cpu,one,1))", used="one 2", sim={"one": "preempt/0"},
    ),
    "FA-35 borrow, for the next does not fit": Row(
        "one:10 BL1→two:1", "9", "Fit borrowing 1: main cpu→one -1", "main: one(Fit;borrow=1), two(NoFit;exc(cpu,two,0,9,1))",
        used="one 2", siblings=(("one:1", ""),), options={"FF": "T/T"},
    ),
    "FA-36 the next fits without borrowing": Row(
        "one:10 BL1→two:10", "9", "Fit: main cpu→two -1", "main: one(Fit;borrow=1)",
        used="one 2", siblings=(("one:1", ""),), options={"FF": "T/T"},
    ),
    "FA-37 borrow before the next flavor": Row(
        "one:10 BL1→two:10", "9", "Fit borrowing 1: main cpu→one 0", "main: one(Fit;borrow=1)",
        used="one 2", siblings=(("one:1", ""),),
    ),
    "FA-38 preempt while borrowing": Row(
        "one:0 BL12→two:12", "12", "Preempt borrowing 1: main cpu→one 0 Preempt", "main: more(cpu,one,10)",
        siblings=(("one:12", "one 10"),), options={"RWC": "L", "BWC": "L", "FF": "S/S"}, sim={"one": "preempt/1"},
    ),
    "FA-38 without a limit": Row(
        "one:0→two:12", "12", "Preempt borrowing 1: main cpu→one 0 Preempt", "main: more(cpu,one,10)",
        siblings=(("one:12", "one 10"),), options={"RWC": "L", "BWC": "L", "FF": "S/S"}, sim={"one": "preempt/1"},
    ),
    "FA-39 try the next where it would borrow": Row(
        "one:0 BL12→two:12", "12", "Fit: main cpu→two -1", "main: one(Fit;borrow=1)",
        siblings=(("one:12", ""),), options={"RWC": "L", "BWC": "L", "FF": "T/S"},
    ),
    "FA-40 a borrowing limit beyond the cohort": Row(
        "one:0 BL12", "12", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(cpu,one,0,12,11)",
        siblings=(("one:11", "one 10"),),
    ),
    "FA-41 a lending limit does not bind its owner": Row(
        "one:10 LL1→two:10 LL0", "9", "Fit: main cpu→two -1", "main: one(Fit;borrow=1)", used="one 2",
        siblings=(("one:1", ""),), options={"FF": "T/T"},
    ),
    "FA-41 too little in the second flavor": Row(
        "one:10 LL1→two:1 LL0", "9", "Fit borrowing 1: main cpu→one -1",
        "main: one(Fit;borrow=1), two(NoFit;exc(cpu,two,0,9,1))", used="one 2", siblings=(("one:1", ""),),
        options={"FF": "T/T"},
    ),
    "FA-42 no candidates, so the next flavor": Row(
        "one:0 BL2→two:0 BL2", "2", "Fit borrowing 1: main cpu→two -1",
        "main: one(preemptionMode=NoCandidates;borrow=1;more(cpu,one,2)), two(Fit;borrow=1)",
        siblings=(("one:2→two:2", "one 2"),), options={"RWC": "L", "BWC": "L", "FF": "S/S"}, sim={"one": "none/1"},
    ),
    "FA-43 its own quota is used up": Row(
        "one:10 LL0", "9", "Preempt borrowing 1: main cpu→one -1 Preempt", "main: more(cpu,one,1)", used="one 2",
        siblings=(("one:0", ""),), sim={"one": "preempt/1"},
    ),
    "FA-44 fair sharing may preempt while borrowing": Row(
        "one:0→two:12", "12", "Preempt borrowing 1: main cpu→one 0 Preempt", "main: more(cpu,one,10)",
        siblings=(("one:12", "one 10"),), options={"RWC": "A", "FF": "S/S"}, sim={"one": "preempt/1"}, fair=True,
    ),
    "FA-45 fair sharing that never reclaims": Row(
        "one:0→two:12", "12", "Fit: main cpu→two -1", "main: one(NoFit;borrow=1;more(cpu,one,10))",
        siblings=(("one:12", "one 10"),), options={"FF": "S/S"}, fair=True,
    ),
    "FA-46 a new slice asks for the increase": Row(
        "one:cpu3,mem1Gi→two:cpu4,mem1Gi", "cpu3,mem10Mi", "Fit: main cpu→two -1, memory→two -1",
        "main: one(NoFit;slice(one,two);slice(one,two))", used="two cpu2,mem10Mi",
        workload={"metadata": {"annotations": {Annotation.WORKLOAD_SLICE_REPLACEMENT_FOR: "ns/held-cq-0"}}},
    ),
    "FA-49 a pod set that fails ends the search": Row(
        "one:2→two:2", "fitting 1 | blocking 5 | never 1", "NoFit(ExceedsMaxQuota): fitting cpu→one 0 | blocking nothing",
        "blocking: exc(cpu,one,1,5,2), exc(cpu,two,0,5,2)",
    ),
    "FA-50 a flavor that fits after two that do not": Row(
        THREE, "gpu10", "Fit: main example.com/gpu→tre -1", used="uno gpu1", siblings=((ZERO, "due gpu1"),),
        options={**LOWER, "FF": "S/T"}, sim={"uno": "preempt", "due": "reclaim"},
        told="main: due(preemptionMode=Reclaim;more(gpu,due,1)), uno(preemptionMode=Preempt;more(gpu,uno,1))",
    ),
    "FA-51 reclaim goes before preemption by priority": Row(
        THREE, "gpu10", "Preempt: main example.com/gpu→due -1 Preempt",
        "main: more(gpu,due,1), more(gpu,tre,1), more(gpu,uno,1)", used="uno gpu1",
        siblings=((ZERO, "due gpu1, tre gpu1"),), options={**LOWER, "FF": "S/T"},
        sim={"uno": "preempt", "due": "reclaim", "tre": "reclaim"},
    ),
    "FA-52 the first where the search may stop": Row(
        THREE, "gpu10", "Preempt: main example.com/gpu→uno 0 Preempt", "main: more(gpu,uno,1)", used="uno gpu1",
        siblings=((ZERO, "due gpu1, tre gpu1"),), options={**LOWER, "FF": "S/S"},
        sim={"uno": "preempt", "due": "reclaim", "tre": "reclaim"},
    ),
    "FA-53 preemption everywhere": Row(
        THREE, "gpu10", "Preempt: main example.com/gpu→uno -1 Preempt",
        "main: more(gpu,due,1), more(gpu,tre,1), more(gpu,uno,1)", used="uno gpu1, due gpu1, tre gpu1",
        siblings=((ZERO, ""),), options={**LOWER, "FF": "S/T"}, sim={"uno": "preempt", "due": "preempt", "tre": "preempt"},
    ),
    "FA-54 the worst resource of a flavor counts": Row(
        THREE, "compute10,gpu10", "Preempt: main compute→tre -1, example.com/gpu→tre -1 Preempt",
        "main: more(compute,due,1), more(compute,uno,1), more(gpu,due,1), more(gpu,tre,1), more(gpu,uno,1)",
        used="uno compute1,gpu1, due compute1", siblings=((ZERO, "due gpu1, tre gpu1"),), options={**LOWER, "FF": "S/T"},
        sim={"uno": "preempt", "due compute": "preempt", "due gpu": "reclaim", "tre gpu": "reclaim"},
    ),
    "FA-55 a flavor that is not there": Row(
        "deleted:4→flavor:4", "3", "Fit: main cpu→flavor -1", "main: deleted(NoFit;flavor deleted not found)",
        options={"missing": ["deleted"]},
    ),
    "FA-55 no other flavor": Row(
        "deleted:4", "3", "NoFit(NoMatchingFlavor): main nothing", "main: flavor deleted not found",
        options={"missing": ["deleted"]},
    ),
    "FA-56 the level is the height of the cohort": Row(
        TREE_QUEUE, "4", "Fit borrowing 3: main cpu→three -1", tree=TREE, cohort="one", used="one 4",
        told="main: one(NoFit;borrow=3;more(cpu,one,4)), three(Fit;borrow=3), two(NoFit;borrow=3;more(cpu,two,4))",
    ),
    "FA-56 the nearer cohort is free": Row(
        TREE_QUEUE, "4", "Fit borrowing 2: main cpu→two 1", tree=TREE.replace(" used two:4", ""), cohort="one", used="one 4",
        told="main: one(NoFit;borrow=3;more(cpu,one,4)), two(Fit;borrow=2)",
    ),
    "FA-57 a nearer flavor without candidates loses": Row(
        "one:4 BL0→two:0", "4", "Fit borrowing 2: main cpu→two -1", tree=TREE.replace(" used two:4", ""), cohort="one",
        used="one 4", options={"FF": "T/T", "preference": OVER}, sim={"one": "none/1"},
        told="main: one(preemptionMode=NoCandidates;borrow=1;more(cpu,one,4)), two(Fit;borrow=2)",
    ),
    "FA-62 the best flavor tells the reason": Row(
        "one:2→tainted:9", "3", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(cpu,one,0,3,2), taint(tainted)"
    ),
    "FA-63 no flavor matches": Row(
        "one:2→tainted:9", "1", "NoFit(NoMatchingFlavor): main nothing", "main: affinity(one), taint(tainted)",
        workload={"pod": TWO},
    ),
    "FA-63 nor for more": Row(
        "one:2→tainted:9", "3", "NoFit(NoMatchingFlavor): main nothing", "main: affinity(one), taint(tainted)",
        workload={"pod": TWO},
    ),
    "FA-64 a cohort in use": Row(
        "one:0", "3", "NoFit(WaitingForQuota): main nothing", "main: more(cpu,one,3)", siblings=(("one:4", "one 4"),)
    ),
    "FA-64 more than the cohort": Row(
        "one:0", "5", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(cpu,one,0,5,4)", siblings=(("one:4", "one 4"),)
    ),
    "FA-64 more than may be borrowed": Row(
        "one:2 BL1", "4", "NoFit(ExceedsMaxQuota): main nothing", "main: exc(cpu,one,0,4,3)", siblings=(("one:2", "one 2"),)
    ),
    "FA-69 flavors that a variant may use": Row(
        "one:4→two:4", "3", "Fit: main cpu→two -1",
        "main: one(NoFit;skipping flavor one due to WorkloadAllowedResourceFlavorAnnotation annotation)",
        workload={"metadata": {"annotations": {Annotation.ALLOWED_RESOURCE_FLAVORS: "two"}}},
        features=Features({Gate.CONCURRENT_ADMISSION: True}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_search(name: str) -> None:
    """Flavors, indexes and modes that are found, and what is told of them."""
    row = ROWS[name]
    found = search(row)
    assert (told(found), reasons(found)) == (row.want, in_full(row.told))


def test_what_is_refused_uses_nothing() -> None:
    """FA-08, FA-09: nothing of a group that is refused is used."""
    assert search(ROWS["FA-08 a group is not split"]).usage == {}
    assert search(ROWS["FA-09 one resource by preemption, the other not at all"]).usage == {}


def test_only_the_increase_of_a_slice_counts() -> None:
    """FA-46, FA-47: a new slice uses what it needs more, and cannot move to another flavor."""
    row = ROWS["FA-46 a new slice asks for the increase"]
    assert sorted(search(row).usage.values()) == [0, 1000]
    moving = Row(
        "one:500m,mem1Gi→two:4,mem1Gi", "cpu1500m,mem10Mi", "", used="one cpu500m,mem10Mi", workload=row.workload
    )
    found = search(moving)
    assert told(found) == "NoFit(ExceedsMaxQuota): main nothing"
    assert reasons(found) == in_full("main: slice(two,one), slice(two,one), exc(cpu,one,0,1,500m)")


def test_pod_sets_preempt_on_different_flavors() -> None:
    """FA-26: the launcher tolerates nothing, so it goes on one, and the workers find more elsewhere."""
    workers = {"name": "workers", "count": 10, "template": {"spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "tolerations": [TOLERATION],
    }}}  # fmt: skip
    launcher = {"name": "launcher", "count": 1, "template": {"spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}],
    }}}  # fmt: skip
    row = Row("one:4→tainted:10", "1", "", used="one 3, tainted 3", workload={"pod_sets": [launcher, workers]})
    found = search(row)
    assert told(found) == "Preempt: launcher cpu→one -1 Preempt | workers cpu→tainted -1 Preempt"
    assert reasons(found) == in_full(
        "launcher: more(cpu,one,1), taint(tainted); workers: exc(cpu,one,2,10,4), more(cpu,tainted,3)"
    )


@pytest.mark.parametrize(("is_on", "want"), [(True, "Fit"), (False, "NoFit")])
def test_reclaimable_pods(is_on: bool, want: str) -> None:
    """FA-32: pods that are given back lower the count, if the gate is on."""
    status = {"reclaimablePods": [{"name": "main", "count": 2}]}
    features = Features({Gate.RECLAIMABLE_PODS: is_on})
    row = Row("default:pods3,cpu10", "5×1", "", workload={"status": status}, features=features)
    found = search(row)
    assert told(found).startswith(want)
    assert found.pod_sets[0].count == (3 if is_on else 5)
