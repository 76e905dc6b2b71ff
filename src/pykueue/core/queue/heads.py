"""Pending Workloads of one ClusterQueue: the active, the parked, and the one in flight.

The three are disjoint. `pop` moves the head into flight, `requeue` decides where it goes after an unsuccessful attempt, `push_or_update` where
a new or changed Workload goes, `wake` moves parked Workloads back.

Equivalent Workloads wait in one `Shape` per LocalQueue. The head of the queue is the best of the heads of the shapes that may be tried. When one
fails for lack of quota its hash is recorded, and with that all its shapes are parked; the record's end wakes them. What is parked for
another reason (a backoff, missing pods, the wrong namespace, no hash) is parked by itself. So what an arrival or a completion
costs depends on how many different shapes wait, and not on how many Workloads.

Not here: who may be queued at all, and when to wake (`core/queue/manager.py`).

Source: scheduling.md §3.1–§3.7.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Iterable, Iterator

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.queue.ordering import OrderKey, QueueKey, order_key
from pykueue.core.queue.shapes import STALE_MAX, Pending, Shape
from pykueue.core.workload.info import UNKNOWN_HASH, Info
from pykueue.core.workload.lifecycle import reactivation_state, waits_for_replacement
from pykueue.core.workload.requeue import is_backoff_over

__all__ = ["Pending", "PendingQueue", "RequeueReason"]


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
_RECORDED = {RequeueReason.NO_FIT, RequeueReason.PREEMPTION_NO_CANDIDATES}


class PendingQueue:
    """What waits for one ClusterQueue."""

    def __init__(self, *, is_strict: bool, keeps_preemptors: bool = False) -> None:
        """An empty queue.

        Args:
            is_strict: StrictFIFO; otherwise BestEffortFIFO.
            keeps_preemptors: whether the sticky preemptor comes before everybody, also in a strict queue and whatever its LocalQueue used.
        """
        self._is_strict, self._keeps_preemptors = is_strict, keeps_preemptors
        self._usage_of: Callable[[ObjectKey], float] | None = None
        self._items: dict[ObjectKey, Pending] = {}
        self._shapes: dict[str, dict[ObjectKey, Shape]] = {}
        """By hash, then by LocalQueue; none is empty."""
        self._heads: list[tuple[QueueKey, int, Shape]] = []
        """Heap of shapes; an entry counts only if the shape is listed with this order."""
        self._alone: dict[str, dict[ObjectKey, None]] = {}
        """What is parked by itself, by namespace."""
        self._unschedulable: dict[str, tuple[str, str]] = {}
        self._in_flight: ObjectKey | None = None
        self._sticky: tuple[ObjectKey, int] | None = None
        self._n_active = 0
        self._entries = 0
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

    def head(self) -> Pending | None:
        """What `pop` would give."""
        while self._heads:
            order, _, shape = self._heads[0]
            if shape.listed != order:
                heapq.heappop(self._heads)
                continue
            item = shape.head()
            assert item is not None
            if item.order == order[1]:
                return item
            heapq.heappop(self._heads)
            self._list(shape)
        return None

    def get(self, key: ObjectKey) -> Pending | None:
        """A waiting Workload."""
        return self._items.get(key)

    def is_parked(self, key: ObjectKey) -> bool:
        """Whether it waits for something to change."""
        item = self._items.get(key)
        return item is not None and self._is_parked(item)

    def bypassed(self, key: ObjectKey) -> tuple[str, str] | None:
        """Reason and message recorded with the failure for which it is parked without having been tried; None if it is not."""
        item = self._items.get(key)
        if item is None or not _is_bypassed(item):
            return None
        return self._unschedulable.get(item.info.equivalence)

    def has_parked_in(self, namespace: str) -> bool:
        """Whether Workloads of the namespace are parked."""
        recorded = (self._shapes.get(equivalence, {}) for equivalence in self._unschedulable)
        return namespace in self._alone or any(local.namespace == namespace for shapes in recorded for local in shapes)

    def ordered(self) -> list[Pending]:
        """Everything that waits, in queue order (§13.5)."""
        if self._usage_of is None:
            return sorted(self._items.values(), key=self._order)  # half the time: nothing but orders is compared
        return sorted(self._items.values(), key=self._place)

    def items(self) -> Iterable[Pending]:
        """Everything that waits, in no order that means anything."""
        return self._items.values()

    def parked(self) -> Iterator[Pending]:
        """What waits for something to change."""
        return (item for item in self._items.values() if self._is_parked(item))

    def set_strict(self, is_strict: bool) -> None:
        """Change the strategy. What is parked stays so until it is woken."""
        self._is_strict = is_strict
        if is_strict:
            for shape in self._parked_shapes():
                self._dissolve(shape)
            self._unschedulable.clear()

    def pop(self) -> Pending | None:
        """Take the head into flight; None if there is none."""
        self._in_flight = None
        item = self.head()
        if item is None:
            return None
        self._remove(item)
        self._in_flight = item.info.key
        self._pops += 1
        item.evaluated = item.info
        return item

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
            if self._is_parked(item) and _is_same(self._reference(item), info):
                self._update_parked(item, info, now)
                return
            self._forget_sticky_if_changed(info)
            self._remove(item)
            item.info = info
        item.evaluated = None
        if _may_be_tried(info, now):
            self._join(item)
        else:
            self._park(item)

    def delete(self, key: ObjectKey) -> Pending | None:
        """Forget a Workload."""
        item = self._items.pop(key, None)
        if item is None:
            return None
        self._remove(item)
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
            the Workloads that are parked with it for the first time.
        """
        item = self._items.get(key)
        if item is None or key != self._in_flight:
            return []
        self._in_flight = None
        if reason in _STICKY and (self._keeps_preemptors or not self._is_strict):
            self._make_sticky(item.info)
        has_untried = item.progress is not None and item.progress.has_untried
        at_once = (
            (self._is_strict and reason is not RequeueReason.NAMESPACE_MISMATCH)
            or reason in _RETRIED_AT_ONCE
            or self._retried_at >= self._pops
            or has_untried
            or (item.evaluated is not None and not _is_same(item.evaluated, item.info))
        )
        may_be_tried = _may_be_tried(item.info, now)
        if at_once and may_be_tried:
            self._join(item)
            return []
        equivalence = item.info.equivalence
        if self._is_strict or reason not in _RECORDED or equivalence == UNKNOWN_HASH:
            self._park(item)
            return []
        told = self._record(equivalence, record)
        if may_be_tried:
            shape = self._join(item)
            shape.tried = key
        else:
            self._park(item)
        return told

    def wake(self, now: Instant, may_wake: Callable[[str], bool]) -> None:
        """Retry parked Workloads: those whose namespace `may_wake` allows and whose backoff is over (§3.7)."""
        self._retried_at = self._pops
        alone = [self._items[key] for ns, keys in self._alone.items() if may_wake(ns) for key in keys]
        shapes = self._parked_shapes()
        self._unschedulable.clear()
        for shape in shapes:
            self._n_active += shape.n
            if may_wake(shape.local_queue.namespace):
                shape.tried = None
                self._list(shape)
            else:
                self._dissolve(shape)
        for item in alone:
            if _may_be_tried(item.info, now):
                self._remove(item)
                self._join(item)

    def tell_again(self) -> None:
        """Count every Workload as not told yet that it is parked for another one."""
        for by_local_queue in self._shapes.values():
            for shape in by_local_queue.values():
                shape.untold = {item.info.key: None for item in shape.members()}

    def order_by(self, usage_of: Callable[[ObjectKey], float] | None) -> None:
        """Let the fair-sharing usage of LocalQueues come first in the order; None for not.

        Args:
            usage_of: the usage of a LocalQueue. `reorder` must be called for each LocalQueue whose usage changed.
        """
        if usage_of == self._usage_of:
            return
        self._usage_of = usage_of
        for local_queue in {local: None for by_local_queue in self._shapes.values() for local in by_local_queue}:
            self._relist(local_queue)

    def reorder(self, local_queue: ObjectKey) -> None:
        """The fair-sharing usage of a LocalQueue changed: its Workloads come earlier or later."""
        if self._usage_of is not None:
            self._relist(local_queue)

    def _relist(self, local_queue: ObjectKey) -> None:
        for by_local_queue in self._shapes.values():
            shape = by_local_queue.get(local_queue)
            if shape is None or shape.listed is None:
                continue
            order = shape.listed[1]
            if shape.listed != self._queue_key(local_queue, order):
                self._list(shape)

    def _key(self, info: Info) -> OrderKey:
        return order_key(info, is_sticky=self._sticky is not None and self._sticky[0] == info.key)

    def _order(self, item: Pending) -> OrderKey:
        return item.order or self._key(item.info)

    def _place(self, item: Pending) -> QueueKey:
        return self._queue_key(item.info.local_queue, self._order(item))

    def _queue_key(self, local_queue: ObjectKey, order: OrderKey) -> QueueKey:
        is_kept = self._keeps_preemptors and not order[0]
        return (0.0 if self._usage_of is None or is_kept else self._usage_of(local_queue), order)

    def _is_parked(self, item: Pending) -> bool:
        if item.shape is None:
            return item.info.key != self._in_flight
        return item.shape.equivalence in self._unschedulable

    def _parked_shapes(self) -> list[Shape]:
        return [shape for equivalence in self._unschedulable for shape in self._shapes.get(equivalence, {}).values()]

    def _reference(self, item: Pending) -> Info:
        """The version that a change of a parked Workload is measured against."""
        return item.info if _is_bypassed(item) or item.evaluated is None else item.evaluated

    def _join(self, item: Pending) -> Shape:
        """Let a Workload wait with its like: active, unless their failure is recorded."""
        info = item.info
        by_local_queue = self._shapes.setdefault(info.equivalence, {})
        shape = by_local_queue.get(info.local_queue)
        if shape is None:
            shape = by_local_queue[info.local_queue] = Shape(info.equivalence, info.local_queue)
        order = self._key(info)
        shape.add(item, order)
        if info.equivalence not in self._unschedulable:
            self._n_active += 1
            if shape.listed is None or order < shape.listed[1]:
                self._list(shape)
        else:
            del shape.untold[info.key]
        return shape

    def _park(self, item: Pending) -> None:
        """Park a Workload by itself."""
        self._alone.setdefault(item.info.key.namespace, {})[item.info.key] = None

    def _remove(self, item: Pending) -> None:
        """Take a Workload from where it waits."""
        shape, key = item.shape, item.info.key
        if shape is None:
            alone = self._alone.get(key.namespace)
            if alone is not None:
                alone.pop(key, None)
                if not alone:
                    del self._alone[key.namespace]
            return
        if shape.equivalence not in self._unschedulable:
            self._n_active -= 1
        shape.remove(item)
        if not shape.n:
            shape.listed = None
            by_local_queue = self._shapes[shape.equivalence]
            del by_local_queue[shape.local_queue]
            if not by_local_queue:
                del self._shapes[shape.equivalence]

    def _update_parked(self, item: Pending, info: Info, now: Instant) -> None:
        """Take in a version of a parked Workload that changes nothing for the scheduler."""
        if item.shape is None or (item.info.equivalence == info.equivalence and _may_be_tried(info, now)):
            item.info = info
            if item.shape is not None:
                self._resort(item)
            return
        self._remove(item)
        item.info = info
        self._park(item)

    def _resort(self, item: Pending) -> None:
        order, shape = self._key(item.info), item.shape
        assert shape is not None
        if order != item.order:
            shape.add(item, order)
            if shape.listed is not None and order < shape.listed[1]:
                self._list(shape)

    def _record(self, equivalence: str, record: tuple[str, str]) -> list[ObjectKey]:
        """Park all of one hash."""
        told: list[ObjectKey] = []
        is_new = equivalence not in self._unschedulable
        self._unschedulable[equivalence] = record
        for shape in self._shapes.get(equivalence, {}).values():
            if is_new:
                self._n_active -= shape.n
            shape.listed = None
            told += shape.untold
            shape.untold.clear()
        return told

    def _dissolve(self, shape: Shape) -> None:
        """Park the members of a shape each by itself."""
        for item in shape.members():
            item.evaluated = None if _is_bypassed(item) else item.evaluated
            self._remove(item)
            self._park(item)

    def _list(self, shape: Shape) -> None:
        """Enter a shape into the heap with its present head."""
        head = shape.head()
        assert head is not None
        assert head.order is not None
        shape.listed = self._queue_key(shape.local_queue, head.order)
        self._entries += 1
        heapq.heappush(self._heads, (shape.listed, self._entries, shape))
        if len(self._heads) > 2 * self._n_active + STALE_MAX:
            self._heads = [entry for entry in self._heads if entry[2].listed == entry[0]]
            heapq.heapify(self._heads)

    def _make_sticky(self, info: Info) -> None:
        before = self._sticky
        self._sticky = (info.key, info.workload.metadata.generation)
        if before is None or before[0] == info.key:
            return
        old = self._items.get(before[0])
        if old is not None and old.shape is not None:
            self._resort(old)

    def _forget_sticky_if_changed(self, info: Info) -> None:
        if (
            self._sticky is not None
            and self._sticky[0] == info.key
            and self._sticky[1] != info.workload.metadata.generation
        ):
            self._sticky = None


def _is_bypassed(item: Pending) -> bool:
    """Whether it is parked, if it is, for the failure of another one."""
    return item.shape is not None and item.shape.tried != item.info.key


def _may_be_tried(info: Info, now: Instant) -> bool:
    """Whether neither backoff nor missing pods keep it from the heap."""
    return is_backoff_over(info.workload, now) and not waits_for_replacement(info.workload)


def _is_same(evaluated: Info, latest: Info) -> bool:
    """Whether nothing changed that would make the scheduler decide otherwise."""
    return evaluated is latest or reactivation_state(evaluated.workload) == reactivation_state(latest.workload)
