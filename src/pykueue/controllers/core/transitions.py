"""The life of a Workload as functions from one Workload to the next.

Each function is one step of scheduling.md §10: it changes exactly the conditions and fields which that step owns, and leaves
the rest. Nothing is written here; `workload_status.admission_patch` turns the difference into one status write.

Conditions keep their order; `lastTransitionTime` moves only when the status of a condition changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheckState,
    Condition,
    EvictionCount,
    PreemptionGateState,
    RequeueState,
    SchedulingStats,
    Workload,
    find_condition,
)
from pykueue.controllers.workload_status import set_condition
from pykueue.core.features import Features, Gate
from pykueue.core.workload.lifecycle import has_delayed_places

PREVIOUSLY = "Previously: "
EVICTED_DUE_TO = "EvictedDueTo"


def with_condition(
    workload: Workload, type_: WorkloadCondition, status: bool, reason: str, message: str, now: Instant
) -> Workload:
    """The Workload with one condition set."""
    condition = Condition(
        type=type_.value,
        status="True" if status else "False",
        reason=str(reason),
        message=message,
        observed_generation=workload.metadata.generation,
    )
    return _with_status(workload, conditions=set_condition(workload.status.conditions, condition, now))


def without_condition(workload: Workload, type_: WorkloadCondition) -> Workload:
    """The Workload without a condition."""
    return _with_status(workload, conditions=tuple(c for c in workload.status.conditions if c.type != type_))


def reserve_quota(workload: Workload, admission: Admission, now: Instant) -> Workload:
    """Quota is reserved: the three conditions of the past turn False (scheduling.md §10.1)."""
    message = f"Quota reserved in ClusterQueue {admission.cluster_queue}"
    reserved = with_condition(
        _with_status(workload, admission=admission, resource_requests=()),
        WorkloadCondition.QUOTA_RESERVED, True, Reason.QUOTA_RESERVED, message, now,
    )  # fmt: skip
    for type_ in (
        WorkloadCondition.EVICTED,
        WorkloadCondition.PREEMPTED,
        WorkloadCondition.BLOCKED_ON_PREEMPTION_GATES,
    ):
        past = reserved.condition(type_)
        if past is not None and past.status == "True":
            reserved = with_condition(reserved, type_, False, Reason.QUOTA_RESERVED, PREVIOUSLY + past.message, now)
    return reserved


def forget_unhealthy_nodes(workload: Workload) -> Workload:
    """The pods of lost nodes have other places."""
    return _with_status(workload, unhealthy_nodes=())


def release_quota(workload: Workload, reason: str, message: str, now: Instant) -> Workload:
    """The reservation is lost: `status.admission` is cleared, `Admitted` follows (scheduling.md §10.1)."""
    released = with_condition(
        _with_status(workload, admission=None), WorkloadCondition.QUOTA_RESERVED, False, reason, message, now
    )
    return sync_admitted(released, now)


def pending_evaluation(features: Features) -> Reason:
    """The reason of a Workload without quota that nobody has looked at since (scheduling.md §10.5)."""
    return Reason.PENDING_EVALUATION if features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY] else Reason.PENDING


def sync_admitted(workload: Workload, now: Instant, features: Features | None = None) -> Workload:
    """Bring `Admitted` in line with reservation, checks and topology (scheduling.md §10.1, §12).

    `Admitted=False` is only created once there is a `QuotaReserved` condition. When it turns False the time spent admitted is
    added to `accumulatedPastExecutionTimeSeconds`.
    """
    features = features or Features()
    reserved = workload.is_true(WorkloadCondition.QUOTA_RESERVED)
    if workload.condition(WorkloadCondition.QUOTA_RESERVED) is None:
        return workload
    checks_ready = all(check.state == "Ready" for check in workload.status.admission_checks)
    delayed = has_delayed_places(workload)
    current = workload.condition(WorkloadCondition.ADMITTED)
    if reserved and checks_ready and not delayed:
        return with_condition(
            workload, WorkloadCondition.ADMITTED, True, Reason.ADMITTED, "The workload is admitted", now
        )
    reason, message = _why_not_admitted(reserved, checks_ready, features)
    if current is not None and current.status == "True":
        past = workload.status.accumulated_past_execution_time_seconds or 0
        elapsed = max(0, now - current.transitioned_at) // SECOND_US
        workload = _with_status(workload, accumulated_past_execution_time_seconds=past + elapsed)
    return with_condition(workload, WorkloadCondition.ADMITTED, False, reason, message, now)


def _why_not_admitted(reserved: bool, checks_ready: bool, features: Features) -> tuple[Reason, str]:
    fine = features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY]
    if not reserved and not checks_ready and not fine:
        return (
            Reason.NO_RESERVATION_UNSATISFIED_CHECKS,
            "The workload has no reservation and not all checks ready",
        )
    if not reserved:
        return Reason.NO_RESERVATION, "The workload has no reservation"
    if not checks_ready:
        reason = Reason.UNSATISFIED_ADMISSION_CHECKS if fine else Reason.UNSATISFIED_CHECKS
        return reason, "The workload has not all checks ready"
    return Reason.PENDING_DELAYED_TOPOLOGY_REQUESTS, "There are pending delayed topology requests"


def evict(workload: Workload, reason: str, message: str, now: Instant, *, cause: str = "") -> Workload:
    """Take the quota back: everything that one eviction writes (scheduling.md §10.3).

    The reservation itself is kept until the job has stopped. The statistics count `DeactivatedDueTo<Cause>` as `Deactivated` with
    that cause.
    """
    evicted = with_condition(workload, WorkloadCondition.EVICTED, True, reason, message, now)
    return _with_status(
        evicted,
        admission_checks=tuple(_reset_check(check, now) for check in workload.status.admission_checks),
        unhealthy_nodes=(),
        cluster_name=None,
        nominated_cluster_names=(),
        preemption_gates=tuple(_close_gate(gate, now) for gate in workload.status.preemption_gates),
        scheduling_stats=_count_eviction(workload.status.scheduling_stats, _counted_reason(reason), cause),
    )


def preempt(workload: Workload, reason: str, message: str, now: Instant) -> Workload:
    """Evict for the sake of another Workload (scheduling.md §8.6)."""
    evicted = evict(workload, Reason.PREEMPTED, message, now)
    return with_condition(evicted, WorkloadCondition.PREEMPTED, True, reason, message, now)


def eviction_event_reason(reason: str) -> str:
    """`EvictedDueTo<Reason>`.

    Kueue parity: scheduling.md §10.3 adds the cause of a PodsReady timeout; the recorded events of Kueue do not have it.
    """
    return f"{EVICTED_DUE_TO}{reason}"


def _reset_check(check: AdmissionCheckState, now: Instant) -> AdmissionCheckState:
    retries = check.retry_count
    return msgspec.structs.replace(
        check,
        state="Pending",
        message=f"Reset to Pending after eviction. Previously: {check.state}",
        pod_set_updates=(),
        retry_count=(retries or 0) + 1 if check.state == "Retry" else retries,
        last_transition_time=format_time(now) if check.state != "Pending" else check.last_transition_time,
    )


def _close_gate(gate: PreemptionGateState, now: Instant) -> PreemptionGateState:
    if gate.position == "Closed":
        return gate
    return msgspec.structs.replace(gate, position="Closed", last_transition_time=format_time(now))


def _counted_reason(reason: str) -> str:
    return str(Reason.DEACTIVATED) if reason.startswith(f"{Reason.DEACTIVATED}DueTo") else reason


def _count_eviction(stats: SchedulingStats | None, reason: str, cause: str) -> SchedulingStats:
    evictions = list(stats.evictions if stats else ())
    for i, entry in enumerate(evictions):
        if (entry.reason, entry.underlying_cause) == (reason, cause):
            evictions[i] = msgspec.structs.replace(entry, count=entry.count + 1)
            break
    else:
        evictions.append(EvictionCount(reason=str(reason), underlying_cause=cause, count=1))
    return SchedulingStats(evictions=tuple(evictions))


def requeue_later(workload: Workload, at: Instant, *, counts: bool) -> Workload:
    """Remember when to try again, never earlier than known already (scheduling.md §10.2 step 5, §10.6).

    Args:
        workload: the Workload.
        at: Instant (µs).
        counts: whether the number of evictions goes up by one.
    """
    state = workload.status.requeue_state or RequeueState()
    if state.requeue_at is None or parse_time(state.requeue_at) < at:
        state = msgspec.structs.replace(state, requeue_at=format_time(at))
    if counts:
        state = msgspec.structs.replace(state, count=(state.count or 0) + 1)
    return _with_status(workload, requeue_state=state)


def clear_requeue_at(workload: Workload) -> Workload:
    """The backoff is over; the count stays."""
    state = workload.status.requeue_state
    if state is None or state.requeue_at is None:
        return workload
    return _with_status(workload, requeue_state=msgspec.structs.replace(state, requeue_at=None))


def clear_requeue_state(workload: Workload) -> Workload:
    """Forget count and time: the Workload was deactivated."""
    return _with_status(workload, requeue_state=None)


def with_checks(workload: Workload, checks: Sequence[AdmissionCheckState]) -> Workload:
    """The Workload with another list of check states."""
    return _with_status(workload, admission_checks=tuple(checks))


def condition_reason(workload: Workload, type_: WorkloadCondition) -> str:
    """Reason of a condition, empty if it is absent."""
    found = find_condition(workload.status.conditions, type_)
    return found.reason if found else ""


def with_past_execution_time(workload: Workload, seconds: int | None) -> Workload:
    """The Workload with another accumulated execution time."""
    return _with_status(workload, accumulated_past_execution_time_seconds=seconds)


def _with_status(workload: Workload, **changes: object) -> Workload:
    return msgspec.structs.replace(workload, status=msgspec.structs.replace(workload.status, **changes))
