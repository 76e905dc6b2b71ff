"""Who is first, and where a Workload goes after an attempt that failed: the tables of scheduling-cases.md §7."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, RequeuingStrategy, WaitForPodsReady
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate
from pykueue.core.queue.heads import Pending, PendingQueue, RequeueReason
from pykueue.core.scheduler.assignment import ScanProgress
from pykueue.core.workload.info import Info, InfoMaker
from pykueue.core.workload.requeue import is_backoff_over, queue_timestamp

SECOND = 1_000_000
NOW = Instant(1_700_000_000 * SECOND)
R = RequeueReason
WHY = ("WaitingForQuota", "Bypassed")
KEY = ObjectKey("ns", "w")


def at(seconds: float) -> str:
    return format_time(Instant(NOW + int(seconds * SECOND)))


def condition(type_: str, status: str = "True", reason: str = "", since: float = 0) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason or type_, "lastTransitionTime": at(since)}


def make(
    name: str = "w", priority: int = 0, t: float = 0, *, generation: int = 1, cpu: str = "1", **more: Any
) -> Workload:
    """A Workload. More: conditions, status, annotations, uid, labels, version."""
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    obj = {
        "metadata": {
            "name": name, "namespace": "ns", "uid": more.get("uid", name), "generation": generation,
            "creationTimestamp": at(t), "annotations": more.get("annotations", {}), "labels": more.get("labels", {}),
            "resourceVersion": more.get("version", "1"),
        },
        "spec": {
            "podSets": [{"name": "main", "count": 3, "template": {"spec": {"containers": containers}}}],
            "queueName": "lq", "priority": priority,
        },
        "status": {"conditions": more.get("conditions", ()), **more.get("status", {})},
    }  # fmt: skip
    return msgspec.convert(obj, Workload)


def maker(gates: dict[Gate, bool] | None = None) -> InfoMaker:
    return InfoMaker(Configuration(), Features(gates or {}), lambda _: (), lambda _: None)


def info(workload: Workload, gates: dict[Gate, bool] | None = None) -> Info:
    return maker(gates).pending(workload, "cq")


def push(queue: PendingQueue, workload: Workload, gates: dict[Gate, bool] | None = None) -> None:
    queue.push_or_update(info(workload, gates), NOW, keep_progress=True)


def popped(queue: PendingQueue) -> Pending:
    item = queue.pop()
    assert item is not None
    return item


def where(queue: PendingQueue, name: str = "w") -> str:
    key = ObjectKey("ns", name)
    assert key in queue
    return "flight" if queue.in_flight == key else "parked" if queue.is_parked(key) else "heap"


# --- order -----------------------------------------------------------------------------------------------------------

TIMED_OUT = condition("Evicted", reason="PodsReadyTimeout", since=3)

ORDERS: dict[str, tuple[list[Workload], str, list[str]]] = {
    "QO-01 the older": ([make("w1", t=0), make("w2", t=1)], "Eviction", ["w1", "w2"]),
    "QO-02 the more important": ([make("w1", 0, 1), make("w2", 5, 2)], "Eviction", ["w2", "w1"]),
    "QO-03 evicted for its pods, by eviction": (
        [make("w1", t=1, conditions=[TIMED_OUT]), make("w2", t=2)], "Eviction", ["w2", "w1"],
    ),
    "QO-03 evicted for its pods, by creation": (
        [make("w1", t=1, conditions=[TIMED_OUT]), make("w2", t=2)], "Creation", ["w1", "w2"],
    ),
    "QO-04 preempted": (
        [make("w1", t=1, conditions=[condition("Evicted", reason="Preempted", since=3)]), make("w2", t=2)], "Eviction",
        ["w1", "w2"],
    ),
    "QO-05 was evicted once": (
        [make("w1", t=1, conditions=[TIMED_OUT | {"status": "False"}]), make("w2", t=2)], "Eviction", ["w1", "w2"],
    ),
    "QO-06 a check wants a retry": (
        [make("w1", t=1, conditions=[condition("Evicted", reason="AdmissionCheck", since=3)]), make("w2", t=2)],
        "Creation", ["w2", "w1"],
    ),
    "QO-07 the uid decides at last": ([make("w1", uid="b"), make("w2", uid="a")], "Eviction", ["w2", "w1"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_order(name: str) -> None:
    """They are popped in this order."""
    workloads, timestamp, want = ORDERS[name]
    config = Configuration(
        wait_for_pods_ready=WaitForPodsReady(requeuing_strategy=RequeuingStrategy(timestamp=timestamp))
    )
    made = InfoMaker(config, Features({}), lambda _: (), lambda _: None)
    queue = PendingQueue(is_strict=False)
    for workload in workloads:
        queue.push_or_update(made.pending(workload, "cq"), NOW, keep_progress=False)
    assert [item.info.key.name for item in queue.ordered()] == want
    assert [popped(queue).info.key.name for _ in want] == want


def test_a_preempted_borrower_waits_a_moment_longer() -> None:
    """Where priorities do not sort, one millisecond after its preemption lets the preemptor go first (§3.2)."""
    preempted = [condition("Preempted", reason="InCohortReclaimWhileBorrowing", since=5)]
    workload = make(t=0, conditions=preempted)
    config = Configuration()
    unsorted = Features({Gate.PRIORITY_SORTING_WITHIN_COHORT: False})
    assert queue_timestamp(workload, config, unsorted) == NOW + 5 * SECOND + 1000
    assert queue_timestamp(workload, config, Features({})) == NOW
    reclaimed = make(t=0, conditions=[condition("Preempted", reason="InCohortReclamation", since=5)])
    assert queue_timestamp(reclaimed, config, unsorted) == NOW


# --- after an attempt ------------------------------------------------------------------------------------------------

HEAP = {R.FAILED_AFTER_NOMINATION, R.PENDING_PREEMPTION, R.PENDING_MIGRATION, R.PREEMPTION_FAILED}


@pytest.mark.parametrize("reason", R)
@pytest.mark.parametrize("is_strict", [False, True], ids=["BestEffortFIFO", "StrictFIFO"])
def test_where_it_goes_after_an_attempt(reason: RequeueReason, is_strict: bool) -> None:
    """RQ-01, RQ-05: by the reason; a strict queue keeps its head, unless the namespace is wrong."""
    queue = PendingQueue(is_strict=is_strict)
    push(queue, make())
    popped(queue)
    queue.requeue(KEY, reason, NOW, WHY)
    stays = reason is not R.NAMESPACE_MISMATCH if is_strict else reason in HEAP
    assert where(queue) == ("heap" if stays else "parked")


@pytest.mark.parametrize(
    ("indexes", "want"),
    [
        (({"cpu": -1},), "parked"),
        (({"cpu": -1}, {"cpu": -1, "memory": -1}), "parked"),
        (({"cpu": -1, "memory": 0}, {"cpu": -1}), "heap"),
        (({"cpu": -1}, {"cpu": 1}), "heap"),
    ],
    ids=["RQ-02", "RQ-02 two pod sets", "RQ-03 one resource", "RQ-03 one pod set"],
)
def test_flavors_that_were_not_tried_yet(indexes: tuple[dict[str, int], ...], want: str) -> None:
    """As long as the search is not at its end the Workload is tried again at once."""
    queue = PendingQueue(is_strict=False)
    push(queue, make())
    item = popped(queue)
    item.progress = ScanProgress(indexes, generation=1, cycle=1, equivalence=item.info.equivalence)
    queue.requeue(KEY, R.GENERIC, NOW, WHY)
    assert where(queue) == want


def test_only_what_is_in_flight_comes_back() -> None:
    """RQ-04: a Workload that waits already is not queued twice, nor one that is gone."""
    queue = PendingQueue(is_strict=False)
    push(queue, make())
    push(queue, make("other"))
    assert queue.requeue(ObjectKey("ns", "other"), R.NO_FIT, NOW, WHY) == []
    assert where(queue, "other") == "heap"
    popped(queue)
    queue.delete(ObjectKey("ns", "other"))
    queue.requeue(ObjectKey("ns", "other"), R.GENERIC, NOW, WHY)
    assert len(queue) == 1


def test_a_retry_during_an_attempt_counts() -> None:
    """RQ-06: something changed while the Workload was judged, so it is judged again; the next time it is not."""
    queue = PendingQueue(is_strict=False)
    push(queue, make())
    popped(queue)
    queue.wake(NOW, lambda _: True)
    queue.requeue(KEY, R.GENERIC, NOW, WHY)
    assert where(queue) == "heap"
    popped(queue)
    queue.requeue(KEY, R.GENERIC, NOW, WHY)
    assert where(queue) == "parked"


REQUEUED_FALSE = condition("Requeued", "False", "PodsReadyTimeout")


@pytest.mark.parametrize(
    ("conditions", "state", "want"),
    [
        ([REQUEUED_FALSE], None, False),
        ([], None, True),
        ([], {"count": 1}, True),
        ([], {"requeueAt": at(-1)}, True),
        ([], {"requeueAt": at(0)}, True),
        ([], {"requeueAt": at(1)}, False),
        ([condition("Requeued", "True", "BackoffFinished")], None, True),
    ],
    ids=["not requeued", "no state", "a count alone", "past", "now", "future", "requeued"],
)
def test_backoff(conditions: list[dict[str, Any]], state: dict[str, Any] | None, want: bool) -> None:
    """RQ-07, RQ-08: a Workload whose backoff runs is parked, and so is one that is not requeued yet."""
    workload = make(conditions=conditions, status={} if state is None else {"requeueState": state})
    assert is_backoff_over(workload, NOW) is want
    queue = PendingQueue(is_strict=False)
    push(queue, workload)
    assert where(queue) == ("heap" if want else "parked")
    strict = PendingQueue(is_strict=True)
    push(strict, workload)
    assert where(strict) == ("heap" if want else "parked")


# --- updates ---------------------------------------------------------------------------------------------------------


def test_an_update_does_not_disturb_a_flight() -> None:
    """RQ-09: it is taken in, and the Workload stays in flight."""
    queue = PendingQueue(is_strict=False)
    push(queue, make())
    push(queue, make("next", t=1))
    popped(queue)
    push(queue, make(priority=9, generation=2))
    assert (where(queue), where(queue, "next")) == ("flight", "heap")


UPDATES = {
    "RQ-10 a new generation": (make(priority=300, generation=2), "heap"),
    "RQ-10 a new generation with a backoff": (
        make(priority=300, generation=2, conditions=[REQUEUED_FALSE], status={"requeueState": {"requeueAt": at(60)}}), "parked",
    ),
    "RQ-11 another version": (make(version="2"), "parked"),
    "RQ-11 a label": (make(labels={"a": "b"}), "parked"),
    "RQ-12 pods are done": (make(status={"reclaimablePods": [{"name": "main", "count": 1}]}), "heap"),
    "RQ-12 evicted": (make(conditions=[condition("Evicted", reason="Preempted")]), "heap"),
    "RQ-12 requeued": (make(conditions=[condition("Requeued", reason="Preempted")]), "heap"),
    "RQ-12 a boost": (make(annotations={"kueue.x-k8s.io/priority-boost": "1"}), "heap"),
    "a condition of others": (make(conditions=[condition("PodsReady", "False")]), "parked"),
    "why it waits": (make(conditions=[condition("QuotaReserved", "False", "WaitingForQuota")]), "parked"),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_what_wakes_a_parked_workload(name: str) -> None:
    """Only what could change the decision does; the object is refreshed in any case."""
    update, want = UPDATES[name]
    gates = {Gate.PRIORITY_BOOST: True}
    queue = PendingQueue(is_strict=False)
    push(queue, make(), gates)
    popped(queue)
    queue.requeue(KEY, R.GENERIC, NOW, WHY)
    push(queue, update, gates)
    assert where(queue) == want
    item = queue.get(KEY)
    assert item is not None
    assert item.info.workload is update


# --- equivalence -----------------------------------------------------------------------------------------------------


def parked_equals(reason: RequeueReason, gates: dict[Gate, bool] | None = None) -> PendingQueue:
    """Three of one shape and two of another; the first was tried, and came back for this reason."""
    queue = PendingQueue(is_strict=False)
    for n in range(3):
        push(queue, make(f"a{n}", t=n), gates)
    for n in range(2):
        push(queue, make(f"b{n}", t=9 + n, cpu="2"), gates)
    popped(queue)
    queue.requeue(ObjectKey("ns", "a0"), reason, NOW, WHY)
    return queue


def test_equals_are_parked_in_one_step() -> None:
    """RQ-13, RQ-14: and so is an equal one that comes later, with what is told of the one that was tried."""
    queue = parked_equals(R.NO_FIT)
    assert [where(queue, f"a{n}") for n in range(3)] == ["parked"] * 3
    assert [where(queue, f"b{n}") for n in range(2)] == ["heap"] * 2
    push(queue, make("a3", t=20))
    push(queue, make("c", t=20, cpu="3"))
    assert (where(queue, "a3"), where(queue, "c")) == ("parked", "heap")
    assert [queue.bypassed(ObjectKey("ns", f"a{n}")) for n in range(4)] == [None, WHY, WHY, WHY]
    queue.wake(NOW, lambda _: True)
    assert {where(queue, name) for name in ("a0", "a1", "a2", "a3")} == {"heap"}
    push(queue, make("a4", t=30))
    assert where(queue, "a4") == "heap"


@pytest.mark.parametrize("reason", R)
def test_which_failures_are_recorded(reason: RequeueReason) -> None:
    """RQ-16: only those that an equal Workload would meet too."""
    queue = parked_equals(reason)
    want = "parked" if reason in {R.NO_FIT, R.PREEMPTION_NO_CANDIDATES} else "heap"
    assert (where(queue, "a1"), where(queue, "b0")) == (want, "heap")


def test_nothing_is_equal_without_hashes() -> None:
    """With the gate off each Workload is tried by itself."""
    queue = parked_equals(R.NO_FIT, {Gate.SCHEDULING_EQUIVALENCE_HASHING: False})
    assert (where(queue, "a0"), where(queue, "a1")) == ("parked", "heap")


def test_namespaces_that_do_not_match_stay_parked() -> None:
    """RQ-20: a retry wakes only Workloads whose namespace the queue selects."""
    queue = PendingQueue(is_strict=False)
    push(queue, make())
    popped(queue)
    queue.requeue(KEY, R.NO_FIT, NOW, WHY)
    queue.wake(NOW, lambda _: False)
    assert where(queue) == "parked"
    queue.wake(NOW, lambda _: True)
    assert where(queue) == "heap"
