"""The series that Kueue's operators know: names, labels, kinds and buckets, as data.

Whoever counts something makes a `Sample` of it, by the series' name; what a sample means follows from the series: a counter grows by the
value, a histogram observes it, a gauge is it. `runtime/series.py` adds the prefix, `kueue_` but for our own, and the label `replica_role`.
Label values are in the order of `Series.labels`.

Source: observability.md §1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class SeriesType(enum.Enum):
    """Kind of a series, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Series:
    """One series.

    Attributes:
        type: what its samples do.
        labels: names of its labels.
        help: one sentence.
        buckets: upper bounds of a histogram, without the infinite one.
        prefix: of its name; Kueue's own series have `kueue_`.
    """

    type: SeriesType
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    prefix: str = "kueue_"


class Sample(NamedTuple):
    """Something that was counted or measured.

    Attributes:
        name: of the series, as in `SERIES`.
        labels: values, in the order of the series.
        value: see the module.
    """

    name: str
    labels: tuple[str, ...]
    value: float = 1.0


def doubling(n: int) -> tuple[float, ...]:
    """1, then 2.5, 5, 10, … : `n` bounds, in seconds."""
    return (1.0, *(2.5 * 2**i for i in range(n - 1)))


_DEFAULT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CREATION = tuple(0.01 * 2**i for i in range(11))
_CQ = ("cluster_queue",)
_LQ = ("name", "namespace")
_CAUSE = ("reason", "underlying_cause")
_CLASS = ("priority_class",)
_QUOTA = ("cohort", "cluster_queue", "flavor", "resource")


def _counter(labels: Sequence[str], told: str) -> Series:
    return Series(SeriesType.COUNTER, tuple(labels), told)


def _gauge(labels: Sequence[str], told: str) -> Series:
    return Series(SeriesType.GAUGE, tuple(labels), told)


def _histogram(labels: Sequence[str], buckets: tuple[float, ...], told: str) -> Series:
    return Series(SeriesType.HISTOGRAM, tuple(labels), told, buckets)


