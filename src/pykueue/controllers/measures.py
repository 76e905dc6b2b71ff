"""What a change of a Workload means to those who count: the counters and histograms of observability.md §1.

Every step of a Workload's life is written to its status, and the answer to every write of ours comes back as an event. So what happened
is the difference between two versions in a row, whoever wrote it: a reservation, an admission, an eviction is counted once, when it is seen to be
written, and never for an intention that failed. Only the leader counts (its caller sees to that). Gauges are in `core/measures.py`.

Source: observability.md §1.1, §1.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.series import Sample
from pykueue.api.v1beta2 import EvictionCount, Workload
from pykueue.core.workload.requeue import queued_since

_DUE_TO = "DueTo"


@dataclass(frozen=True, slots=True)
class Home:
    """Where a Workload is counted.

    Attributes:
        cluster_queue: where it has quota, or waits; empty for nowhere.
        cohorts: above it, if cohorts have metrics.
        is_local_measured: whether its LocalQueue has metrics.
        preemptor: ClusterQueue on whose behalf it is preempted, as far as this replica knows.
    """

    cluster_queue: str
    cohorts: Sequence[str] = ()
    is_local_measured: bool = False
    preemptor: str = ""


def changes(old: Workload, new: Workload, home: Home, now: Instant) -> Sequence[Sample]:
    """What happened between two versions of a Workload.

    Args:
        old: the version before.
        new: the version after.
        home: where it is counted.
        now: Instant (µs) at which the change was seen.
    """
    if old.status == new.status:
        return ()
    return [sample for step in _STEPS for sample in step(old, new, home, now)]


def _reserved(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    if _turned(old, new, WorkloadCondition.QUOTA_RESERVED):
        yield from _counted(new, home, "quota_reserved_workloads_total")
        yield from _counted(new, home, "quota_reserved_wait_time_seconds", _seconds(queued_since(new), now))


def _admitted(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    if not _turned(old, new, WorkloadCondition.ADMITTED):
        return
    yield from _counted(new, home, "admitted_workloads_total")
    yield from _counted(new, home, "admission_wait_time_seconds", _seconds(queued_since(new), now))
    reserved = new.condition(WorkloadCondition.QUOTA_RESERVED)
    if _turned(old, new, WorkloadCondition.QUOTA_RESERVED):
        # Kueue parity: observability.md §1.1: both at once tell of checks only if there are any, and then of no wait.
        if new.status.admission_checks:
            yield from _counted(new, home, "admission_checks_wait_time_seconds", 0.0)
    elif reserved is not None:
        waited = _seconds(reserved.transitioned_at, now)
        yield from _counted(new, home, "admission_checks_wait_time_seconds", waited)
    for cohort in home.cohorts:
        yield Sample("cohort_subtree_admitted_workloads_total", (cohort, _priority_class(new)))


def _ready(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    before = old.condition(WorkloadCondition.PODS_READY)
    if not _turned(old, new, WorkloadCondition.PODS_READY):
        return
    if before is not None and before.reason == Reason.WAIT_FOR_RECOVERY:
        return  # they were ready before
    yield from _counted(new, home, "ready_wait_time_seconds", _seconds(queued_since(new), now))
    admitted = new.condition(WorkloadCondition.ADMITTED)
    if admitted is not None and admitted.status == "True":
        waited = _seconds(admitted.transitioned_at, now)
        yield from _counted(new, home, "admitted_until_ready_wait_time_seconds", waited)


def _finished(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    if not _turned(old, new, WorkloadCondition.FINISHED):
        return
    yield from _counted(new, home, "finished_workloads_total")
    past = old.status.accumulated_past_execution_time_seconds
    admitted = old.condition(WorkloadCondition.ADMITTED)
    is_running = admitted is not None and admitted.status == "True"
    if past is None and not is_running:
        return  # it never ran
    present = _seconds(admitted.transitioned_at, now) if admitted is not None and is_running else 0.0
    yield from _counted(new, home, "execution_time_seconds", (past or 0) + present)


def _evicted(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    ready = old.condition(WorkloadCondition.PODS_READY)
    before = {(e.reason, e.underlying_cause): e.count for e in _evictions(old)}
    for entry in _evictions(new):
        known = before.get((entry.reason, entry.underlying_cause), 0)
        if entry.count <= known:
            continue
        reason, cause = eviction_cause(entry.reason, entry.underlying_cause)
        labels = (home.cluster_queue, reason, cause)
        class_ = _priority_class(new)
        yield Sample("evicted_workloads_total", (*labels, class_))
        if not known:
            yield Sample("evicted_workloads_once_total", (*labels, class_))
        if home.is_local_measured:
            local = (new.spec.queue_name, new.metadata.namespace)
            yield Sample("local_queue_evicted_workloads_total", (*local, reason, cause, class_))
        if ready is not None and ready.status == "True":
            yield Sample("pods_ready_to_evicted_time_seconds", labels, _seconds(ready.transitioned_at, now))
        preempted = new.condition(WorkloadCondition.PREEMPTED)
        if reason == Reason.PREEMPTED and preempted is not None and home.preemptor:
            yield Sample("preempted_workloads_total", (home.preemptor, preempted.reason))


def _released(old: Workload, new: Workload, home: Home, now: Instant) -> Iterator[Sample]:
    evicted = new.condition(WorkloadCondition.EVICTED)
    had_quota = old.is_true(WorkloadCondition.QUOTA_RESERVED)
    if evicted is None or evicted.status != "True" or not had_quota or new.is_true(WorkloadCondition.QUOTA_RESERVED):
        return
    reason, _ = eviction_cause(evicted.reason, "")
    waited = _seconds(evicted.transitioned_at, now)
    yield Sample("workload_eviction_latency_seconds", (home.cluster_queue, reason), waited)


_STEPS = (_reserved, _admitted, _ready, _finished, _evicted, _released)


def eviction_cause(reason: str, cause: str) -> tuple[str, str]:
    """Reason and cause of an eviction as metrics tell them: `DeactivatedDueToX` is `Deactivated` for `X`."""
    plain, due_to, told = reason.partition(_DUE_TO)
    return plain, told if due_to else cause


def _counted(workload: Workload, home: Home, name: str, value: float = 1.0) -> Iterator[Sample]:
    """One sample of the ClusterQueue, and the LocalQueue's where it is measured."""
    class_ = _priority_class(workload)
    yield Sample(name, (home.cluster_queue, class_), value)
    if home.is_local_measured:
        local = (workload.spec.queue_name, workload.metadata.namespace, class_)
        yield Sample(f"local_queue_{name}", local, value)


def _turned(old: Workload, new: Workload, type_: WorkloadCondition) -> bool:
    return new.is_true(type_) and not old.is_true(type_)


def _evictions(workload: Workload) -> Sequence[EvictionCount]:
    stats = workload.status.scheduling_stats
    return stats.evictions if stats is not None else ()


def _priority_class(workload: Workload) -> str:
    return workload.spec.priority_class_ref.name if workload.spec.priority_class_ref is not None else ""


def _seconds(since: Instant, now: Instant) -> float:
    return max(0, now - since) / SECOND_US
