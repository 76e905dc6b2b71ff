"""Pods of sets: marked as members of their unit's group, and let go where nobody will admit them.

A pod that came gated by the admission webhook knows its set. Here it learns its group and role; if its Workload is admitted by now, the same
patch starts it. A pod whose Workload was admitted before it was made is not seen here at all: the webhook did the same (`integrations/members.py`).
That a pod was started is told once it is an owner of its Workload (`pods.py`).

Source: leaderworkerset.md A7.2, jobs.md §19.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Command
from pykueue.api.constants import Label
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import POD, RESOURCE_FLAVOR, STATEFUL_SET
from pykueue.api.objects import Obj, ObjectKey
from pykueue.controllers.jobs import pod_commands
from pykueue.integrations import pod as pods
from pykueue.integrations.base import PodSetOwner
from pykueue.integrations.members import admission_of, group_index, is_let_go, membership, stateful_set_of
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

ORPHAN_AGE_US = 5 * SECOND_US
"""A pod whose set is not known is only taken for an orphan when it is this old: watches of different kinds are not in step."""


class SetPodReconciler:
    """Marks, starts or lets go the pods of one kind of set."""

    def __init__(self, integration: PodSetOwner, settings: JobSettings) -> None:
        self._set = integration
        self._settings = settings
        self._by_set = f"set:{integration.name}"
        self.name = f"{integration.kind.kind.lower()}_pod"

    def watches(self) -> Sequence[Watch]:
        """Pods with the set's mark; their sets and StatefulSets, where those concern pods."""
        return (
            Watch(POD, self._of_pod),
            Watch(self._set.kind, self._of_set),
            Watch(STATEFUL_SET, self._of_stateful_set),
            Watch(RESOURCE_FLAVOR, lambda _event, _reader: ()),
        )

    def indexes(self) -> Sequence[Index]:
        """Pods by their set, pods by their group."""
        return (Index(POD, self._by_set, self._set_values), group_index(self._settings.features))

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over one pod."""
        pod = reader.get(POD, key.namespace, key.name)
        if pod is None:
            return DONE
        set_name = self._set.set_of_pod(pod)
        if not set_name:
            return DONE
        obj = reader.get(self._set.kind, key.namespace, set_name)
        if obj is None or is_let_go(pod, reader):
            return self._ungated(pod, obj, reader, now)
        if not self._set.is_ours(obj) or pods.is_terminated(pod) or objects.is_deleting(pod):
            return DONE
        try:
            return Result(tuple(self._marked(reader, obj, pod)))
        except (FlavorMissing, PodSetConflict) as fault:
            return Result(error=str(fault))

    def _ungated(self, pod: Obj, obj: Obj | None, reader: Reader, now: Instant) -> Result:
        commands = pod_commands.ungate(pod)
        if not commands:
            return DONE
        age = now - objects.created_at(pod)
        if age < ORPHAN_AGE_US and (obj is None or stateful_set_of(pod, reader) is None):
            return Result(requeue_after_us=ORPHAN_AGE_US - age)
        return Result(commands)

    def _marked(self, reader: Reader, obj: Obj, pod: Obj) -> Iterable[Command]:
        queue = queue_name(obj)
        is_gated = pods.is_gated(pod)
        present = objects.labels(pod)
        if Label.MANAGED in present:
            if queue and is_gated and present.get(Label.QUEUE_NAME) != queue:
                yield pod_commands.patch(pod, {"metadata": {"labels": {Label.QUEUE_NAME.value: queue}}})
            return
        unit = self._set.unit_of_pod(obj, pod, self._settings)
        if unit is None:
            return
        member = membership(self._set, obj, pod, unit, reader, self._settings)
        # A queue name may only change while the pod is gated: then it is started by the next patch.
        keeps_queue = member.labels.get(Label.QUEUE_NAME) in (None, present.get(Label.QUEUE_NAME))
        info = admission_of(pod, member, reader, self._settings) if is_gated and keeps_queue else None
        if info is not None:
            yield pod_commands.start(pod, info, member)
        else:
            yield pod_commands.patch(pod, {"metadata": {"labels": member.labels, "annotations": member.annotations}})

    def _of_pod(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        if event.change is Change.DELETED or not self._set.set_of_pod(event.new):
            return ()
        return (objects.key(event.new),)

    def _of_set(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        if event.old is not None and event.change is Change.MODIFIED and queue_name(event.old) == queue_name(event.new):
            return ()
        found = reader.by_index(POD, self._by_set, str(objects.key(event.new)))
        return [objects.key(pod) for pod in found]

    def _of_stateful_set(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        namespace = objects.namespace(event.new)
        set_name = objects.labels(event.new).get(self._set.hold.set_label) or objects.name(event.new)
        if event.change is Change.MODIFIED and event.old is not None and _revisions(event.old) == _revisions(event.new):
            return ()
        return [objects.key(pod) for pod in reader.by_index(POD, self._by_set, f"{namespace}/{set_name}")]

    def _set_values(self, pod: Obj) -> Iterable[str]:
        name = self._set.set_of_pod(pod)
        return (f"{objects.namespace(pod)}/{name}",) if name else ()


def _revisions(stateful_set: Obj) -> tuple[object, object]:
    status = stateful_set.get("status") or {}
    return status.get("currentRevision"), status.get("updateRevision")
