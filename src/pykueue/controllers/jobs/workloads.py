"""The Workload that stands for a unit of admission: how it is made, and what the job's side writes into it.

Source: jobs.md §5, §7, §12, leaderworkerset.md A6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Apply, Chain, Command, Create, Delete, Emit, Patch
from pykueue.api.constants import (
    PROVREQ_ANNOTATION_PREFIX,
    RESOURCE_IN_USE_FINALIZER,
    Annotation,
    Label,
    Reason,
    WorkloadCondition,
)
from pykueue.api.fields import label_value_faults
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import WORKLOAD, Kind
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.workload_status import admission_patch, drop_finalizer
from pykueue.core.features import Features, Gate
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.priority import Priority, PriorityClassMissing, changed_priority
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.integrations.validation import max_exec_time
from pykueue.ports.reader import Reader

BY_OWNER_UID = "ownerUid"

# What jobs are told when they are stopped.
NOT_ADMITTED = "Not admitted by cluster queue"
DELETED = "Workload is deleted"
MISSING = "Missing Workload; unable to restore pod templates"
MISSING_PREBUILT = "missing workload"
NOT_MATCHING = "No matching Workload; restoring pod templates according to existent Workload"


def make_workload(
    name: str,
    job: Obj,
    pod_sets: Sequence[PodSetWire],
    priority: Priority,
    settings: JobSettings,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    owners: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A Workload as it is created.

    Args:
        name: of the Workload.
        job: whose queue, execution time, gates and copied metadata count.
        pod_sets: as on the wire.
        priority: resolved.
        settings: which labels are copied, which gates are on.
        labels: besides the copied ones.
        annotations: besides the copied ones.
        owners: owner references.
    """
    spec: dict[str, Any] = {"podSets": [_without_partial(p, settings) for p in pod_sets], **priority.to_spec()}
    if queue := queue_name(job):
        spec["queueName"] = queue
    if (limit := max_exec_time(job)) is not None:
        spec["maximumExecutionTimeSeconds"] = limit
    meta: dict[str, Any] = {
        "name": name,
        "namespace": objects.namespace(job),
        "labels": {**copied_labels(job, settings), **labels},
        "annotations": {**_copied_annotations(job, settings), **annotations},
        "finalizers": [RESOURCE_IN_USE_FINALIZER],
        "ownerReferences": [dict(owner) for owner in owners],
    }
    return {
        "apiVersion": WORKLOAD.api_version,
        "kind": WORKLOAD.kind,
        "metadata": {key: value for key, value in meta.items() if value},
        "spec": spec,
    }


def copied_labels(job: Obj, settings: JobSettings) -> dict[str, str]:
    """The job's labels that the configuration says to copy."""
    labels = objects.labels(job)
    return {key: labels[key] for key in settings.config.integrations.label_keys_to_copy if key in labels}


def job_uid_label(job: Obj) -> dict[str, str]:
    """The label that names the job's UID, if the UID can be a label."""
    uid = objects.uid(job)
    return {Label.JOB_UID.value: uid} if uid and not label_value_faults(uid) else {}


def created(workload: Obj, kind: Kind, about: Obj, reporter: str) -> Command:
    """Create a Workload, and tell the job."""
    note = f"Created Workload: {objects.key(workload)}"
    return Chain((Create(WORKLOAD, workload), Emit(kind, about, "Normal", "CreatedWorkload", note, reporter)))


def deleted(workload: Workload) -> tuple[Command, ...]:
    """Nothing holds the Workload, and it goes; nothing if it is on its way."""
    gone = () if workload.is_deleting else (Delete(WORKLOAD, workload.key, uid=workload.uid),)
    return (*drop_finalizer(workload), *gone)


def taken_over(found: Obj, kind: Kind, job: Obj) -> Command:
    """A job becomes the controller of a Workload that has none."""
    ref = objects.make_owner_reference(kind, job, controller=True)
    owners = [*(objects.metadata(found).get("ownerReferences") or ()), ref]
    meta = {"uid": objects.uid(found), "labels": job_uid_label(job), "ownerReferences": owners}
    return Patch(WORKLOAD, objects.key(found), {"metadata": meta})


