"""How a Workload's status is written: one whole admission part, one field manager.

Everything that concerns admission is applied at once by the manager `kueue-admission`. What an apply leaves out is removed, so the whole
part is always written, from the Workload as it shall be; the resource version of the Workload as it was read makes the write fail
rather than undo what another writer did meanwhile. Other managers own little pieces: the reclaimable pods, the custom conditions of a
job kind. Nothing here decides; the neighbours are `core/transitions.py` (the scheduler's side of a Workload's life) and `jobs/` (the job's).

Source: api.md §13.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pykueue.api.commands import Apply, Command, Patch
from pykueue.api.constants import ADMISSION_FIELD_MANAGER, RESOURCE_IN_USE_FINALIZER, WorkloadCondition
from pykueue.api.instant import Instant, format_time
from pykueue.api.kinds import WORKLOAD
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheckState,
    Condition,
    ReclaimablePod,
    Workload,
    WorkloadStatus,
)

MESSAGE_CHARS_MAX = 32768
_ELLIPSIS = " ..."
ADMISSION_CONDITIONS = frozenset(
    {
        WorkloadCondition.QUOTA_RESERVED,
        WorkloadCondition.BLOCKED_ON_PREEMPTION_GATES,
        WorkloadCondition.EVICTED,
        WorkloadCondition.ADMITTED,
        WorkloadCondition.PREEMPTED,
        WorkloadCondition.REQUEUED,
        WorkloadCondition.DEACTIVATION_TARGET,
        WorkloadCondition.FINISHED,
        WorkloadCondition.PODS_READY,
    }
)
"""Those that `kueue-admission` owns."""


def admission_patch(workload: Workload, desired: Workload, now: Instant) -> Apply:
    """Write the admission part of a Workload's status.

    Args:
        workload: as it was read; its resource version guards the write.
        desired: as it shall be. Conditions that `kueue-admission` does not own are left to their owners.
        now: Instant (µs), for conditions that carry no time yet.

    Returns:
        One apply by `kueue-admission` with the whole admission part.
    Source: api.md §13.
    """
    return _apply(workload, _admission_part(desired.status, now), ADMISSION_FIELD_MANAGER)


def condition_patch(workload: Workload, condition: Condition, manager: str, now: Instant) -> Apply | None:
    """Write one condition under a manager of its own; None if the Workload has it already."""
    conditions = set_condition(workload.status.conditions, condition, now)
    if conditions == workload.status.conditions:
        return None
    written = next(c for c in conditions if c.type == condition.type)
    return _apply(workload, {"conditions": [condition_to_wire(written, now)]}, manager)


def reclaimable_patch(workload: Workload, reclaimable: Sequence[ReclaimablePod]) -> Apply:
    """Write `status.reclaimablePods` by the manager `kueue-reclaimable-pods`."""
    pods = [{"name": pod.name, "count": pod.count} for pod in reclaimable]
    return _apply(workload, {"reclaimablePods": pods}, "kueue-reclaimable-pods")


def drop_finalizer(workload: Workload) -> tuple[Command, ...]:
    """Take off `kueue.x-k8s.io/resource-in-use`; nothing if it is not there."""
    finalizers = workload.metadata.finalizers
    if RESOURCE_IN_USE_FINALIZER not in finalizers:
        return ()
    rest = [f for f in finalizers if f != RESOURCE_IN_USE_FINALIZER]
    body: dict[str, Any] = {"finalizers": rest or None}
    if workload.metadata.uid:
        body["uid"] = workload.metadata.uid
    return (Patch(WORKLOAD, workload.key, {"metadata": body}, missing_ok=True),)


def set_condition(conditions: Iterable[Condition], condition: Condition, now: Instant) -> tuple[Condition, ...]:
    """The conditions with one set, in Kubernetes' way: order is kept, the time moves only with the status.

    Args:
        conditions: the present ones.
        condition: the new one; its time counts only if it is set and the status changes.
        now: Instant (µs), the time of a change.

    Returns:
        All conditions, the message cut to 32768 characters.
    """
    present = tuple(conditions)
    moved_at = condition.last_transition_time or format_time(now)
    new = msgspec.structs.replace(
        condition, message=truncate(condition.message, MESSAGE_CHARS_MAX), last_transition_time=moved_at
    )
    for i, old in enumerate(present):
        if old.type == new.type:
            if old.status == new.status:
                new = msgspec.structs.replace(new, last_transition_time=old.last_transition_time or moved_at)
            return (*present[:i], new, *present[i + 1 :])
    return (*present, new)


def truncate(text: str, chars_max: int) -> str:
    """The text, cut with ` ...` where it is longer."""
    return text if len(text) <= chars_max else text[: chars_max - len(_ELLIPSIS)] + _ELLIPSIS


def condition_to_wire(condition: Condition, now: Instant) -> dict[str, Any]:
    """A condition as it is written: all required fields are there, even if empty."""
    wire: dict[str, Any] = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time or format_time(now),
    }
    if condition.observed_generation:
        wire["observedGeneration"] = condition.observed_generation
    return wire


def admission_to_wire(admission: Admission) -> dict[str, Any]:
    """`status.admission` as it is written; pod set names are never left to a default."""
    assignments = [{**_plain(a), "name": a.name} for a in admission.pod_set_assignments]
    return {"clusterQueue": admission.cluster_queue, "podSetAssignments": assignments}


def _apply(workload: Workload, status: Mapping[str, Any], manager: str) -> Apply:
    meta = workload.metadata
    identity = {
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    }
    obj = {
        "apiVersion": WORKLOAD.api_version,
        "kind": WORKLOAD.kind,
        "metadata": {k: v for k, v in identity.items() if v},
        "status": status,
    }
    return Apply(WORKLOAD, obj, manager, subresource="status")


def _admission_part(status: WorkloadStatus, now: Instant) -> dict[str, Any]:
    part: dict[str, Any] = {
        "conditions": [condition_to_wire(c, now) for c in status.conditions if c.type in ADMISSION_CONDITIONS]
    }
    if status.admission is not None:
        part["admission"] = admission_to_wire(status.admission)
    elif status.resource_requests:
        part["resourceRequests"] = [{"name": r.name, "resources": dict(r.resources)} for r in status.resource_requests]
    if requeue := status.requeue_state:
        state = {"count": requeue.count, "requeueAt": requeue.requeue_at}
        if shown := {k: v for k, v in state.items() if v is not None}:
            part["requeueState"] = shown
    if status.admission_checks:
        part["admissionChecks"] = [_check_to_wire(check, now) for check in status.admission_checks]
    if status.accumulated_past_execution_time_seconds is not None:
        part["accumulatedPastExecutionTimeSeconds"] = status.accumulated_past_execution_time_seconds
    if status.scheduling_stats is not None and status.scheduling_stats.evictions:
        part["schedulingStats"] = {
            "evictions": [
                {"reason": e.reason, "underlyingCause": e.underlying_cause, "count": e.count}
                for e in status.scheduling_stats.evictions
            ]
        }
    if status.cluster_name is not None:
        part["clusterName"] = status.cluster_name
    if status.nominated_cluster_names:
        part["nominatedClusterNames"] = list(status.nominated_cluster_names)
    if status.unhealthy_nodes:
        part["unhealthyNodes"] = [{"name": node.name} for node in status.unhealthy_nodes]
    if status.preemption_gates:
        part["preemptionGates"] = [
            {
                "name": gate.name,
                "position": gate.position,
                "lastTransitionTime": gate.last_transition_time or format_time(now),
            }
            for gate in status.preemption_gates
        ]
    return part


def _check_to_wire(check: AdmissionCheckState, now: Instant) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "name": check.name,
        "state": check.state,
        "message": truncate(check.message, MESSAGE_CHARS_MAX),
        "lastTransitionTime": check.last_transition_time or format_time(now),
    }
    if check.requeue_after_seconds is not None:
        wire["requeueAfterSeconds"] = check.requeue_after_seconds
    if check.retry_count is not None:
        wire["retryCount"] = check.retry_count
    if check.pod_set_updates:
        wire["podSetUpdates"] = [_plain(update) for update in check.pod_set_updates]
    return wire


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    """A value as JSON would carry it: lists, not tuples."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return plain
