"""WorkloadPriorityClass: a change of its value reaches every Workload that refers to it.

Workloads of one class are equals. So that none of them is preempted by another while only some have the new value, those that hold quota go up
before those that wait, and down after them.

Source: scheduling.md §2 (`spec.priority` is rewritten on all Workloads that reference the class), jobs.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Chain, Patch, Together
from pykueue.api.constants import WorkloadCondition
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
        class_ = reader.get(WORKLOAD_PRIORITY_CLASS, "", key.name)
        if class_ is None or objects.is_deleting(class_):
            return DONE
        value = reader.typed(WorkloadPriorityClass, class_).value
        found = [reader.typed(Workload, obj) for obj in reader.by_index(WORKLOAD, _BY_CLASS, key.name)]
        stale = [workload for workload in found if _is_stale(workload, value)]
        first = tuple(_with_priority(workload, value) for workload in stale if _goes_first(workload, value))
        last = tuple(_with_priority(workload, value) for workload in stale if not _goes_first(workload, value))
        steps = tuple(Together(group) for group in (first, last) if group)
        return Result((Chain(steps),)) if steps else DONE


def _with_priority(workload: Workload, value: int) -> Patch:
    return Patch(WORKLOAD, workload.key, {"spec": {"priority": value}}, missing_ok=True)


def _goes_first(workload: Workload, value: int) -> bool:
    """Whether it holds quota and goes up, or waits and goes down."""
    is_raised = value > (workload.spec.priority or 0)
    return is_raised == workload.is_true(WorkloadCondition.QUOTA_RESERVED)


def _is_stale(workload: Workload, value: int) -> bool:
    return workload.spec.priority != value and not workload.is_true(WorkloadCondition.FINISHED)


def _class_of(obj: Obj) -> Iterable[str]:
    ref = objects.get_path(obj, "spec", "priorityClassRef") or {}
    return (ref.get("name", ""),) if ref.get("group") == KUEUE_GROUP else ()
