"""What is done to jobs with a suspend field: started, stopped, suspended for an ancestor's sake, deleted.

An integration says how the object shall look; here the difference becomes a merge patch. Every write names the UID it means. A start
also names the resource version that was looked at: what starts is exactly what was admitted.

Source: jobs.md §10, §11, §17.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Delete, Emit, Patch
from pykueue.api.objects import Obj, merge_difference
from pykueue.api.v1beta2 import PodSet, Workload
from pykueue.integrations.podset_info import PodSetInfo
from pykueue.integrations.suspended import SuspendedJob


def reporter(integration: SuspendedJob) -> str:
    """The reporting controller of the job's events."""
    return f"{integration.name}-kueue-controller"


def emit(integration: SuspendedJob, job: Obj, reason: str, note: str, type_: str = "Normal") -> Emit:
    """An event about a job."""
    return Emit(integration.kind, job, type_, reason, note, reporter(integration))


def start(integration: SuspendedJob, job: Obj, workload: Workload, infos: Sequence[PodSetInfo]) -> tuple[Command, ...]:
    """Start a suspended job with what its Workload was granted, in one patch.

    Raises:
        PodSetConflict: the job contradicts what was granted.
    """
    body = merge_difference(job, integration.started(job, infos))
    guarded = _guarded(job, body, resourceVersion=objects.resource_version(job) or None)
    admission = workload.status.admission
    note = f"Admitted by clusterQueue {admission.cluster_queue if admission else ''}"
    return (Patch(integration.kind, objects.key(job), guarded), emit(integration, job, "Started", note))


def stop(integration: SuspendedJob, job: Obj, message: str, pod_sets: Sequence[PodSet] = ()) -> tuple[Command, ...]:
    """Suspend a job and restore its templates; nothing if it is suspended already.

    Args:
        integration: of the job's kind.
        job: as it runs, or as a former stop left it halfway.
        message: why, for the event.
        pod_sets: of the Workload that the templates are restored from; empty where there is none.
    """
    if integration.is_suspended(job):
        return ()
    restored = integration.restored(job, pod_sets)
    stale = integration.stale_status(job)
    if not integration.halts_first or (not stale and restored == integration.held(job)):
        writes = _write(integration, job, merge_difference(job, restored))
    else:
        halted = integration.halted(job)
        writes = (
            *_write(integration, job, merge_difference(job, halted)),
            *_write(integration, job, stale, subresource="status"),
            *_write(integration, job, merge_difference(halted, integration.restored(halted, pod_sets))),
        )
    return (*writes, emit(integration, job, "Stopped", message))


def suspend_child(integration: SuspendedJob, job: Obj) -> tuple[Command, ...]:
    """Suspend a job that an admitted ancestor shall run, but none is admitted."""
    body = merge_difference(job, integration.held(job))
    note = "Kueue managed child job suspended"
    return (*_write(integration, job, body), emit(integration, job, "Suspended", note))


def delete_expired(integration: SuspendedJob, job: Obj) -> tuple[Command, ...]:
    """Delete a job whose Workload was deactivated for good, and whose time is over."""
    gone = Delete(integration.kind, objects.key(job), uid=objects.uid(job))
    return (gone, emit(integration, job, "Deleted", "Deleted job: deactivation retention period expired"))


def _write(integration: SuspendedJob, job: Obj, body: Mapping[str, Any], subresource: str = "") -> tuple[Command, ...]:
    if not body:
        return ()
    guarded = _guarded(job, body)
    return (Patch(integration.kind, objects.key(job), guarded, subresource=subresource, missing_ok=True),)


def _guarded(job: Obj, body: Mapping[str, Any], **more: str | None) -> dict[str, Any]:
    guards = {"uid": objects.uid(job) or None, **more}
    meta = {**{k: v for k, v in guards.items() if v}, **(body.get("metadata") or {})}
    return {**body, "metadata": meta} if meta else dict(body)