def with_pods_ready(workload: Workload, *, ready: bool, settings: JobSettings, now: Instant) -> Workload:
    """The Workload with `PodsReady` in line with its pods; unchanged if status and reason stay, or nobody waits for pods.

    Source: jobs.md §12.
    """
    if settings.config.wait_for_pods_ready is None or settings.features[Gate.DISABLE_WAIT_FOR_PODS_READY]:
        return workload
    present = workload.condition(WorkloadCondition.PODS_READY)
    reason_now = present.reason if present else ""
    recovering = reason_now in (Reason.WAIT_FOR_RECOVERY, Reason.RECOVERED)
    if not workload.is_true(WorkloadCondition.ADMITTED):
        reason, message = Reason.WAIT_FOR_START, "Not all pods are ready or succeeded"
        ready = False
    elif ready:
        reason = Reason.RECOVERED if recovering else Reason.STARTED
        message = "All pods reached readiness and the workload is running"
    elif (present is not None and present.status == "True") or reason_now == Reason.WAIT_FOR_RECOVERY:
        reason, message = Reason.WAIT_FOR_RECOVERY, "At least one pod has failed, waiting for recovery"
    else:
        reason, message = Reason.WAIT_FOR_START, "Not all pods are ready or succeeded"
    if present is not None and (present.status == "True", present.reason) == (ready, reason):
        return workload
    return transitions.with_condition(workload, WorkloadCondition.PODS_READY, ready, reason, message, now)


def finished(workload: Workload, reason: str, message: str, now: Instant) -> Workload:
    """The Workload, finished."""
    return transitions.with_condition(workload, WorkloadCondition.FINISHED, True, reason, message, now)


def out_of_sync(workload: Workload, now: Instant) -> tuple[Apply, ...]:
    """The end of a prebuilt Workload that is not that of the job which names it."""
    message = "The prebuilt workload is out of sync with its user job"
    return status_write(workload, finished(workload, Reason.OUT_OF_SYNC, message, now), now)


def quota_returned(workload: Workload, settings: JobSettings, now: Instant, *, is_pod_owned: bool) -> Workload:
    """The evicted Workload whose job has stopped: without reservation, and told whether it queues again at once.

    Source: jobs.md §7 step 18.
    """
    evicted = workload.condition(WorkloadCondition.EVICTED)
    if evicted is None or evicted.status != "True" or not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
        return workload
    at_once = evicted.reason in (Reason.PREEMPTED, Reason.NODE_FAILURES)
    if is_pod_owned and settings.features[Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS]:
        at_once = False
    requeued = transitions.with_condition(
        workload, WorkloadCondition.REQUEUED, at_once, evicted.reason, evicted.message, now
    )
    return transitions.release_quota(requeued, transitions.pending_evaluation(settings.features), evicted.message, now)


def orphaned(workload: Workload, settings: JobSettings, now: Instant) -> tuple[Command, ...]:
    """The job of a Workload is gone: it ends, and is let go."""
    is_over = workload.is_deleting or workload.is_true(WorkloadCondition.FINISHED)
    if is_over or not settings.features[Gate.FINISH_ORPHANED_WORKLOADS]:
        return drop_finalizer(workload)
    message = "The workload's owner no longer exists"
    ended = finished(workload, Reason.OWNER_NOT_FOUND, message, now)
    return (*status_write(workload, ended, now), *drop_finalizer(workload))


def retention_left_us(workload: Workload, settings: JobSettings, now: Instant) -> int | None:
    """How long the job of a Workload that was deactivated for good is kept.

    Returns:
        µs, at least a second; 0 when its time is over; None where it is kept for ever.

    Source: jobs.md §13.
    """
    retention_us = settings.config.object_retention_policies.workloads.after_deactivated_by_kueue_us
    evicted = workload.condition(WorkloadCondition.EVICTED)
    if retention_us is None or workload.spec.active or evicted is None or evicted.status != "True":
        return None
    if not evicted.reason.startswith(f"{Reason.DEACTIVATED}DueTo"):
        return None
    left_us = evicted.transitioned_at + retention_us - now
    return max(left_us, SECOND_US) if left_us > 0 else 0


