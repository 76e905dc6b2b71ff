"""In which order a cycle processes its heads: the table of scheduling-cases.md §3 on entry order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, RequeuingStrategy, WaitForPodsReady
from pykueue.api.constants import Reason
from pykueue.api.instant import Instant, format_time
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate
from pykueue.core.queue.heads import Pending
from pykueue.core.scheduler.assignment import Assignment, ScanProgress
from pykueue.core.scheduler.entry import Entry
from pykueue.core.scheduler.ordering import classical_order
from pykueue.core.scheduler.preemption.candidates import Target
from pykueue.core.workload.info import InfoMaker
from support.world import World, admits

SECOND = 1_000_000
START = Instant(1_700_000_000 * SECOND)


def at(seconds: float) -> str:
    return format_time(Instant(START + int(seconds * SECOND)))


def entry(text: str, maker: InfoMaker) -> Entry:
    """`name t3 p1 b2 E2`: created at 3 s, priority 1, borrowing level 2, evicted for its pods at 2 s.

    Further marks: `IQ5` and `RWB6`, preempted at that time for that reason; `preemptor`; `quota`, it holds some already.
    """
    name, *marks = text.split()
    numbers: dict[str, int] = {}
    for mark in marks:
        letters = mark.rstrip("0123456789-")
        numbers[letters] = int(mark[len(letters) :] or 0)
    conditions: list[dict[str, Any]] = []
    if "E" in numbers:
        conditions.append(condition("Evicted", "PodsReadyTimeout", numbers["E"]))
    for short, reason in (("IQ", "InClusterQueue"), ("RWB", "InCohortReclaimWhileBorrowing")):
        if short in numbers:
            conditions.append(condition("Evicted", "Preempted", numbers[short]))
            conditions.append(condition("Preempted", reason, numbers[short]))
    status: dict[str, Any] = {"conditions": conditions}
    if "quota" in numbers:
        conditions.append(condition("QuotaReserved", "QuotaReserved", 0))
        status["admission"] = {"clusterQueue": "cq", "podSetAssignments": []}
    obj = {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": at(numbers.get("t", 0))},
        "spec": {"priority": numbers.get("p", 0), "queueName": "lq", "podSets": []},
        "status": status,
    }
    info = maker.pending(msgspec.convert(obj, Workload), "cq")
    made = Entry(info, Pending(info), None)
    progress = ScanProgress((), generation=1, cycle=1, equivalence="")
    made.assignment = Assignment(pod_sets=[], usage={}, progress=progress, borrowing=numbers.get("b", 0))
    if "preemptor" in numbers:
        made.targets = [Target(info, Reason.IN_CLUSTER_QUEUE)]
    return made


def condition(type_: str, reason: str, since: int) -> dict[str, Any]:
    return {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": at(since)}


def order(texts: str, timestamp: str = "Eviction", **gates: bool) -> str:
    config = Configuration(
        wait_for_pods_ready=WaitForPodsReady(requeuing_strategy=RequeuingStrategy(timestamp=timestamp))
    )
    features = Features({Gate[name]: value for name, value in gates.items()})
    maker = InfoMaker(config, features, lambda _: (), lambda _: None)
    entries = [entry(text.strip(), maker) for text in texts.split(",")]
    return " ".join(e.info.key.name for e in classical_order(entries, features))


NINE = (
    "old_b t0 b1, old t1, new t3, hi_b t3 p1 b1, new_hi t4 p1, new_b t3 b1, ev_b t1 E2 b1, rec_ev t0 E2, hi_b2 t3 p1 b2"
)
PREEMPTED = "A t0 p1 IQ5, B t0 p1 RWB6, C t0 p1 RWB7, D t1 p1, P t7 p2"
PREEMPTORS = "pb preemptor t1 p1 b1, pn preemptor t2 p1, n t0 p2"


@pytest.mark.parametrize(
    ("texts", "timestamp", "by_priority", "want"),
    [
        (NINE, "Eviction", True, "new_hi old rec_ev new hi_b old_b ev_b new_b hi_b2"),
        (NINE, "Creation", True, "new_hi rec_ev old new hi_b old_b ev_b new_b hi_b2"),
        (NINE, "Eviction", False, "old rec_ev new new_hi old_b ev_b hi_b new_b hi_b2"),
        (NINE, "Creation", False, "rec_ev old new new_hi old_b ev_b hi_b new_b hi_b2"),
        (PREEMPTED, "Eviction", False, "A D B P C"),
        (PREEMPTED, "Eviction", True, "P A B C D"),
    ],
    ids=["CY-60", "CY-61", "CY-62", "CY-63", "CY-64", "CY-65"],
)
def test_order(texts: str, timestamp: str, by_priority: bool, want: str) -> None:
    """Borrowing, priority where it sorts, time; equal entries keep their order."""
    assert order(texts, timestamp, PRIORITY_SORTING_WITHIN_COHORT=by_priority) == want


@pytest.mark.parametrize(("is_on", "want"), [(True, "pn pb n"), (False, "n pn pb")])
def test_preemptors_first(is_on: bool, want: str) -> None:
    """CY-66: with the gate, whoever preempts goes before whoever fits."""
    assert order(PREEMPTORS, PRIORITIZE_PREEMPTOR_WORKLOADS=is_on) == want


def test_who_has_quota_goes_first() -> None:
    """CY-67: a second pass comes before all others, whatever their priority."""
    assert order("high t0 p9, again t5 quota, low t0") == "again high low"


def test_the_order_of_heads_is_the_order_of_decisions() -> None:
    """Two heads of equal borrowing: the more important one is decided first, though its queue has a later name."""
    world = World()
    for name in ("a", "b"):
        world.queue(name, "default:0", "co")
    world.queue("bank", "default:1", "co")
    world.workload("low", "a", "1", 0)
    world.workload("high", "b", "1", 1)
    assert list(admits(world.cycle())) == ["high"]
