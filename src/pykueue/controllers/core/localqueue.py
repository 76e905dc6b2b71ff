"""LocalQueue: status, as the engine sees the queue, and the sampling of its usage for admission fair sharing.

The usage is sampled by time, and kept in the status for whoever leads next. Nothing is written for a sampling that changed no amount: as long as
the amounts, and with them what runs, stay the same, the older time says the same about them. Any other write takes the time along.

Source: scheduling.md §11, §13.2, §13.3, api.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pykueue.api.instant import Instant
from pykueue.api.kinds import LOCAL_QUEUE
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import AdmissionFairSharingStatus, FairSharingStatus, LocalQueue
from pykueue.controllers.core.clusterqueue import queue_status, queue_watches, status_patch
from pykueue.core.engine import AdmissionEngine
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "localqueue"


class LocalQueueReconciler:
    """Keeps a LocalQueue's status, and its usage up to date."""

    name = NAME

    def __init__(self, engine: AdmissionEngine) -> None:
        self._engine = engine

    def watches(self) -> Sequence[Watch]:
        return queue_watches(LOCAL_QUEUE)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        obj = reader.get(LOCAL_QUEUE, key.namespace, key.name)
        next_sampling = self._engine.sample_local_queue(key, now)
        view = self._engine.local_queue_status(key)
        if obj is None or view is None:
            return DONE
        queue = reader.typed(LocalQueue, obj)
        desired = queue_status(queue, view, now)
        result = status_patch(obj, desired, LOCAL_QUEUE)
        used = view.admission_fair_sharing
        if used is not None and (result.commands or not _tells(queue.status.fair_sharing, used)):
            desired["fairSharing"] = _fair_sharing(queue.status.fair_sharing, used)
            result = status_patch(obj, desired, LOCAL_QUEUE)
        return result if next_sampling is None else replace(result, requeue_after_us=max(0, next_sampling - now))


def _tells(written: FairSharingStatus | None, used: AdmissionFairSharingStatus) -> bool:
    """Whether the amounts are written already, whatever their time."""
    status = _usage_in(written)
    return status is not None and status.consumed_resources == used.consumed_resources


def _fair_sharing(written: FairSharingStatus | None, used: AdmissionFairSharingStatus) -> dict[str, Any]:
    """The usage as a merge patch: resources that are not used any more are taken away."""
    before = _usage_in(written)
    gone: dict[str, Any] = dict.fromkeys(before.consumed_resources) if before is not None else {}
    consumed = {**gone, **used.consumed_resources}
    # `weightedShare` is required; LocalQueues have none.
    return {
        "weightedShare": 0,
        "admissionFairSharingStatus": {"consumedResources": consumed, "lastUpdate": used.last_update},
    }


def _usage_in(status: FairSharingStatus | None) -> AdmissionFairSharingStatus | None:
    return status.admission_fair_sharing_status if status is not None else None
