"""WorkloadPriorityClass: a change of its value reaches every Workload that refers to it.

Source: scheduling.md §2 (`spec.priority` is rewritten on all Workloads that reference the class), jobs.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Patch, Together
from pykueue.api.instant import Instant
from pykueue.api.kinds import KUEUE_GROUP, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Workload, WorkloadPriorityClass
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

_BY_CLASS = "priorityClass"


class PriorityClassReconciler:
    """Propagates the value of a WorkloadPriorityClass."""

    name = "workloadpriorityclass"

    def watches(self) -> Sequence[Watch]:
        return (Watch(WORKLOAD_PRIORITY_CLASS, lambda event, _: (objects.key(event.new),)),)

    def indexes(self) -> Sequence[Index]:
        return (Index(WORKLOAD, _BY_CLASS, _class_of),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        del now
        found = reader.get(WORKLOAD_PRIORITY_CLASS, "", key.name)
        if found is None or objects.is_deleting(found):
            return DONE
        value = reader.typed(WorkloadPriorityClass, found).value
        stale = [
            Patch(WORKLOAD, objects.key(obj), {"spec": {"priority": value}}, missing_ok=True)
            for obj in reader.by_index(WORKLOAD, _BY_CLASS, key.name)
            if _is_stale(reader.typed(Workload, obj), value)
        ]
        return Result((Together(tuple(stale)),)) if stale else DONE


def _is_stale(workload: Workload, value: int) -> bool:
    return workload.spec.priority != value and not workload.is_true("Finished")


def _class_of(obj: Obj) -> Iterable[str]:
    ref = objects.get_path(obj, "spec", "priorityClassRef") or {}
    return (ref.get("name", ""),) if ref.get("group") == KUEUE_GROUP else ()
