"""LocalQueue: status, as the engine sees the queue.

Source: scheduling.md §13.2, §13.3, api.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.api import objects
from pykueue.api.instant import Instant
from pykueue.api.kinds import LOCAL_QUEUE
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Condition, LocalQueue
from pykueue.controllers.core.clusterqueue import status_patch, usage_to_wire
from pykueue.controllers.workload_status import condition_to_wire, set_condition
from pykueue.core.engine import AdmissionEngine
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "localqueue"


class LocalQueueReconciler:
    """Keeps a LocalQueue's status."""

    name = NAME

    def __init__(self, engine: AdmissionEngine) -> None:
        self._engine = engine

    def watches(self) -> Sequence[Watch]:
        return (Watch(LOCAL_QUEUE, lambda event, _: (objects.key(event.new),)),)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        obj = reader.get(LOCAL_QUEUE, key.namespace, key.name)
        view = self._engine.local_queue_status(key)
        if obj is None or view is None:
            return DONE
        queue = reader.typed(LocalQueue, obj)
        active = Condition(
            type="Active",
            status="True" if view.active else "False",
            reason=view.reason,
            message=view.message,
            observed_generation=queue.metadata.generation,
        )
        conditions = set_condition(queue.status.conditions, active, now)
        desired = {
            "conditions": [condition_to_wire(c, now) for c in conditions],
            "flavorsReservation": usage_to_wire(view.flavors_reservation),
            "flavorsUsage": usage_to_wire(view.flavors_usage),
            "pendingWorkloads": view.pending,
            "reservingWorkloads": view.reserving,
            "admittedWorkloads": view.admitted,
        }
        return status_patch(obj, desired, LOCAL_QUEUE)
