"""ClusterQueue: finalizer and status.

Everything in the status is a view of the engine; this reconciler only compares it with what is written and patches the
difference. A queue's key is woken when its view changed, at the pace of `controllers/status_pace.py`: a burst of admissions costs one write,
and not one per Workload.

Source: scheduling.md §13, api.md §2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Patch
from pykueue.api.constants import RESOURCE_IN_USE_FINALIZER
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import CLUSTER_QUEUE, Kind
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import ClusterQueue, Condition, FlavorUsage, LocalQueue
from pykueue.controllers.core.in_use import add_finalizer, drop_finalizer
from pykueue.controllers.workload_status import condition_to_wire, set_condition
from pykueue.core.engine import AdmissionEngine
from pykueue.core.views import QueueView
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "clusterqueue"
REPAIR_US = 10 * SECOND_US
"""A status that somebody else wrote is put right after this time; longer than `status_pace.INTERVAL_US`, so that our own writes ask for no more."""


class ClusterQueueReconciler:
    """Keeps a ClusterQueue's finalizer and status."""

    name = NAME

    def __init__(self, engine: AdmissionEngine) -> None:
        self._engine = engine

    def watches(self) -> Sequence[Watch]:
        return queue_watches(CLUSTER_QUEUE)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        obj = reader.get(CLUSTER_QUEUE, "", key.name)
        view = self._engine.cluster_queue_status(key.name)
        if obj is None or view is None:
            return DONE
        held = RESOURCE_IN_USE_FINALIZER in objects.finalizers(obj)
        if objects.is_deleting(obj) and held and view.reserving == 0:
            return Result((drop_finalizer(CLUSTER_QUEUE, obj),))
        if not held and not objects.is_deleting(obj):
            return Result((add_finalizer(CLUSTER_QUEUE, obj),))
        queue = reader.typed(ClusterQueue, obj)
        share = None if view.weighted_share is None else {"weightedShare": view.weighted_share}
        return status_patch(obj, queue_status(queue, view, now) | {"fairSharing": share}, CLUSTER_QUEUE)


def queue_watches(kind: Kind) -> tuple[Watch, ...]:
    """What wakes the reconciler of a kind of queues: itself. Our own status does not, at once: its time is the engine's to tell."""

    def changed(event: ObjectEvent, _: Reader) -> Iterable[ObjectKey]:
        return () if _is_status_alone(event) else (objects.key(event.new),)

    def restated(event: ObjectEvent, _: Reader) -> Iterable[ObjectKey]:
        return (objects.key(event.new),) if _is_status_alone(event) else ()

    return Watch(kind, changed), Watch(kind, restated, REPAIR_US)


def _is_status_alone(event: ObjectEvent) -> bool:
    return (
        event.change is Change.MODIFIED and event.old is not None and _but_status(event.old) == _but_status(event.new)
    )


def _but_status(obj: objects.Obj) -> dict[str, Any]:
    said = {name: value for name, value in obj.items() if name != "status"}
    return said | {"metadata": {**objects.metadata(obj), "resourceVersion": ""}}


def queue_status(queue: ClusterQueue | LocalQueue, view: QueueView, now: Instant) -> dict[str, Any]:
    """What both kinds of queues say of themselves, as it is written."""
    active = Condition(
        type="Active",
        status="True" if view.active else "False",
        reason=view.reason,
        message=view.message,
        observed_generation=queue.metadata.generation,
    )
    return {
        "conditions": [condition_to_wire(c, now) for c in set_condition(queue.status.conditions, active, now)],
        "flavorsReservation": _usage_to_wire(view.flavors_reservation),
        "flavorsUsage": _usage_to_wire(view.flavors_usage),
        "pendingWorkloads": view.pending,
        "reservingWorkloads": view.reserving,
        "admittedWorkloads": view.admitted,
    }


def status_patch(obj: objects.Obj, desired: dict[str, Any], kind: Kind) -> Result:
    """A merge patch of the status fields that differ; nothing if none does. None removes a field."""
    current = obj.get("status") or {}
    changed = {
        k: v for k, v in desired.items() if (current.get(k) or None) != (v or None) or (v == 0 and k not in current)
    }
    if not changed:
        return DONE
    return Result((Patch(kind, objects.key(obj), {"status": changed}, subresource="status", missing_ok=True),))


def _usage_to_wire(usage: Sequence[FlavorUsage]) -> list[dict[str, Any]] | None:
    """Flavor usage as raw objects; None for an empty list, which the API shows as absent."""
    rows: list[dict[str, Any]] = []
    for flavor in usage:
        resources = []
        for resource in flavor.resources:
            row = {"name": resource.name, "total": str(resource.total)}
            if resource.borrowed is not None:
                row["borrowed"] = str(resource.borrowed)
            resources.append(row)
        rows.append({"name": flavor.name, "resources": resources})
    return rows or None
