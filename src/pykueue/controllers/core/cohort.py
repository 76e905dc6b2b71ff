"""Cohort: the weighted share in its status, when fair sharing is on.

Source: scheduling.md §9.1, §13.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.api.instant import Instant
from pykueue.api.kinds import COHORT
from pykueue.api.objects import ObjectKey
from pykueue.controllers.core.clusterqueue import queue_watches, status_patch
from pykueue.core.engine import AdmissionEngine
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "cohort"


class CohortReconciler:
    """Keeps a Cohort's status."""

    name = NAME

    def __init__(self, engine: AdmissionEngine) -> None:
        self._engine = engine

    def watches(self) -> Sequence[Watch]:
        return queue_watches(COHORT)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        del now
        obj = reader.get(COHORT, "", key.name)
        view = self._engine.cohort_status(key.name)
        if obj is None or view is None:
            return DONE
        share = None if view.weighted_share is None else {"weightedShare": view.weighted_share}
        return status_patch(obj, {"fairSharing": share}, COHORT)
