"""Elastic jobs: a chain of Workloads, the slices, of which the newest admitted one says how large the job may be.

A job that grows while it runs is not stopped: another slice is made for its new size, which replaces the former one when it is
admitted. A job that shrinks, or waits, has its slice changed in place. Until a slice is admitted, gates hold the pods that are beyond the
granted number (`slice_pods.py`).

Source: jobs.md §15, scheduling.md §14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Patch
from pykueue.api.constants import Annotation, Reason, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.jobs import matching, workloads
from pykueue.controllers.jobs.matching import JobView
from pykueue.integrations.naming import origin_uid, workload_name
from pykueue.ports.reconcile import Result


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices that count.

    Attributes:
        running: which the job runs by; the pending one where none is reserved.
        pending: which shall replace it; None if there is none.
    """

    running: Workload
    pending: Workload | None = None


def elastic_slices(view: JobView, now: Instant, *, has_ended: bool) -> Slices | Result | None:
    """The slices of an elastic job; None if there is none that counts; a Result if something is due first.

    Args:
        view: the job.
        now: Instant (µs).
        has_ended: whether the job is over: then its last slice counts, finished or not.
    """
    uid = objects.uid(view.job)
    owned = matching.controlled(view.reader, view.integration, objects.key(view.job))
    owned = sorted(
        (w for w in owned if any(ref.uid == uid for ref in w.metadata.owner_references)),
        key=lambda w: (w.created_at, w.uid),
    )
    live = [workload for workload in owned if not workload.is_true(WorkloadCondition.FINISHED)]
    if not live:
        # A slice that ended before the job did is not made again under the same name.
        last = [w for w in owned if has_ended or w.name == slice_name(view)]
        return Slices(last[-1]) if last else None
    kept, others = _chosen(live)
    if others:
        return Result(tuple(c for w in others for c in _ended(w, live, now)))
    newest = kept.pending or kept.running
    if newest.is_deleting or has_ended:
        return kept
    want = {pod_set["name"]: int(pod_set["count"]) for pod_set in view.pod_sets}
    have = {pod_set.name: pod_set.count for pod_set in newest.spec.pod_sets}
    if want == have:
        return kept
    if want.keys() != have.keys():
        # Kueue parity: jobs.md §15: other pod sets are no matter of size; the job is treated like any other.
        found = matching.own_workload(view, now, has_ended=has_ended)
        return Slices(found) if isinstance(found, Workload) else found
    shrinks = all(want[name] <= have[name] for name in have)
    if shrinks or not newest.is_true(WorkloadCondition.QUOTA_RESERVED):
        return Result((_resized(view, newest, want),))
    return Result(matching.constructed(view, slice_name(view), slice_annotations(view, newest)))


def slice_name(view: JobView) -> str:
    """The name of the slice for the job as it is now: each generation of the job has its own."""
    kind, job = view.integration.kind, view.job
    return workload_name(
        kind.kind,
        kind.group,
        objects.name(job),
        origin_uid(job),
        extra=str(objects.generation(job)),
        short=view.settings.has_short_names(),
    )


def slice_annotations(view: JobView, replaced: Workload | None = None) -> dict[str, str]:
    """The annotations of a new slice: the first slice of its chain, and which one it replaces."""
    annotations = {Annotation.ELASTIC_JOB.value: "true"}
    if replaced is None:
        return annotations | {Annotation.WORKLOAD_SLICE_NAME.value: slice_name(view)}
    return annotations | {
        Annotation.WORKLOAD_SLICE_NAME.value: chain_name(replaced),
        Annotation.WORKLOAD_SLICE_REPLACEMENT_FOR.value: str(replaced.key),
    }


def chain_name(workload: Workload) -> str:
    """The name of the first slice of a chain: all slices and all pods of the job say it."""
    return workload.metadata.annotations.get(Annotation.WORKLOAD_SLICE_NAME) or workload.name


def _chosen(live: Sequence[Workload]) -> tuple[Slices, Sequence[Workload]]:
    """The newest slice with a reservation that no other one with a reservation replaces, its replacement; and the others."""
    reserved = [workload for workload in live if workload.is_true(WorkloadCondition.QUOTA_RESERVED)]
    replaced = {_replaces(workload) for workload in reserved}
    heads = [workload for workload in reserved if str(workload.key) not in replaced]
    waiting = [workload for workload in live if workload not in reserved]
    if heads:
        waiting = [workload for workload in waiting if _replaces(workload) == str(heads[-1].key)]
    pending = waiting[-1] if waiting else None
    kept = Slices(heads[-1], pending) if heads else Slices(pending or live[-1])
    return kept, [w for w in live if w is not kept.running and w is not kept.pending]


def _replaces(workload: Workload) -> str:
    return workload.metadata.annotations.get(Annotation.WORKLOAD_SLICE_REPLACEMENT_FOR, "")


def _ended(workload: Workload, live: Sequence[Workload], now: Instant) -> tuple[Command, ...]:
    is_replaced = any(
        _replaces(other) == str(workload.key) and other.is_true(WorkloadCondition.QUOTA_RESERVED) for other in live
    )
    if is_replaced:
        reason, message = Reason.WORKLOAD_SLICE_REPLACED, "Replaced to accommodate a new workload slice"
    else:
        reason, message = Reason.OUT_OF_SYNC, "The workload slice is out of sync with its parent job"
    return workloads.status_write(workload, workloads.finished(workload, reason, message, now), now)


def _resized(view: JobView, workload: Workload, counts: Mapping[str, int]) -> Command:
    raw = view.reader.get(WORKLOAD, *workload.key) or {}
    pod_sets: list[dict[str, Any]] = [
        {**pod_set, "count": counts[pod_set.get("name", "main")]}
        for pod_set in objects.get_path(raw, "spec", "podSets") or ()
    ]
    # The list is written whole: it must be the one that was looked at.
    meta = {"uid": workload.uid, "resourceVersion": workload.metadata.resource_version}
    return Patch(WORKLOAD, workload.key, {"metadata": meta, "spec": {"podSets": pod_sets}})
