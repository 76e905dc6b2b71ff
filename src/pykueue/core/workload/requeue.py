"""Where a Workload stands in time: since when it waits, its place in the queue order, and its backoff.

Pure functions of one Workload; the queues of `core/queue` decide what follows from them.

Source: scheduling.md §3.2, §3.4, §5.8.
"""

from __future__ import annotations

from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import Instant, parse_time
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate

_MILLISECOND_US = 1000


def queue_timestamp(workload: Workload, config: Configuration, features: Features) -> Instant:
    """The time by which Workloads of equal priority are ordered (µs)."""
    if workload.status.conditions:
        evicted = workload.condition(WorkloadCondition.EVICTED)
        if evicted is not None and evicted.status == "True":
            pods_ready = config.wait_for_pods_ready
            by_eviction = pods_ready is None or pods_ready.requeuing_strategy.timestamp == "Eviction"
            if evicted.reason == Reason.PODS_READY_TIMEOUT and by_eviction:
                return evicted.transitioned_at
            if evicted.reason == Reason.ADMISSION_CHECK:
                return evicted.transitioned_at
        if not features[Gate.PRIORITY_SORTING_WITHIN_COHORT]:
            preempted = workload.condition(WorkloadCondition.PREEMPTED)
            # Kueue parity: scheduling.md §3.2, one millisecond lets the preemptor go first without the priority key.
            if (
                preempted is not None
                and preempted.status == "True"
                and preempted.reason == Reason.IN_COHORT_RECLAIM_WHILE_BORROWING
            ):
                return Instant(preempted.transitioned_at + _MILLISECOND_US)
    return workload.created_at


def queued_since(workload: Workload) -> Instant:
    """When the Workload began to wait (µs): its creation, or the end of its last eviction (§5.8)."""
    requeued = workload.condition(WorkloadCondition.REQUEUED)
    return requeued.transitioned_at if requeued is not None else workload.created_at


def backoff_until(workload: Workload) -> Instant | None:
    """When the Workload may be tried again: an Instant, 0 for at once, None for not before its conditions change."""
    if workload.status.conditions:
        requeued = workload.condition(WorkloadCondition.REQUEUED)
        if requeued is not None and requeued.status == "False":
            return None
    state = workload.status.requeue_state
    return parse_time(state.requeue_at) if state is not None and state.requeue_at else Instant(0)


def is_backoff_over(workload: Workload, now: Instant) -> bool:
    """Whether the Workload may be tried now."""
    until = backoff_until(workload)
    return until is not None and until <= now
