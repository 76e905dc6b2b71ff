"""Pods and pod groups: the reconciler that all gated pods end up with.

A key is one pod, or one group (`group/<namespace>`, name). What is asked of the API is put together in one pass: at most one write of the
Workload's status, and the writes to pods side by side, since they do not depend on each other.

Over against Kueue's own passes the end is the same and the writes are fewer: owner references are added in batches, and pods that were
started by `set_pods.py` already are left alone.

Source: jobs.md §7, §18.3, leaderworkerset.md A9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import kinds, objects
from pykueue.api.commands import Chain, Command, Emit, Patch, PatchType
from pykueue.api.constants import Annotation, Reason, WorkloadCondition
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Condition, Workload
from pykueue.controllers.jobs import group_workload, groups, pod_commands, workloads
from pykueue.controllers.jobs.pod_commands import REPORTER, in_order, together
from pykueue.controllers.jobs.single_pods import BY_POD_OWNER, SinglePods, pod_owners
from pykueue.controllers.workload_status import condition_patch, drop_finalizer, reclaimable_patch
from pykueue.core.features import Gate
from pykueue.integrations import pod as pods
from pykueue.integrations.identity import pod_group_name, prebuilt_workload_name
from pykueue.integrations.members import BY_GROUP, fits_pod_sets, group_index, is_left_over, is_startable
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict, PodSetInfo, info_of, pod_set_infos
from pykueue.integrations.registry import SETS
from pykueue.integrations.settings import JobSettings, judged_anew, queue_name
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

GROUP_PREFIX = "group/"
BATCH_US = SECOND_US * 3 // 2
"""Owner references of pods that follow each other within this time are written at once; a complete group's need not wait."""
NEWS_US = SECOND_US // 10
"""News of pods that are not held by a gate come in crowds: one pass for those within this time."""
CONDITION_MANAGER = "kueue-pod-controller"
_LOOKED_UP = (
    kinds.RESOURCE_FLAVOR, kinds.WORKLOAD_PRIORITY_CLASS, kinds.PRIORITY_CLASS, kinds.ADMISSION_CHECK,
    kinds.REPLICA_SET, kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.JOB, kinds.LOCAL_QUEUE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """The pods of a group and their Workload, and what was found out about them.

    Attributes:
        members: without the pods that are in excess; at least one.
        workload: theirs.
        waiting: `WaitingForReplacementPods` as it should be; None to leave it.
        synced: writes that bring the Workload in line with the pods.
        tidying: writes to pods that the group does not need any more.
    """

    members: Sequence[Obj]
    workload: Workload
    waiting: Condition | None = None
    synced: Sequence[Command] = ()
    tidying: Sequence[Command] = ()
    kept: Sequence[Obj] | None = None
    """Pods that the group consists of where others were replaced; None for all of them."""

    @property
    def counted(self) -> Sequence[Obj]:
        """The pods whose readiness counts: not those that others have replaced."""
        return self.members if self.kept is None else self.kept

    @property
    def total(self) -> int:
        """The number of pods that the group shall have."""
        return pods.group_total(self.members[0]) or len(self.members)


class PodReconciler:
    """From pods to Workloads and back, for single pods and for groups."""

    name = "v1_pod"

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._features = settings.features
        self._single = SinglePods(settings)

    def watches(self) -> Sequence[Watch]:
        """Pods, Workloads of pods, and the kinds that are looked up on the way."""
        lookups = (Watch(kind, lambda _event, _reader: ()) for kind in _LOOKED_UP)
        namespaces = Watch(kinds.NAMESPACE, self._of_namespace)
        crowds = Watch(POD, self._of_started_pod, NEWS_US)
        return (Watch(POD, self._of_gated_pod), crowds, Watch(WORKLOAD, self._of_workload), namespaces, *lookups)

    def indexes(self) -> Sequence[Index]:
        """Pods by group, Workloads by the pod that controls them."""
        return (group_index(self._features), Index(WORKLOAD, BY_POD_OWNER, pod_owners))

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over a pod or a group."""
        if not key.namespace.startswith(GROUP_PREFIX):
            return self._single.reconcile(reader, key, now)
        namespace = key.namespace.removeprefix(GROUP_PREFIX)
        members = reader.by_index(POD, BY_GROUP, f"{namespace}/{key.name}")
        found = reader.get(WORKLOAD, namespace, key.name)
        if not members:
            return self._without_members(reader.typed(Workload, found), now) if found is not None else DONE
        first = members[0]
        if not pods.is_managed_pod(first) or not self._settings.serves_pod(first):
            return DONE
        if not self._settings.selects_namespace(reader, namespace):
            return DONE
        if not queue_name(first) and not self._settings.config.manage_jobs_without_queue_name:
            return DONE
        prebuilt = prebuilt_workload_name(first, self._features)
        try:
            if prebuilt:
                return self._prebuilt(reader, members, prebuilt, now)
            return self._plain(reader, members, key.name, found, now)
        except FlavorMissing as fault:
            return Result(error=str(fault))

    def _without_members(self, workload: Workload, now: Instant) -> Result:
        """No pod is left: evicted, the quota goes back; else nothing holds the Workload, unless it stands for more than its pods."""
        is_controlled = any(ref.controller for ref in workload.metadata.owner_references)
        if is_controlled or Annotation.IS_GROUP_WORKLOAD not in workload.metadata.annotations:
            return DONE
        owners = workload.metadata.owner_references
        if workload.is_deleting or (owners and all(map(POD.is_kind_of, owners))):
            return Result(drop_finalizer(workload))
        returned = workloads.quota_returned(workload, self._settings, now, is_pod_owned=False)
        return Result(workloads.status_write(workload, returned, now))

    # --- which Workload ------------------------------------------------------------------------------------------

    def _prebuilt(self, reader: Reader, members: Sequence[Obj], name: str, now: Instant) -> Result:
        """A group that names its Workload: it is taken as it is, or the group does not run."""
        found = reader.get(WORKLOAD, objects.namespace(members[0]), name)
        if found is None or objects.controller_of(found) is not None:
            # The Workload's creation wakes this key: no need to try again until then.
            stops = pod_commands.stop_all(members, pod_commands.NO_MATCHING_WORKLOAD, workloads.MISSING_PREBUILT, now)
            return Result(together(stops))
        workload = reader.typed(Workload, found)
        roles = [pods.role_of(pod) for pod in members if pods.is_runnable(pod)]
        is_over = workload.is_true(WorkloadCondition.FINISHED)
        if not is_over and not workload.is_deleting and not fits_pod_sets(roles, workload):
            return Result(workloads.out_of_sync(workload, now))
        return self._go_on(reader, Group(members, workload), now)

    def _plain(self, reader: Reader, members: Sequence[Obj], group: str, found: Obj | None, now: Instant) -> Result:
        """A group whose Workload is made from its pods."""
        if found is None:
            return group_workload.construct(reader, members, group, self._settings)
        workload = reader.typed(Workload, found)
        if not group_workload.belongs_to_group(workload, self._features):
            return group_workload.name_conflict(members, group)
        if workload.is_deleting or workload.is_true(WorkloadCondition.FINISHED):
            return self._go_on(reader, Group(members, workload), now)
        cleanup = groups.match(members, workload, now)
        if group_workload.is_stale(cleanup.kept, workload):
            note = f"Deleted not matching Workload: {workload.key}"
            event = Emit(POD, members[0], "Normal", "DeletedWorkload", note, REPORTER)
            return Result((Chain((*workloads.deleted(workload), event)),))
        tidying: list[Command] = [pod_commands.remove_excess(pod) for pod in cleanup.excess]
        tidying += [command for pod in cleanup.replaced for command in pod_commands.finalize(pod)]
        excess = {objects.uid(pod) for pod in cleanup.excess}
        rest = Group(
            [pod for pod in members if objects.uid(pod) not in excess],
            workload,
            group_workload.waiting_condition(workload, cleanup.n_absent),
            group_workload.synced(reader, members, workload, self._settings),
            tidying,
            cleanup.kept,
        )
        return self._go_on(reader, rest, now)

    # --- what follows from it ------------------------------------------------------------------------------------

    def _go_on(self, reader: Reader, group: Group, now: Instant) -> Result:
        """Start, stop or end the group, as its Workload says."""
        members, workload = group.members, group.workload
        if workload.is_true(WorkloadCondition.FINISHED):
            return Result(tuple(_released(members, workload)))
        if workload.is_deleting:
            stops = pod_commands.stop_all(members, pod_commands.WORKLOAD_DELETED, workloads.DELETED, now)
            return Result((*together(stops), *drop_finalizer(workload)))
        if (message := groups.finish_message(members, group.total)) is not None:
            ended = workloads.finished(workload, Reason.SUCCEEDED, message, now)
            return Result((*workloads.status_write(workload, ended, now), *_released(members, workload)))
        acts, desired, active_us = self._acts(reader, members, workload, now)
        adopted, batch_us = _adopted(group, now, are_started=is_startable(desired, reader))
        writes = (*self._status(group, desired, now), *group.synced, *adopted)
        wake_us = min((us for us in (active_us, batch_us) if us is not None), default=None)
        return Result(together([*in_order(writes), *group.tidying, *acts]), wake_us)

    def _acts(
        self, reader: Reader, members: Sequence[Obj], workload: Workload, now: Instant
    ) -> tuple[Sequence[Command], Workload, int | None]:
        """What is done to pods, the Workload after it, and when to look again."""
        evicted = workload.condition(WorkloadCondition.EVICTED)
        if evicted is not None and evicted.status == "True":
            reason = f"WorkloadEvictedDueTo{evicted.reason}"
            stops = pod_commands.stop_all(members, reason, evicted.message, now)
            until = groups.active_until(members, self._features, now)
            if until is None:
                return stops, workloads.quota_returned(workload, self._settings, now, is_pod_owned=False), None
            is_timed = until != groups.FOR_EVER and workload.is_true(WorkloadCondition.QUOTA_RESERVED)
            return stops, workload, until - now + 1 if is_timed else None
        if not workload.is_true(WorkloadCondition.ADMITTED):
            held = [pod for pod in members if not is_left_over(pod, SETS, reader)]
            stops = pod_commands.stop_all(held, pod_commands.NOT_ADMITTED, workloads.NOT_ADMITTED, now)
            return [*stops, *group_workload.check_events(members, workload)], workload, None
        if not is_startable(workload, reader):
            return [], workload, None
        gated = [pod for pod in members if pods.is_gated(pod) and not objects.is_deleting(pod)]
        if not gated:
            return [], workload, None
        try:
            infos = pod_set_infos(workload, reader, self._features)
            known = _owner_uids(workload)
            starts = [
                _start(pod, workload, info_of(infos, pods.role_of(pod)), is_told=objects.uid(pod) in known)
                for pod in gated
            ]
        except PodSetConflict as conflict:
            return [], workloads.finished(workload, Reason.FAILED_TO_START, str(conflict), now), None
        return starts, workload, None

    def _status(self, group: Group, desired: Workload, now: Instant) -> Sequence[Command]:
        """The one write of the Workload's status that is due first; it wakes this key for the next."""
        members, workload = group.members, group.workload
        if group.waiting is not None and (told := condition_patch(workload, group.waiting, CONDITION_MANAGER, now)):
            return (told,)
        if self._features[Gate.RECLAIMABLE_PODS]:
            counts = groups.reclaimable(members, workload)
            if counts and counts != workload.status.reclaimable_pods:
                return (reclaimable_patch(workload, counts),)
        if not desired.is_true(WorkloadCondition.FINISHED):
            ready = len(group.counted) >= group.total and all(pods.is_ready(pod) for pod in group.counted)
            desired = workloads.with_pods_ready(desired, ready=ready, settings=self._settings, now=now)
        return workloads.status_write(workload, desired, now)

    # --- who is woken --------------------------------------------------------------------------------------------

    def _of_gated_pod(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        return self._keys(_states(event)) if pods.is_gated(event.new) else ()

    def _of_started_pod(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        return () if pods.is_gated(event.new) else self._keys(_states(event))

    def _of_namespace(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """Whoever may be managed now."""
        return self._keys(judged_anew(event, reader, POD))

    def _keys(self, members: Iterable[Obj]) -> Iterable[ObjectKey]:
        keys = [
            ObjectKey(GROUP_PREFIX + objects.namespace(pod), group) if group else objects.key(pod)
            for pod in members
            if self._settings.serves_pod(pod)
            for group in (pod_group_name(pod, self._features),)
        ]
        return dict.fromkeys(keys)

    def _of_workload(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        key = objects.key(event.new)
        keys = [ObjectKey(objects.namespace(event.new), name) for name in pod_owners(event.new, qualified=False)]
        is_group = Annotation.IS_GROUP_WORKLOAD in objects.annotations(event.new)
        if is_group or reader.by_index(POD, BY_GROUP, str(key)):
            keys.append(ObjectKey(GROUP_PREFIX + key.namespace, key.name))
        return keys


def _states(event: ObjectEvent) -> Sequence[Obj]:
    return (event.new, event.old) if event.old is not None else (event.new,)


def _owner_uids(workload: Workload) -> frozenset[str]:
    return frozenset(ref.uid for ref in workload.metadata.owner_references)


def _start(pod: Obj, workload: Workload, info: PodSetInfo, *, is_told: bool) -> Command:
    """The start of a pod; the news of it goes with it only for a pod that is an owner already, else with the ownership."""
    patch = pod_commands.start(pod, info)
    return Chain((patch, pod_commands.started(pod, workload))) if is_told else patch


def _adopted(group: Group, now: Instant, *, are_started: bool) -> tuple[Sequence[Command], int | None]:
    """Owner references for pods that have none yet, together with those that are about to come.

    Each pod becomes an owner once, and by then it was started or is being started, if its group is admitted: so this is where it is
    told that it was, whoever did it.
    """
    known = _owner_uids(group.workload)
    missing = [pod for pod in group.members if objects.uid(pod) not in known and not objects.is_deleting(pod)]
    if not missing:
        return (), None
    waited = now - max(objects.created_at(pod) for pod in missing)
    if len(group.members) < group.total and 0 <= waited < BATCH_US:
        return (), BATCH_US - waited
    news = [pod_commands.started(pod, group.workload) for pod in missing if are_started and not pods.is_terminated(pod)]
    return (Chain((_adopt(group.workload, missing), *news)),), None


def _released(members: Sequence[Obj], workload: Workload) -> Sequence[Command]:
    """The end of a finished group: nothing holds its pods nor its Workload; told when there was something to let go."""
    freed = [command for pod in members for command in pod_commands.finalize(pod)]
    dropped = drop_finalizer(workload)
    if not freed and not dropped:
        return ()
    note = f"Workload '{workload.key}' is declared finished"
    event = Emit(POD, members[0], "Normal", "FinishedWorkload", note, REPORTER)
    return (*together(freed), *dropped, event)


def _adopt(workload: Workload, members: Sequence[Obj]) -> Command:
    refs = [objects.make_owner_reference(POD, pod, controller=False) for pod in members]
    guard: dict[str, Any] = {"op": "test", "path": "/metadata/uid", "value": workload.uid}
    steps: list[dict[str, Any]]
    if workload.metadata.owner_references:
        steps = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": ref} for ref in refs]
    else:
        steps = [{"op": "add", "path": "/metadata/ownerReferences", "value": refs}]
    about = {"metadata": {"name": workload.name, "namespace": workload.key.namespace, "uid": workload.uid}}
    note = f"Added {len(refs)} owner reference(s)"
    event = Emit(WORKLOAD, about, "Normal", "OwnerReferencesAdded", note, REPORTER, is_routine=True)
    return Chain((Patch(WORKLOAD, workload.key, [guard, *steps], PatchType.JSON), event))
