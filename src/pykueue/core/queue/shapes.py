"""Waiting Workloads of one shape: equal to the scheduler, so they are parked and woken as one.

A `Shape` holds the Workloads of one LocalQueue with one equivalence hash in a heap of their own. Whether it is parked is not written on the
Workloads: `heads.py` looks its hash up among the recorded failures. So parking a thousand Workloads, or waking them, is one step. So is a
change of their LocalQueue's fair-sharing usage: it moves the shape, not the members.

The heap may hold stale entries; an entry counts only if it is the latest of its Workload in this shape, so a change costs the logarithm of
the number of members and never a search.

Source: scheduling.md §3.6.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pykueue.api.objects import ObjectKey
from pykueue.core.queue.ordering import OrderKey, QueueKey
from pykueue.core.scheduler.assignment import ScanProgress
from pykueue.core.workload.info import Info

STALE_MAX = 64
"""Stale heap entries beyond the number of live ones that are put up with."""


@dataclass(slots=True, eq=False)
class Pending:
    """A Workload that waits.

    Attributes:
        info: its latest version.
        order: its key in the heap of its shape; None while it is not there.
        entry: number of its entry in that heap.
        shape: the shape that it is a member of; None while it is parked by itself or in flight.
        progress: where the flavor search goes on (§6.3).
        evaluated: the version that was evaluated last; None if none was, then `info` stands for it (§3.5).
    """

    info: Info
    order: OrderKey | None = None
    entry: int = 0
    shape: Shape | None = None
    progress: ScanProgress | None = None
    evaluated: Info | None = None


@dataclass(slots=True, eq=False)
class Shape:
    """Members are the `Pending`s whose `shape` it is.

    Attributes:
        equivalence: their hash.
        local_queue: theirs.
        n: how many there are.
        listed: the order under which the shape stands in the queue's heap of shapes; None if it does not.
        tried: the member whose failure was recorded; all others are parked for it.
        untold: members that joined since the shape was last parked.
    """

    equivalence: str
    local_queue: ObjectKey
    n: int = 0
    listed: QueueKey | None = None
    tried: ObjectKey | None = None
    untold: dict[ObjectKey, None] = field(default_factory=dict)
    _heap: list[tuple[OrderKey, int, Pending]] = field(default_factory=list)
    _entries: int = 0

    def add(self, item: Pending, order: OrderKey) -> None:
        """Take in a Workload, or one with a new order."""
        if item.shape is None:
            self.n += 1
            self.untold[item.info.key] = None
        self._entries += 1
        item.shape, item.order, item.entry = self, order, self._entries
        heapq.heappush(self._heap, (order, item.entry, item))
        if len(self._heap) > 2 * self.n + STALE_MAX:
            self._heap = [(order, entry, each) for order, entry, each in self._heap if self._is_live(entry, each)]
            heapq.heapify(self._heap)

    def remove(self, item: Pending) -> None:
        """Let a member go."""
        item.shape = item.order = None
        self.n -= 1
        self.untold.pop(item.info.key, None)
        if self.tried == item.info.key:
            self.tried = None

    def head(self) -> Pending | None:
        """The first member; None without any."""
        while self._heap:
            _, entry, item = self._heap[0]
            if self._is_live(entry, item):
                return item
            heapq.heappop(self._heap)
        return None

    def members(self) -> list[Pending]:
        """All members, in no order that means anything."""
        return [item for _, entry, item in self._heap if self._is_live(entry, item)]

    def _is_live(self, entry: int, item: Pending) -> bool:
        return item.shape is self and item.entry == entry
