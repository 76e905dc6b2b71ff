"""Workloads of sets of gated pods: LeaderWorkerSet, StatefulSet, and whatever declares itself as a `PodSetOwner`.

One Workload per unit is made, kept in line with queue, admission gates and priority class, and removed with its unit. Pod sets are
written once. The pods are somebody else's business: `set_pods.py` marks them, `pods.py` starts and stops them.

Source: leaderworkerset.md A7.1, jobs.md §19.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Emit, Patch
from pykueue.api.constants import Label, Reason, WorkloadCondition
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import NAMESPACE, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.jobs import workloads
from pykueue.controllers.jobs.pod_commands import in_order, together
from pykueue.integrations.ancestors import OwnerNotFound, OwnersChainTooLong, is_managed
from pykueue.integrations.base import AdmissionUnit, PodSetOwner
from pykueue.integrations.members import unit_workload_name
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.priority import PriorityClassMissing, changed_priority, resolve_priority
from pykueue.integrations.settings import JobSettings, judged_anew, queue_name
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch


class SetReconciler:
    """Keeps the Workloads of one kind of set."""

    def __init__(self, integration: PodSetOwner, settings: JobSettings) -> None:
        self._kind = integration.kind
        self._set = integration
        self._settings = settings
        self._reporter = f"{integration.name}-kueue-controller"
        self.name = integration.kind.kind.lower()

    def watches(self) -> Sequence[Watch]:
        """The sets, their Workloads, and the priority classes that may be late."""
        return (
            Watch(self._kind, lambda event, _: (objects.key(event.new),)),
            Watch(WORKLOAD, self._of_workload),
            Watch(NAMESPACE, self._of_namespace),
            Watch(WORKLOAD_PRIORITY_CLASS, _nobody),
        )

    def indexes(self) -> Sequence[Index]:
        """Workloads by the UIDs of their owners."""
        return (Index(WORKLOAD, workloads.BY_OWNER_UID, workloads.owner_uids),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over the Workloads of one set; they do not depend on each other, nor do their writes."""
        obj = reader.get(self._kind, key.namespace, key.name)
        if obj is None or not self._set.is_ours(obj):
            return DONE
        try:
            managed = is_managed(obj, reader, self._settings, tolerate_deleting=False)
        except OwnerNotFound as fault:
            return Result(error=str(fault))
        except OwnersChainTooLong:
            note = "Terminated search for Kueue-managed Job because ancestor depth exceeded limit of 10"
            return Result((Emit(self._kind, obj, "Warning", "JobNestingTooDeep", note, self._reporter),))
        if not managed or not self._settings.selects_namespace(reader, key.namespace):
            return DONE
        return self._reconcile_units(reader, obj, now)

    def _reconcile_units(self, reader: Reader, obj: Obj, now: Instant) -> Result:
        owned = {objects.name(wl): wl for wl in reader.by_index(WORKLOAD, workloads.BY_OWNER_UID, objects.uid(obj))}
        commands: list[Command] = []
        errors: list[str] = []
        wanted: list[str] = []
        for unit in self._set.units(obj, self._settings):
            name = unit_workload_name(self._set, obj, unit, reader)
            wanted.append(name)
            existing = owned.get(name) or reader.get(WORKLOAD, objects.namespace(obj), name)
            try:
                if existing is None:
                    commands.extend(self._create(reader, obj, unit))
                else:
                    # One by one: a missing class does not take back what was found to do before it.
                    for command in self._update(reader, obj, reader.typed(Workload, existing), now):
                        commands.append(command)  # noqa: PERF402
            except PriorityClassMissing as missing:
                event = Emit(self._kind, obj, "Warning", "WorkloadPriorityClassNotFound", str(missing), self._reporter)
                commands.append(event)
                errors.append(str(missing))
        for name, workload in owned.items():
            if name not in wanted:
                commands += in_order(workloads.deleted(reader.typed(Workload, workload)))
        return Result(together(commands), error="; ".join(dict.fromkeys(errors)))

    def _create(self, reader: Reader, obj: Obj, unit: AdmissionUnit) -> Iterable[Command]:
        if Label.MULTIKUEUE_ORIGIN in objects.labels(obj) or objects.is_deleting(obj):
            return ()
        if self._set.on_hold_at_zero and self._set.replicas.of(obj) == 0:
            return ()
        pod_sets = self._set.pod_sets(obj, self._settings.features)
        workload = workloads.make_workload(
            unit.workload,
            obj,
            pod_sets,
            resolve_priority(obj, [p["template"] for p in pod_sets], reader),
            self._settings,
            labels=workloads.job_uid_label(obj),
            annotations=self._set.workload_annotations(obj, unit),
            owners=[objects.make_owner_reference(self._kind, obj, controller=False)],
        )
        return (workloads.created(workload, self._kind, obj, self._reporter),)

    def _update(self, reader: Reader, obj: Obj, workload: Workload, now: Instant) -> Iterable[Command]:
        if workload.is_deleting:
            return
        body: dict[str, Any] = {}
        gates, notes = workloads.gates_change(obj, workload, self._settings.features)
        if workload.spec.queue_name != queue_name(obj):
            body["spec"] = {"queueName": queue_name(obj) or None}
        if gates:
            body["metadata"] = gates
        if self._set.on_hold_at_zero and self._set.replicas.of(obj) and not _is_owner(obj, workload):
            owner = objects.make_owner_reference(self._kind, obj, controller=False)
            body.setdefault("metadata", {})["ownerReferences"] = [*_raw_owners(reader, workload), owner]
        if body:
            yield self._patched(obj, workload, body, notes)
        if self._set.on_hold_at_zero:
            if resized := self._resized(obj, workload):
                yield self._patched(obj, workload, {"spec": {"podSets": resized}}, [])
                return  # Off hold only once it asks for what the set has now: the next pass does that.
            yield from self._hold(obj, workload, now)
        elif priority := changed_priority(obj, workload, reader):
            note = f"Updated workload priority class: {workload.key}"
            yield self._patched(obj, workload, {"spec": priority.to_spec()}, [note])

    def _patched(self, obj: Obj, workload: Workload, body: dict[str, Any], notes: Sequence[str]) -> Command:
        guarded = {**body, "metadata": {"uid": workload.uid, **body.get("metadata", {})}}
        events = [Emit(self._kind, obj, "Normal", "UpdatedWorkload", note, self._reporter) for note in notes]
        return Chain((Patch(WORKLOAD, workload.key, guarded), *events))

    def _resized(self, obj: Obj, workload: Workload) -> Sequence[PodSetWire]:
        """The pod sets of a set that comes back from zero with another size; empty if they are as they should be.

        Kueue leaves them as they were, and the set is stuck: it finishes as out of sync, and the pods stay gated.
        """
        replicas = self._set.replicas.of(obj)
        on_hold = transitions.condition_reason(workload, WorkloadCondition.QUOTA_RESERVED) == Reason.ON_HOLD
        if not on_hold or replicas in (0, sum(pod_set.count for pod_set in workload.spec.pod_sets)):
            return ()
        return self._set.pod_sets(obj, self._settings.features)

    def _hold(self, obj: Obj, workload: Workload, now: Instant) -> Iterable[Command]:
        """A set without pods gives its quota back and waits; with pods again, it queues."""
        if self._set.replicas.of(obj) == 0:
            if not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
                return ()
            message = f"{self._kind.kind} scaled to zero; workload on hold"
            held = transitions.release_quota(workload, Reason.ON_HOLD, message, now)
            return workloads.status_write(workload, held, now)
        if transitions.condition_reason(workload, WorkloadCondition.QUOTA_RESERVED) != Reason.ON_HOLD:
            return ()
        message = "Workload no longer on hold; waiting for quota reservation"
        reason = transitions.pending_evaluation(self._settings.features)
        return workloads.status_write(workload, transitions.release_quota(workload, reason, message, now), now)

    def _of_namespace(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """Whoever may be managed now."""
        return [objects.key(obj) for obj in judged_anew(event, reader, self._kind)]

    def _of_workload(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        for obj in (event.new, event.old if event.change is Change.MODIFIED else None):
            for ref in objects.owner_references(obj) if obj is not None else ():
                if self._kind.is_kind_of(ref):
                    return (ObjectKey(objects.namespace(event.new), ref.name),)
        return ()


def _is_owner(obj: Obj, workload: Workload) -> bool:
    return any(ref.uid == objects.uid(obj) for ref in workload.metadata.owner_references)


def _raw_owners(reader: Reader, workload: Workload) -> Sequence[Any]:
    raw = reader.get(WORKLOAD, workload.key.namespace, workload.key.name) or {}
    return objects.metadata(raw).get("ownerReferences") or ()


def _nobody(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """The kind is only looked up; a retry with backoff finds what came late."""
    del event, reader
    return ()
