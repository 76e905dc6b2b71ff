"""Pending Workloads of one ClusterQueue: the active heap, the parked, and the one in flight.

The three are disjoint. `pop` moves the head into flight, `requeue` decides where it goes after an unsuccessful attempt, `push_or_update` where
a new or changed Workload goes, `wake` moves parked Workloads back. The heap may hold stale entries; an entry counts only if it is
the latest of its Workload, so a change costs the logarithm of the number pending and never a search.

Equivalent Workloads are indexed by their hash: parking one as unschedulable parks all that wait with the same hash.

Not here: who may be queued at all, and when to wake (`core/queue/manager.py`).

Source: scheduling.md §3.1–§3.7.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.queue.ordering import OrderKey, order_key
from pykueue.core.scheduler.assignment import ScanProgress
from pykueue.core.workload.info import UNKNOWN_HASH, Info
from pykueue.core.workload.lifecycle import reactivation_state, waits_for_replacement
from pykueue.core.workload.requeue import is_backoff_over


class RequeueReason(enum.Enum):
    """Why a Workload comes back from a cycle (§3.4)."""

    GENERIC = ""
    FAILED_AFTER_NOMINATION = "FailedAfterNomination"
    PENDING_PREEMPTION = "PendingPreemption"
    PENDING_MIGRATION = "PendingMigration"
    PREEMPTION_FAILED = "PreemptionFailed"
    NO_FIT = "NoFit"
    PREEMPTION_NO_CANDIDATES = "PreemptionNoCandidates"
    PREEMPTION_GATED = "PreemptionGated"
    NAMESPACE_MISMATCH = "NamespaceMismatch"


_RETRIED_AT_ONCE = {
    RequeueReason.FAILED_AFTER_NOMINATION, RequeueReason.PENDING_PREEMPTION, RequeueReason.PENDING_MIGRATION,
    RequeueReason.PREEMPTION_FAILED,
}  # fmt: skip
_STICKY = {RequeueReason.PENDING_PREEMPTION, RequeueReason.PENDING_MIGRATION}
_STALE_MAX = 64
"""Stale heap entries beyond the number of live ones that are put up with."""
_RECORDED = {RequeueReason.NO_FIT, RequeueReason.PREEMPTION_NO_CANDIDATES}


@dataclass(slots=True)
class Pending:
    """A Workload that waits.

    Attributes:
        info: its latest version.
        order: its key in the heap; None while it is not there.
        progress: where the flavor search goes on (§6.3).
        evaluated: the version that was evaluated last; None if none was, then `info` stands for it (§3.5).
        is_bypassed: whether it is parked for the failure of an equivalent one, without having been tried itself.
    """

    info: Info
    order: OrderKey | None = None
    progress: ScanProgress | None = None
    evaluated: Info | None = None
    is_bypassed: bool = False


class PendingQueue:
    """What waits for one ClusterQueue."""

    def __init__(self, *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self.usage_of: Callable[[ObjectKey], float] | None = None
        """Fair-sharing usage of a LocalQueue; None if it does not order this queue."""
        self._items: dict[ObjectKey, Pending] = {}
        self._parked: dict[ObjectKey, None] = {}
        self._heap: list[tuple[OrderKey, ObjectKey]] = []
        self._by_hash: dict[str, dict[ObjectKey, None]] = {}
        self._unschedulable: dict[str, tuple[str, str]] = {}
        self._in_flight: ObjectKey | None = None
        self._sticky: tuple[ObjectKey, int] | None = None
        self._n_active = 0
        self._pops = 0
        self._retried_at = -1

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._items

    @property
    def has_heads(self) -> bool:
        """Whether `pop` would give a Workload."""
        return self._n_active > 0

    @property
    def in_flight(self) -> ObjectKey | None:
        """The Workload of the running cycle."""
        return self._in_flight

    def get(self, key: ObjectKey) -> Pending | None:
        """A waiting Workload."""
        return self._items.get(key)

    def is_parked(self, key: ObjectKey) -> bool:
        """Whether it waits for something to change."""
        return key in self._parked

    def ordered(self) -> list[Pending]:
        """Everything that waits, in queue order (§13.5)."""
        return sorted(self._items.values(), key=lambda item: self._key(item.info))

    def items(self) -> Iterable[Pending]:
        """Everything that waits, in no order that means anything."""
        return self._items.values()

    def parked(self) -> Iterator[Pending]:
        """What waits for something to change."""
        return (self._items[key] for key in self._parked)

    def recorded(self, equivalence: str) -> tuple[str, str] | None:
        """Reason and message recorded with an unschedulable hash."""
        return self._unschedulable.get(equivalence) if equivalence else None

    def pop(self) -> Pending | None:
        """Take the head into flight; None if there is none."""
        self._in_flight = None
        while self._heap:
            order, key = heapq.heappop(self._heap)
            item = self._items.get(key)
            if item is not None and item.order == order:
                self._remove_from_buckets(item)
                self._in_flight = key
                self._pops += 1
                item.evaluated = item.info
                return item
        return None

    def push_or_update(self, info: Info, now: Instant, *, keep_progress: bool) -> None:
        """Take in a new or changed Workload (§3.5)."""
        key = info.key
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Pending(info)
        elif key == self._in_flight:
            item.info = info
            return
        else:
            if not (keep_progress and item.info.equivalence == info.equivalence):
                item.progress = None
            if key in self._parked and _is_same(item.evaluated or item.info, info):
                self._reindex(item, info)
                return
            self._forget_sticky_if_changed(info)
            self._remove_from_buckets(item)
            item.info = info
        item.evaluated = None
        is_bypassed = not self.is_strict and self.recorded(info.equivalence) is not None
        if is_bypassed or not _may_be_tried(info, now):
            self._park(item)
            item.is_bypassed = is_bypassed
        else:
            self._activate(item)

    def delete(self, key: ObjectKey) -> Pending | None:
        """Forget a Workload."""
        item = self._items.pop(key, None)
        if item is None:
            return None
        self._remove_from_buckets(item)
        if self._in_flight == key:
            self._in_flight = None
        if self._sticky is not None and self._sticky[0] == key:
            self._sticky = None
        return item

    def requeue(self, key: ObjectKey, reason: RequeueReason, now: Instant, record: tuple[str, str]) -> list[ObjectKey]:
        """Put the Workload in flight back (§3.4).

        Args:
            key: of the Workload.
            reason: why the attempt was unsuccessful.
            now: Instant (µs).
            record: condition reason and message to tell of equivalent Workloads if it is parked as unschedulable.

        Returns:
            the Workloads that were parked with it.
        """
        item = self._items.get(key)
        if item is None or key in self._parked or item.order is not None:
            return []
        if self._in_flight == key:
            self._in_flight = None
        if reason in _STICKY and not self.is_strict:
            self._make_sticky(item.info)
        has_untried = item.progress is not None and item.progress.has_untried
        at_once = (
            (self.is_strict and reason is not RequeueReason.NAMESPACE_MISMATCH)
            or reason in _RETRIED_AT_ONCE
            or self._retried_at >= self._pops
            or has_untried
            or (item.evaluated is not None and not _is_same(item.evaluated, item.info))
        )
        if at_once and _may_be_tried(item.info, now):
            self._activate(item)
            return []
        self._park(item)
        if self.is_strict or reason not in _RECORDED or item.info.equivalence == UNKNOWN_HASH:
            return []
        self._unschedulable[item.info.equivalence] = record
        return self._park_equivalent(item.info.equivalence)

    def wake(self, now: Instant, may_wake: Callable[[Info], bool]) -> list[ObjectKey]:
        """Retry parked Workloads: those that `may_wake` allows and whose backoff is over (§3.7).

        Returns:
            Workloads that had been parked for an equivalent one.
        """
        self._retried_at = self._pops
        told = [k for h in self._unschedulable for k in self._by_hash.get(h, ()) if self._items[k].is_bypassed]
        self._unschedulable.clear()
        for key in list(self._parked):
            item = self._items[key]
            if _may_be_tried(item.info, now) and may_wake(item.info):
                del self._parked[key]
                self._activate(item)
        return told

    def reorder(self) -> None:
        """Sort the heap anew, after usage of LocalQueues changed."""
        active = [item for item in self._items.values() if item.order is not None]
        self._heap = []
        for item in active:
            item.order = self._key(item.info)
            self._heap.append((item.order, item.info.key))
        heapq.heapify(self._heap)

    def _key(self, info: Info) -> OrderKey:
        is_sticky = self._sticky is not None and self._sticky[0] == info.key
        return order_key(info, is_sticky=is_sticky, usage=self.usage_of(info.local_queue) if self.usage_of else 0.0)

    def _activate(self, item: Pending) -> None:
        self._index(item)
        item.is_bypassed = False
        item.order = self._key(item.info)
        self._n_active += 1
        heapq.heappush(self._heap, (item.order, item.info.key))
        if len(self._heap) > 2 * self._n_active + _STALE_MAX:
            self.reorder()

    def _deactivate(self, item: Pending) -> None:
        item.order = None
        self._n_active -= 1

    def _park(self, item: Pending) -> None:
        self._index(item)
        self._parked[item.info.key] = None

    def _park_equivalent(self, equivalence: str) -> list[ObjectKey]:
        moved = []
        for key in self._by_hash.get(equivalence, ()):
            item = self._items[key]
            if item.order is not None:
                self._deactivate(item)
                self._parked[key] = None
                item.evaluated = None
                item.is_bypassed = True
                moved.append(key)
        return moved

    def _remove_from_buckets(self, item: Pending) -> None:
        if item.order is not None:
            self._deactivate(item)
        self._parked.pop(item.info.key, None)
        same = self._by_hash.get(item.info.equivalence)
        if same is not None:
            same.pop(item.info.key, None)
            if not same:
                del self._by_hash[item.info.equivalence]

    def _index(self, item: Pending) -> None:
        if item.info.equivalence != UNKNOWN_HASH:
            self._by_hash.setdefault(item.info.equivalence, {})[item.info.key] = None

    def _reindex(self, item: Pending, info: Info) -> None:
        self._remove_from_buckets(item)
        item.info = info
        self._park(item)

    def _make_sticky(self, info: Info) -> None:
        before = self._sticky
        self._sticky = (info.key, info.workload.metadata.generation)
        if before is None or before[0] == info.key:
            return
        old = self._items.get(before[0])
        if old is not None and old.order is not None:
            old.order = self._key(old.info)
            heapq.heappush(self._heap, (old.order, old.info.key))

    def _forget_sticky_if_changed(self, info: Info) -> None:
        if (
            self._sticky is not None
            and self._sticky[0] == info.key
            and self._sticky[1] != info.workload.metadata.generation
        ):
            self._sticky = None


def _may_be_tried(info: Info, now: Instant) -> bool:
    """Whether neither backoff nor missing pods keep it from the heap."""
    return is_backoff_over(info.workload, now) and not waits_for_replacement(info.workload)


def _is_same(evaluated: Info, latest: Info) -> bool:
    """Whether nothing changed that would make the scheduler decide otherwise."""
    return evaluated is latest or reactivation_state(evaluated.workload) == reactivation_state(latest.workload)
