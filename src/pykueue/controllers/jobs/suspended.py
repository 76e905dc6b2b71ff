"""Jobs with a suspend field: the reconciler that makes, starts and stops them as their Workloads say.

It is the same for every such kind; what differs is declared by the integration. A pass looks at the job and its Workload and does, in
this order, what is due: end what has lost its job, hold back children of managed ancestors, find the one Workload, end, stop or
start. What a pass writes wakes the next one.

A job whose template may only be restored once it is suspended is stopped by several writes in a row; when they are cut short, the next pass
goes on where they ended, for the job says that it is not suspended yet.

Source: jobs.md §7, §10–§13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pykueue.api import kinds, objects
from pykueue.api.commands import Command, Patch
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import ReclaimablePod, Workload
from pykueue.controllers.jobs import matching, slices, suspending, workloads
from pykueue.controllers.jobs.matching import JobView
from pykueue.controllers.jobs.suspending import emit
from pykueue.controllers.workload_status import drop_finalizer, reclaimable_patch
from pykueue.core.features import Gate
from pykueue.integrations.ancestors import OwnerNotFound, OwnersChainTooLong, find_ancestor
from pykueue.integrations.identity import prebuilt_workload_name
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict, pod_set_infos
from pykueue.integrations.priority import PriorityClassMissing
from pykueue.integrations.settings import JobSettings, judged_anew, queue_name
from pykueue.integrations.suspended import Progress, SuspendedJob, with_slice_name
from pykueue.integrations.validation import is_elastic
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

BY_PREBUILT = "prebuiltWorkload"
_LOOKED_UP = (
    kinds.RESOURCE_FLAVOR, kinds.WORKLOAD_PRIORITY_CLASS, kinds.PRIORITY_CLASS,
    kinds.ADMISSION_CHECK, kinds.REPLICA_SET, kinds.DEPLOYMENT, kinds.STATEFUL_SET,
)  # fmt: skip


class SuspendedJobReconciler:
    """From the jobs of one kind to Workloads and back."""

    def __init__(self, integration: SuspendedJob, settings: JobSettings) -> None:
        self._job = integration
        self._kind = integration.kind
        self._settings = settings
        self._features = settings.features
        self.name = integration.kind.kind.lower()

    def watches(self) -> Sequence[Watch]:
        """The jobs, Workloads, namespaces, and the kinds that are looked up on the way."""
        lookups = (Watch(kind, lambda _event, _reader: ()) for kind in _LOOKED_UP)
        return (
            Watch(self._kind, lambda event, _: (objects.key(event.new),)),
            Watch(WORKLOAD, self._of_workload),
            Watch(kinds.NAMESPACE, self._of_namespace),
            *lookups,
        )

    def indexes(self) -> Sequence[Index]:
        """Workloads by controller and by owner; jobs by owner."""
        return (
            Index(WORKLOAD, matching.BY_CONTROLLER, matching.controllers),
            Index(WORKLOAD, workloads.BY_OWNER_UID, workloads.owner_uids),
            Index(self._kind, workloads.BY_OWNER_UID, workloads.owner_uids),
            Index(self._kind, BY_PREBUILT, self._prebuilt_names),
        )

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over one job."""
        job = reader.get(self._kind, key.namespace, key.name)
        if job is None or objects.is_deleting(job):
            owned = matching.controlled(reader, self._job, key)
            return Result(tuple(c for w in owned for c in workloads.orphaned(w, self._settings, now)))
        if not self._job.is_ours(job) or not self._settings.selects_namespace(reader, key.namespace):
            return DONE
        try:
            ancestor = find_ancestor(job, reader, self._settings)
        except OwnerNotFound as fault:
            return Result(error=str(fault))
        except OwnersChainTooLong:
            note = "Terminated search for Kueue-managed Job because ancestor depth exceeded limit of 10"
            return Result((emit(self._job, job, "JobNestingTooDeep", note, "Warning"),))
        if ancestor is not None:
            return self._child(reader, job, ancestor)
        if not queue_name(job) and not self._settings.config.manage_jobs_without_queue_name:
            return DONE
        view = JobView(self._job, job, self._job.pod_sets(job, self._features), self._settings, reader)
        try:
            return self._managed(view, now)
        except FlavorMissing as fault:
            return Result(error=str(fault))
        except PriorityClassMissing as missing:
            return Result((self._missing_class(job, str(missing)),), error=str(missing))

    # --- whose job it is -----------------------------------------------------------------------------------------

    def _child(self, reader: Reader, job: Obj, ancestor: Obj) -> Result:
        """A job that is admitted with what stands above it: it never has a Workload of its own."""
        if self._job.is_suspended(job) or self._job.progress(job).ended is not None:
            return DONE
        found = reader.by_index(WORKLOAD, workloads.BY_OWNER_UID, objects.uid(ancestor))
        live = [wl for wl in (reader.typed(Workload, f) for f in found) if not wl.is_true(WorkloadCondition.FINISHED)]
        if is_elastic(ancestor, self._features):
            may_run = any(not workload.is_true(WorkloadCondition.EVICTED) for workload in live)
        else:
            may_run = any(workload.is_true(WorkloadCondition.ADMITTED) for workload in live)
        return DONE if may_run else Result(suspending.suspend_child(self._job, job))

    def _managed(self, view: JobView, now: Instant) -> Result:
        """A job that has a Workload of its own."""
        progress = self._job.progress(view.job)
        has_ended = progress.ended is not None
        pending: Workload | None = None
        found: Workload | slices.Slices | Result | None
        if view.prebuilt:
            found = matching.prebuilt_workload(view, now)
        elif view.is_elastic:
            found = slices.elastic_slices(view, now, has_ended=has_ended)
        else:
            found = matching.own_workload(view, now, has_ended=has_ended)
        if isinstance(found, slices.Slices):
            pending = found.pending
            found = found.running
        if isinstance(found, Result):
            return found
        if found is None:
            return DONE if has_ended else self._without_workload(view, progress)
        if pending is None:
            return self._with_workload(view, found, progress, now)
        # The job's size is that of the slice that waits: how the running one is doing cannot be told from it.
        unmeasured = replace(progress, reclaimable=_noted(found), has_pods_ready=_was_ready(found))
        result = self._with_workload(view, found, unmeasured, now)
        waits = workloads.with_pods_ready(pending, ready=False, settings=self._settings, now=now)
        synced, error = self._synced(view, pending)
        writes = workloads.status_write(pending, waits, now)
        return replace(result, commands=(*result.commands, *writes, *synced), error=result.error or error)

    def _without_workload(self, view: JobView, progress: Progress) -> Result:
        stops: tuple[Command, ...] = ()
        if not view.is_suspended and (view.prebuilt or not view.is_elastic):
            message = workloads.MISSING_PREBUILT if view.prebuilt else workloads.MISSING
            stops = suspending.stop(self._job, view.job, message)
        if stops or (progress.is_active and not view.is_elastic) or view.prebuilt:
            # The Workload that the job names wakes it when it comes.
            return Result(stops)
        if view.is_elastic:
            return Result(matching.constructed(view, slices.slice_name(view), slices.slice_annotations(view)))
        return Result(matching.constructed(view))

    def _missing_class(self, job: Obj, missing: str) -> Command:
        return emit(self._job, job, "WorkloadPriorityClassNotFound", missing, "Warning")

    # --- what its Workload says ----------------------------------------------------------------------------------

    def _with_workload(self, view: JobView, workload: Workload, progress: Progress, now: Instant) -> Result:
        if workload.is_true(WorkloadCondition.FINISHED):
            return Result(self._released(view.job, workload))
        if workload.is_deleting:
            stops = suspending.stop(self._job, view.job, workloads.DELETED, workload.spec.pod_sets)
            return Result((*stops, *drop_finalizer(workload)))
        if progress.ended is not None:
            reason = Reason.SUCCEEDED if progress.ended.is_success else Reason.FAILED
            over = workloads.finished(workload, reason, progress.ended.message, now)
            return Result((*workloads.status_write(workload, over, now), *self._released(view.job, workload)))
        reclaimable = _reclaimable(workload, progress if view.is_elastic else _never_less(workload, progress))
        if self._features[Gate.RECLAIMABLE_PODS] and reclaimable != workload.status.reclaimable_pods:
            return Result((reclaimable_patch(workload, reclaimable),))
        acts, desired, wake_us = self._acts(view, workload, progress, now)
        if not desired.is_true(WorkloadCondition.FINISHED):
            ready = progress.has_pods_ready
            desired = workloads.with_pods_ready(desired, ready=ready, settings=self._settings, now=now)
        writes = workloads.status_write(workload, desired, now)
        synced, error = self._synced(view, workload)
        return Result((*acts, *writes, *synced), wake_us, error)

    def _acts(
        self, view: JobView, workload: Workload, progress: Progress, now: Instant
    ) -> tuple[Sequence[Command], Workload, int | None]:
        """What is done to the job, the Workload after it, and when to look again."""
        job, pod_sets = view.job, workload.spec.pod_sets
        evicted = workload.condition(WorkloadCondition.EVICTED)
        if evicted is not None and evicted.status == "True":
            commands = suspending.stop(self._job, job, evicted.message, pod_sets)
            if not progress.is_active:
                workload = workloads.quota_returned(workload, self._settings, now, is_pod_owned=False)
            left_us = workloads.retention_left_us(workload, self._settings, now)
            if left_us is not None and left_us <= 0:
                commands += suspending.delete_expired(self._job, job)
                left_us = None
            return commands, workload, left_us
        is_admitted = workload.is_true(WorkloadCondition.ADMITTED)
        if not view.is_suspended:
            # The pods of an elastic job are held back one by one.
            may_stay = is_admitted or view.is_elastic
            return () if may_stay else suspending.stop(self._job, job, workloads.NOT_ADMITTED, pod_sets), workload, None
        if not is_admitted:
            return self._check_events(job, workload), workload, None
        try:
            infos = pod_set_infos(workload, view.reader, self._features)
            if view.is_elastic:
                infos = tuple(with_slice_name(info, slices.chain_name(workload)) for info in infos)
            return suspending.start(self._job, job, workload, infos), workload, None
        except PodSetConflict as conflict:
            return (), workloads.finished(workload, Reason.FAILED_TO_START, str(conflict), now), None

    def _released(self, job: Obj, workload: Workload) -> tuple[Command, ...]:
        """The end of a Workload; told when there was something to let go."""
        dropped = drop_finalizer(workload)
        is_new = not workload.is_true(WorkloadCondition.FINISHED)
        if not dropped and not is_new:
            return ()
        note = f"Workload '{workload.key}' is declared finished"
        return (*dropped, emit(self._job, job, "FinishedWorkload", note))

    def _check_events(self, job: Obj, workload: Workload) -> tuple[Command, ...]:
        note = workloads.pending_checks_note(workload)
        return (emit(self._job, job, "UpdatedAdmissionCheck", note),) if note else ()

    def _synced(self, view: JobView, workload: Workload) -> tuple[tuple[Command, ...], str]:
        """Queue, admission gates and priority class of the job, in its Workload, in one write; and what is missing."""
        job = view.job
        may_move = view.is_suspended and not workload.is_true(WorkloadCondition.QUOTA_RESERVED)
        update = workloads.make_update(job, workload, view.reader, self._features, may_move=may_move)
        missing = (self._missing_class(job, update.missing),) if update.missing else ()
        if not update.body:
            return missing, update.missing
        events = [emit(self._job, job, "UpdatedWorkload", note) for note in update.notes]
        return (Patch(WORKLOAD, workload.key, update.body), *events, *missing), update.missing

    # --- who is woken --------------------------------------------------------------------------------------------

    def _of_workload(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """The job that controls the Workload, or names it; and the jobs that its owner owns."""
        namespace = objects.namespace(event.new)
        keys: dict[ObjectKey, None] = {}
        for obj in (event.new, event.old if event.change is Change.MODIFIED else None):
            for ref in objects.owner_references(obj) if obj is not None else ():
                if self._kind.is_kind_of(ref):
                    keys[ObjectKey(namespace, ref.name)] = None
                for child in reader.by_index(self._kind, workloads.BY_OWNER_UID, ref.uid):
                    keys[objects.key(child)] = None
        for job in reader.by_index(self._kind, BY_PREBUILT, str(objects.key(event.new))):
            keys[objects.key(job)] = None
        return keys

    def _of_namespace(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """Whoever may be managed now."""
        return [objects.key(job) for job in judged_anew(event, reader, self._kind)]

    def _prebuilt_names(self, job: Obj) -> Iterable[str]:
        name = prebuilt_workload_name(job, self._features)
        return (f"{objects.namespace(job)}/{name}",) if name else ()


def _never_less(workload: Workload, progress: Progress) -> Progress:
    """The progress, where a reservation lasts with at least the pods that were given back: they are not taken again.

    A job that was admitted again, smaller than it asks for, counts anew.
    """
    noted = _noted(workload)
    if not noted or not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
        return progress
    told = {**noted, **progress.reclaimable}
    return replace(progress, reclaimable={name: max(n, noted.get(name, 0)) for name, n in told.items()})


def _reclaimable(workload: Workload, progress: Progress) -> tuple[ReclaimablePod, ...]:
    """The pods that give their share back, at most as many as the pod set has."""
    return tuple(
        ReclaimablePod(name=pod_set.name, count=min(progress.reclaimable[pod_set.name], pod_set.count))
        for pod_set in workload.spec.pod_sets
        if progress.reclaimable.get(pod_set.name)
    )


def _noted(workload: Workload) -> dict[str, int]:
    return {pods.name: pods.count for pods in workload.status.reclaimable_pods}


def _was_ready(workload: Workload) -> bool:
    return workload.is_true(WorkloadCondition.PODS_READY)
