"""What the conditions of a Workload mean to the scheduler, as questions with a yes or no.

Nothing here changes a Workload; the steps of its life are functions in `controllers/core/transitions.py`.

Source: scheduling.md §3.1, §3.5, §3.8.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

from pykueue.api.constants import Annotation, Label, Reason, WorkloadCondition
from pykueue.api.kinds import POD
from pykueue.api.v1beta2 import Condition, Workload
from pykueue.core.features import Features, Gate

GATED_BY = "Admission is gated by: "
"""How the message begins that says which gates keep a Workload waiting."""


def has_quota(workload: Workload) -> bool:
    """Whether quota is reserved, as written."""
    return workload.status.admission is not None and workload.is_true(WorkloadCondition.QUOTA_RESERVED)


def is_finished(workload: Workload) -> bool:
    """Whether the Workload is over."""
    return workload.is_true(WorkloadCondition.FINISHED)


def is_queueable(workload: Workload, features: Features) -> bool:
    """Whether the Workload may be put into a queue (§3.1)."""
    return may_stay_queued(workload, features) and not waits_for_replacement(workload)


def is_gate_noted(workload: Workload) -> bool:
    """Whether the condition says that gates of the annotation keep it waiting. Whoever clears that tells of it (§10.2 step 10).

    The scheduler gives the same reason for preemption gates, with another message.
    """
    reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    return reserved is not None and reserved.reason == Reason.ADMISSION_GATED and reserved.message.startswith(GATED_BY)


def waits_for_replacement(workload: Workload) -> bool:
    """Whether it cannot be tried before its group has all its pods again."""
    return bool(workload.status.conditions) and workload.is_true(WorkloadCondition.WAITING_FOR_REPLACEMENT_PODS)


def may_stay_queued(workload: Workload, features: Features) -> bool:
    """Whether a Workload that waits already goes on waiting.

    # Kueue parity: scheduling.md §3.1 and §3.5, pods that are missing keep a Workload out of a queue but do not take it out of one.
    """
    if not workload.spec.active:
        return False
    if features[Gate.ADMISSION_GATED_BY] and (
        workload.metadata.annotations.get(Annotation.ADMISSION_GATED_BY) or is_gate_noted(workload)
    ):
        return False
    if (
        features[Gate.CONCURRENT_ADMISSION]
        and workload.metadata.labels.get(Label.CONCURRENT_ADMISSION_PARENT) == "true"
    ):
        return False
    if workload.status.conditions:
        if workload.is_true(WorkloadCondition.FINISHED) or workload.is_true(WorkloadCondition.QUOTA_RESERVED):
            return False
        reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
        if reserved is not None and reserved.reason == Reason.ON_HOLD:
            return False
    return True


def has_failed_checks(workload: Workload) -> bool:
    """Whether an admission check says Retry or Rejected; such a Workload is not nominated (§12)."""
    return any(check.state in ("Retry", "Rejected") for check in workload.status.admission_checks)


def are_checks_ready(workload: Workload) -> bool:
    """Whether all listed admission checks are Ready."""
    return all(check.state == "Ready" for check in workload.status.admission_checks)


def has_closed_gate(workload: Workload, features: Features) -> bool:
    """Whether a preemption gate keeps the Workload from preempting (§5.6 f)."""
    if not (features[Gate.CONCURRENT_ADMISSION] or features[Gate.MULTIKUEUE_ORCHESTRATED_PREEMPTION]):
        return False
    return _is_gated(workload)


def _is_gated(workload: Workload) -> bool:
    if not workload.spec.preemption_gates:
        return False
    is_open = {gate.name for gate in workload.status.preemption_gates if gate.position == "Open"}
    return any(gate.name not in is_open for gate in workload.spec.preemption_gates)


def second_pass_need(workload: Workload, assigned_nodes: Collection[str] = ()) -> Hashable | None:
    """What a Workload that holds quota must be looked at again for by the scheduler; None if it needs not (§3.8).

    Args:
        workload: the Workload.
        assigned_nodes: lowest-level values of its topology assignments.
    """
    if not workload.status.unhealthy_nodes and not has_delayed_places(workload):
        return None
    if not has_quota(workload) or is_finished(workload) or workload.is_true(WorkloadCondition.EVICTED):
        return None
    if workload.is_true(WorkloadCondition.ADMITTED):
        return tuple(node.name for node in workload.status.unhealthy_nodes if node.name in assigned_nodes) or None
    if not has_delayed_places(workload) or not workload.status.admission_checks or not are_checks_ready(workload):
        return None
    return tuple((check.name, check.last_transition_time) for check in workload.status.admission_checks)


def has_delayed_places(workload: Workload) -> bool:
    """Whether some pods have quota, and no places yet."""
    admission = workload.status.admission
    return admission is not None and any(
        a.delayed_topology_request == "Pending" and a.topology_assignment is None for a in admission.pod_set_assignments
    )


def is_single_pod(workload: Workload) -> bool:
    """Whether the Workload is that of one plain pod, which cannot be made again elsewhere."""
    owners = workload.metadata.owner_references
    is_group = Annotation.IS_GROUP_WORKLOAD in workload.metadata.annotations
    return not is_group and [(o.api_version, o.kind) for o in owners] == [(POD.api_version, POD.kind)]


def reactivation_state(workload: Workload) -> tuple[Any, ...]:
    """What must change for a parked Workload to be tried again at once (§3.5)."""
    status = workload.status
    return (
        workload.metadata.generation,
        workload.spec,
        workload.metadata.annotations.get(Annotation.PRIORITY_BOOST),
        status.reclaimable_pods,
        _essence(workload.condition(WorkloadCondition.EVICTED)),
        _essence(workload.condition(WorkloadCondition.REQUEUED)),
        waits_for_replacement(workload),
        _is_gated(workload),
    )


def _essence(condition: Condition | None) -> tuple[str, str, str] | None:
    return None if condition is None else (condition.status, condition.reason, condition.last_transition_time)
