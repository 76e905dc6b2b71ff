"""Pods that are admitted one by one: each has a Workload of its own.

A pod cannot be suspended again: when it is evicted it is deleted, and its Workload ends with it.

Source: jobs.md §7, §18.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Delete, Emit, Patch
from pykueue.api.constants import DEFAULT_POD_SET, Reason, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.jobs import group_workload, pod_commands, workloads
from pykueue.controllers.jobs.pod_commands import REPORTER, in_order, together
from pykueue.controllers.workload_status import drop_finalizer
from pykueue.core.features import Gate
from pykueue.integrations import pod as pods
from pykueue.integrations.identity import pod_group_name, prebuilt_workload_name
from pykueue.integrations.members import is_startable
from pykueue.integrations.naming import origin_uid, workload_name
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict, pod_set_infos
from pykueue.integrations.priority import PriorityClassMissing, resolve_priority
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.integrations.validation import max_exec_time
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Result

BY_POD_OWNER = "podOwner"


def pod_owners(workload: Obj, *, qualified: bool = True) -> Iterable[str]:
    """The pod that controls a Workload, as `namespace/name` (the index `podOwner`) or by name alone."""
    ref = objects.controller_of(workload)
    if ref is None or (ref.api_version, ref.kind) != (POD.api_version, POD.kind):
        return ()
    return (f"{objects.namespace(workload)}/{ref.name}",) if qualified else (ref.name,)


class SinglePods:
    """One pass over one pod."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._features = settings.features

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `ports.reconcile.Reconciler`."""
        pod = reader.get(POD, key.namespace, key.name)
        owned = [reader.typed(Workload, w) for w in reader.by_index(WORKLOAD, BY_POD_OWNER, str(key))]
        if pod is None:
            return Result(tuple(c for workload in owned for c in workloads.orphaned(workload, self._settings, now)))
        if not pods.is_managed_pod(pod) or not self._settings.serves_pod(pod):
            return DONE
        if pod_group_name(pod, self._features):
            return DONE
        if objects.is_deleting(pod):
            ends = [c for workload in owned for c in workloads.orphaned(workload, self._settings, now)]
            return Result((*ends, *pod_commands.finalize(pod)))
        if not self._settings.selects_namespace(reader, key.namespace):
            return DONE
        if not queue_name(pod) and not self._settings.config.manage_jobs_without_queue_name:
            return DONE
        try:
            return self._reconcile(reader, pod, owned, now)
        except FlavorMissing as fault:
            return Result(error=str(fault))

    def _reconcile(self, reader: Reader, pod: Obj, owned: Sequence[Workload], now: Instant) -> Result:
        prebuilt = prebuilt_workload_name(pod, self._features)
        if prebuilt:
            found = reader.get(WORKLOAD, objects.namespace(pod), prebuilt)
            if found is None or _is_taken(found, pod):
                return self._missing(pod, now)
            workload = reader.typed(Workload, found)
            if all(ref.uid != objects.uid(pod) for ref in workload.metadata.owner_references):
                return Result((workloads.taken_over(found, POD, pod),))
            if not self._stands_for(pod, workload) and not workload.is_true(WorkloadCondition.FINISHED):
                return Result(workloads.out_of_sync(workload, now))
            return self._go_on(reader, pod, workload, now)
        match = next((workload for workload in owned if self._stands_for(pod, workload)), None)
        if extra := [workload for workload in owned if workload is not match]:
            return self._replace(pod, match, extra, now)
        if match is None:
            return self._construct(reader, pod, now)
        return self._go_on(reader, pod, match, now)

    def _construct(self, reader: Reader, pod: Obj, now: Instant) -> Result:
        if pods.is_terminated(pod):
            return Result(pod_commands.finalize(pod))
        if not pods.is_gated(pod):
            stopped = pod_commands.stop(pod, pod_commands.NO_MATCHING_WORKLOAD, workloads.MISSING, now)
            return Result((stopped,))
        pod_set = pods.pod_pod_set(DEFAULT_POD_SET, pod, 1, self._features)
        try:
            priority = resolve_priority(pod, [pod_set["template"]], reader)
        except PriorityClassMissing as missing:
            event = Emit(POD, pod, "Warning", "WorkloadPriorityClassNotFound", str(missing), REPORTER)
            return Result((event,), error=str(missing))
        name = workload_name(
            POD.kind, POD.group, objects.name(pod), origin_uid(pod), short=self._settings.has_short_names()
        )
        workload = workloads.make_workload(
            name,
            pod,
            [pod_set],
            priority,
            self._settings,
            labels=workloads.job_uid_label(pod),
            annotations={},
            owners=[objects.make_owner_reference(POD, pod, controller=True)],
        )
        return Result((workloads.created(workload, POD, pod, REPORTER),))

    def _go_on(self, reader: Reader, pod: Obj, workload: Workload, now: Instant) -> Result:
        if workload.is_true(WorkloadCondition.FINISHED):
            return Result(tuple(_released(pod, workload)))
        if workload.is_deleting:
            stops = pod_commands.stop_all([pod], pod_commands.WORKLOAD_DELETED, workloads.DELETED, now)
            return Result((*stops, *drop_finalizer(workload)))
        if pods.is_terminated(pod):
            reason = Reason.SUCCEEDED if pods.phase(pod) == "Succeeded" else Reason.FAILED
            said = str(objects.get_path(pod, "status", "message") or "")
            ended = workloads.finished(workload, reason, said, now)
            return Result((*workloads.status_write(workload, ended, now), *_released(pod, workload)))
        synced = group_workload.synced(reader, [pod], workload, self._settings)
        acts, desired = self._acts(reader, pod, workload, now)
        if not desired.is_true(WorkloadCondition.FINISHED):
            desired = workloads.with_pods_ready(desired, ready=pods.is_ready(pod), settings=self._settings, now=now)
        expired, wake_us = self._expired(pod, workload, now)
        writes = (*workloads.status_write(workload, desired, now), *synced)
        return Result(together([*in_order(writes), *in_order([*acts, *expired])]), wake_us)

    def _acts(self, reader: Reader, pod: Obj, workload: Workload, now: Instant) -> tuple[Sequence[Command], Workload]:
        evicted = workload.condition(WorkloadCondition.EVICTED)
        if evicted is not None and evicted.status == "True":
            stops = pod_commands.stop_all([pod], f"WorkloadEvictedDueTo{evicted.reason}", evicted.message, now)
            # Kueue parity: jobs.md §18.2: a single pod is never active, the quota is returned before it is gone.
            return stops, workloads.quota_returned(workload, self._settings, now, is_pod_owned=True)
        if not workload.is_true(WorkloadCondition.ADMITTED):
            stops = pod_commands.stop_all([pod], pod_commands.NOT_ADMITTED, workloads.NOT_ADMITTED, now)
            return [*stops, *group_workload.check_events([pod], workload)], workload
        if not pods.is_gated(pod) or not is_startable(workload, reader):
            return (), workload
        try:
            infos = pod_set_infos(workload, reader, self._features)
            return (Chain((pod_commands.start(pod, infos[0]), pod_commands.started(pod, workload))),), workload
        except PodSetConflict as conflict:
            return (), workloads.finished(workload, Reason.FAILED_TO_START, str(conflict), now)

    def _replace(self, pod: Obj, match: Workload | None, extra: Sequence[Workload], now: Instant) -> Result:
        """Workloads that do not stand for the pod: the first is rewritten while nothing depends on it, others go."""
        first = extra[0]
        if match is None and pods.is_gated(pod) and not first.is_true(WorkloadCondition.QUOTA_RESERVED):
            pod_set = pods.pod_pod_set(DEFAULT_POD_SET, pod, 1, self._features)
            spec = {
                "podSets": [pod_set],
                "queueName": queue_name(pod) or None,
                "maximumExecutionTimeSeconds": max_exec_time(pod),
            }
            note = f"Updated not matching Workload for suspended job: {first.key}"
            body = {"metadata": {"uid": first.uid}, "spec": spec}
            event = Emit(POD, pod, "Normal", "UpdatedWorkload", note, REPORTER)
            return Result((Chain((Patch(WORKLOAD, first.key, body), event)),))
        commands: list[Command] = []
        if match is None and not pods.is_suspended(pod):
            message = workloads.NOT_MATCHING if len(extra) == 1 else workloads.MISSING
            commands.append(pod_commands.stop(pod, pod_commands.NO_MATCHING_WORKLOAD, message, now))
        for workload in extra:
            note = f"Deleted not matching Workload: {workload.key}"
            event = Emit(POD, pod, "Normal", "DeletedWorkload", note, REPORTER)
            commands.append(Chain((*workloads.deleted(workload), event)))
        return Result(tuple(commands))

    def _missing(self, pod: Obj, now: Instant) -> Result:
        """The Workload that the pod names is not there: its creation does not wake us, so look again."""
        stops = pod_commands.stop_all([pod], pod_commands.NO_MATCHING_WORKLOAD, workloads.MISSING_PREBUILT, now)
        return Result(tuple(stops), error="prebuilt workload not found")

    def _stands_for(self, pod: Obj, workload: Workload) -> bool:
        """Whether a Workload is still that of this pod (jobs.md §9)."""
        if self._features[Gate.FINISH_ORPHANED_WORKLOADS] and all(
            ref.uid != objects.uid(pod) for ref in workload.metadata.owner_references
        ):
            return False
        if max_exec_time(pod) != workload.spec.maximum_execution_time_seconds or len(workload.spec.pod_sets) != 1:
            return False
        pod_set = workload.spec.pod_sets[0]
        theirs = pod_set.template.get("spec") or {}
        ours = pods.pod_pod_set(pod_set.name, pod, 1, self._features)["template"]["spec"]
        compared = ["initContainers", "containers"]
        if not workload.is_true(WorkloadCondition.ADMITTED):
            compared.append("tolerations")
        return pod_set.count == 1 and all((theirs.get(k) or []) == (ours.get(k) or []) for k in compared)

    def _expired(self, pod: Obj, workload: Workload, now: Instant) -> tuple[Sequence[Command], int | None]:
        """A job that was deactivated for good is deleted after its retention (jobs.md §13)."""
        left_us = workloads.retention_left_us(workload, self._settings, now)
        if left_us is None or left_us > 0:
            return (), left_us
        note = "Deleted job: deactivation retention period expired"
        gone = Delete(POD, objects.key(pod), uid=objects.uid(pod))
        return (gone, Emit(POD, pod, "Normal", "Deleted", note, REPORTER)), None


def _is_taken(found: Obj, pod: Obj) -> bool:
    ref = objects.controller_of(found)
    return ref is not None and ref.uid != objects.uid(pod)


def _released(pod: Obj, workload: Workload) -> Sequence[Command]:
    commands = (*pod_commands.finalize(pod), *drop_finalizer(workload))
    if not commands:
        return ()
    note = f"Workload '{workload.key}' is declared finished"
    return (*commands, Emit(POD, pod, "Normal", "FinishedWorkload", note, REPORTER))