_CYCLES = {
    "admission_attempts_total": _counter(("result",), "Scheduling cycles with Workloads to decide on, by result"),
    "admission_attempt_duration_seconds": _histogram(("result",), _DEFAULT, "Time that a scheduling cycle took"),
    "admission_cycle_preemption_skips": _gauge(
        _CQ, "Workloads with victims skipped in the last cycle for another queue"
    ),
}
_CLUSTER_QUEUES = {
    "pending_workloads": _gauge((*_CQ, "status"), "Workloads that wait, by whether they may be tried"),
    "pending_scheduling_hashes": _gauge((*_CQ, "status"), "Different shapes of Workloads that wait"),
    "finished_workloads": _gauge(_CQ, "Finished Workloads that are kept"),
    "reserving_active_workloads": _gauge(_CQ, "Unfinished Workloads with quota"),
    "admitted_active_workloads": _gauge(_CQ, "Unfinished admitted Workloads"),
    "cluster_queue_status": _gauge((*_CQ, "status"), "1 for the present status, else 0"),
    "unadmitted_workloads": _gauge((*_CQ, *_CAUSE), "Active Workloads that are not admitted, by reason"),
    "cluster_queue_info": _gauge((*_CQ, "parent_cohort", "root_cohort"), "Always 1: where the ClusterQueue hangs"),
    "quota_reserved_workloads_total": _counter((*_CQ, *_CLASS), "Reservations of quota"),
    "quota_reserved_wait_time_seconds": _histogram(
        (*_CQ, *_CLASS), doubling(14), "Creation or requeue to reservation of quota"
    ),
    "admitted_workloads_total": _counter((*_CQ, *_CLASS), "Admissions"),
    "admission_wait_time_seconds": _histogram((*_CQ, *_CLASS), doubling(16), "Creation or requeue to admission"),
    "admission_checks_wait_time_seconds": _histogram((*_CQ, *_CLASS), doubling(14), "Reservation to admission"),
    "ready_wait_time_seconds": _histogram((*_CQ, *_CLASS), doubling(14), "Creation or requeue to ready pods"),
    "admitted_until_ready_wait_time_seconds": _histogram((*_CQ, *_CLASS), doubling(14), "Admission to ready pods"),
    "finished_workloads_total": _counter((*_CQ, *_CLASS), "Workloads that finished"),
    "execution_time_seconds": _histogram((*_CQ, *_CLASS), doubling(16), "First admission to the finish"),
    "pods_ready_to_evicted_time_seconds": _histogram((*_CQ, *_CAUSE), doubling(14), "Ready pods to eviction"),
    "evicted_workloads_total": _counter((*_CQ, *_CAUSE, *_CLASS), "Evictions"),
    "evicted_workloads_once_total": _counter((*_CQ, *_CAUSE, *_CLASS), "First evictions of a Workload for a reason"),
    "preempted_workloads_total": _counter(("preempting_cluster_queue", "reason"), "Preemptions"),
    "workload_eviction_latency_seconds": _histogram((*_CQ, "reason"), doubling(14), "Eviction to release of the quota"),
    "preemption_target_recomputations_total": _counter(
        (*_CQ, "result"), "Heads judged again as their victims were taken"
    ),
    "pod_scheduling_gate_removal_seconds": _histogram(
        ("name", *_CQ, "is_group"), _DEFAULT, "Admission to the removal of a pod's scheduling gate"
    ),
    "workload_creation_latency_seconds": _histogram(("job_kind",), _CREATION, "Creation of a job to its Workload's"),
}
_COHORTS = {
    "cohort_info": _gauge(("cohort", "parent_cohort", "root_cohort"), "Always 1: where the cohort hangs"),
    "cohort_subtree_admitted_workloads_total": _counter(("cohort", *_CLASS), "Admissions anywhere below the cohort"),
    "cohort_subtree_admitted_active_workloads": _gauge(("cohort",), "Unfinished admitted Workloads below the cohort"),
    "cohort_subtree_quota": _gauge(("cohort", "flavor", "resource"), "Quota of the cohort and all below it"),
    "cohort_subtree_resource_reservations": _gauge(("cohort", "flavor", "resource"), "Reserved below the cohort"),
    "cohort_weighted_share": _gauge(("cohort",), "Fair-sharing share; NaN for weight 0 that borrows"),
}
_RESOURCES = {
    "cluster_queue_resource_reservation": _gauge(_QUOTA, "Amounts of Workloads with quota"),
    "cluster_queue_resource_usage": _gauge(_QUOTA, "Amounts of admitted Workloads"),
    "cluster_queue_nominal_quota": _gauge(_QUOTA, "Nominal quota"),
    "cluster_queue_borrowing_limit": _gauge(_QUOTA, "Borrowing limit; infinite if there is none"),
    "cluster_queue_lending_limit": _gauge(_QUOTA, "Lending limit; infinite if there is none"),
    "cluster_queue_resource_pending": _gauge((*_CQ, "resource"), "Requests of Workloads that wait"),
    "cluster_queue_weighted_share": _gauge((*_CQ, "cohort"), "Fair-sharing share; NaN for weight 0 that borrows"),
}
_LOCAL_QUEUES = {
    "local_queue_pending_workloads": _gauge((*_LQ, "status"), "Workloads that wait, by whether they may be tried"),
    "local_queue_finished_workloads": _gauge(_LQ, "Finished Workloads that are kept"),
    "local_queue_quota_reserved_workloads_total": _counter((*_LQ, *_CLASS), "Reservations of quota"),
    "local_queue_finished_workloads_total": _counter((*_LQ, *_CLASS), "Workloads that finished"),
    "local_queue_admitted_workloads_total": _counter((*_LQ, *_CLASS), "Admissions"),
    "local_queue_quota_reserved_wait_time_seconds": _histogram(
        (*_LQ, *_CLASS), doubling(14), "Creation or requeue to reservation of quota"
    ),
    "local_queue_admission_checks_wait_time_seconds": _histogram(
        (*_LQ, *_CLASS), doubling(14), "Reservation to admission"
    ),
    "local_queue_ready_wait_time_seconds": _histogram(
        (*_LQ, *_CLASS), doubling(14), "Creation or requeue to ready pods"
    ),
    "local_queue_admitted_until_ready_wait_time_seconds": _histogram(
        (*_LQ, *_CLASS), doubling(14), "Admission to ready pods"
    ),
    # Kueue parity: observability.md §1.2: 14 buckets, where the ClusterQueue's has 16.
    "local_queue_admission_wait_time_seconds": _histogram(
        (*_LQ, *_CLASS), doubling(14), "Creation or requeue to admission"
    ),
    "local_queue_execution_time_seconds": _histogram((*_LQ, *_CLASS), doubling(16), "First admission to the finish"),
    "local_queue_evicted_workloads_total": _counter((*_LQ, *_CAUSE, *_CLASS), "Evictions"),
    "local_queue_reserving_active_workloads": _gauge(_LQ, "Unfinished Workloads with quota"),
    "local_queue_admitted_active_workloads": _gauge(_LQ, "Unfinished admitted Workloads"),
    "local_queue_status": _gauge((*_LQ, "active"), "1 for the present status of Active, else 0"),
    "local_queue_unadmitted_workloads": _gauge((*_LQ, *_CQ, *_CAUSE), "Active Workloads that are not admitted"),
    "local_queue_resource_reservation": _gauge((*_LQ, "flavor", "resource"), "Amounts of Workloads with quota"),
    "local_queue_resource_usage": _gauge((*_LQ, "flavor", "resource"), "Amounts of admitted Workloads"),
    "local_queue_admission_fair_sharing_usage": _gauge(
        (*_LQ, *_CQ), "Past and present usage, divided by the weight; infinite for weight 0"
    ),
}
_OURS = {
    "preemption_loops_total": Series(
        SeriesType.COUNTER, ("preempting_cluster_queue", *_CQ),
        "Preemptions that happened before: in a circle, or by one that was not admitted meanwhile", prefix="pykueue_",
    ),
    "preemption_outcomes_total": Series(
        SeriesType.COUNTER, ("preempting_cluster_queue", "outcome"),
        "Preemptors by what became of them: admitted, gone, changed, unplaceable, overdue", prefix="pykueue_",
    ),
}  # fmt: skip
BUILD_INFO = Series(
    SeriesType.GAUGE,
    ("git_version", "git_commit", "build_date", "go_version", "compiler", "platform"),
    "Always 1: what runs here",
)
"""`kueue_build_info`, the only series without `replica_role`."""
SERIES: Mapping[str, Series] = _CYCLES | _CLUSTER_QUEUES | _COHORTS | _RESOURCES | _LOCAL_QUEUES | _OURS
"""All others, by name without prefix."""