def gates_change(job: Obj, workload: Workload, features: Features) -> tuple[dict[str, Any], list[str]]:
    """The job's admission gates, if its Workload has others.

    Returns:
        What a patch of the Workload's metadata says of them, and the note of the event that tells; both empty for no change.
    """
    if not features[Gate.ADMISSION_GATED_BY]:
        return {}, []
    gates = objects.annotations(job).get(Annotation.ADMISSION_GATED_BY, "")
    if workload.metadata.annotations.get(Annotation.ADMISSION_GATED_BY, "") == gates:
        return {}, []
    annotations = {Annotation.ADMISSION_GATED_BY.value: gates or None}
    return {"annotations": annotations}, [f'Updated workload AdmissionGatedBy to "{gates}"']


@dataclass(frozen=True, slots=True)
class Update:
    """How a Workload is brought in line with its job.

    Attributes:
        body: of a merge patch; empty if it is in line.
        notes: of the `UpdatedWorkload` events.
        missing: what is told of a priority class that does not exist; empty otherwise. The rest is brought in line all the same.
    """

    body: dict[str, Any]
    notes: Sequence[str]
    missing: str


def make_update(job: Obj, workload: Workload, reader: Reader, features: Features, *, may_move: bool) -> Update:
    """Queue, admission gates and priority class of a job, in its Workload.

    Args:
        job: that the Workload stands for.
        workload: as it is.
        reader: knows the priority classes.
        features: gates in force.
        may_move: whether the Workload may change its queue now.
    """
    spec: dict[str, Any] = {}
    gates, notes = gates_change(job, workload, features)
    if may_move and queue_name(job) != workload.spec.queue_name:
        spec["queueName"] = queue_name(job) or None
    missing = ""
    try:
        if priority := changed_priority(job, workload, reader):
            spec |= priority.to_spec()
            notes.append(f"Updated workload priority class: {workload.key}")
    except PriorityClassMissing as fault:
        missing = str(fault)
    if not spec and not gates:
        return Update({}, (), missing)
    return Update({"metadata": {"uid": workload.uid, **gates}} | ({"spec": spec} if spec else {}), notes, missing)


def pending_checks_note(workload: Workload) -> str:
    """While quota is reserved: what the pending checks say; empty if they say nothing."""
    if not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
        return ""
    checks = [c for c in workload.status.admission_checks if c.state == "Pending" and c.message]
    return "; ".join(f"{check.name}: {check.message}" for check in checks)


def status_write(workload: Workload, desired: Workload, now: Instant) -> tuple[Apply, ...]:
    """The write of the admission part, if anything in it changed."""
    return (admission_patch(workload, desired, now),) if desired.status != workload.status else ()


def owner_uids(obj: Obj) -> Iterable[str]:
    """The UIDs of an object's owners: the index `ownerUid`."""
    return [ref.uid for ref in objects.owner_references(obj)]


def _without_partial(pod_set: PodSetWire, settings: JobSettings) -> PodSetWire:
    if settings.features[Gate.PARTIAL_ADMISSION]:
        return pod_set
    return {key: value for key, value in pod_set.items() if key != "minCount"}


def _copied_annotations(job: Obj, settings: JobSettings) -> dict[str, str]:
    annotations = objects.annotations(job)
    copied = {key: value for key, value in annotations.items() if key.startswith(PROVREQ_ANNOTATION_PREFIX)}
    gates = annotations.get(Annotation.ADMISSION_GATED_BY)
    if gates and settings.features[Gate.ADMISSION_GATED_BY]:
        copied[Annotation.ADMISSION_GATED_BY.value] = gates
    return copied
