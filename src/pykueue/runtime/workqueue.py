"""Which key of which reconciler is next. Pure: time is an argument.

The rules: a key that waits is in the queue once. A key is with one worker at a time; what wakes it meanwhile is remembered and
lets it run again afterwards. A key may have a time before which it does not run; the earliest asked for holds. A key that
fails waits 10 ms, then twice as long after each failure, up to 30 s. Reconcilers take turns, so that one with many keys
does not starve the others.

A pass takes all wishes for a later pass with it: the reconciler sees the present state, and asks again if it still wants.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey

BACKOFF_FIRST_US = 10_000
BACKOFF_MAX_US = 30_000_000


@dataclass(slots=True)
class _Lane:
    """Keys of one reconciler.

    Attributes:
        ready: keys that may run now, in order of arrival.
        due: keys that wait for a time. The heap may hold older wishes for the same key; this map tells which one counts.
        active: keys that run.
        woken: keys that run and are wanted again, with their time.
        failures: failures in a row.
    """

    ready: dict[ObjectKey, None] = field(default_factory=dict)
    due: dict[ObjectKey, Instant] = field(default_factory=dict)
    heap: list[tuple[Instant, int, ObjectKey]] = field(default_factory=list)
    active: dict[ObjectKey, None] = field(default_factory=dict)
    woken: dict[ObjectKey, Instant] = field(default_factory=dict)
    failures: dict[ObjectKey, int] = field(default_factory=dict)


class WorkQueue:
    """Keys of all reconcilers."""

    def __init__(self, reconcilers: Iterable[str]) -> None:
        """An empty queue for reconcilers of these names."""
        self._lanes = {name: _Lane() for name in reconcilers}
        self._turn: list[str] = list(self._lanes)
        self._order = itertools.count()

    def add(self, reconciler: str, key: ObjectKey, now: Instant, delay_us: int = 0) -> None:
        """Want a key to be reconciled, after a delay if one is given."""
        lane = self._lanes[reconciler]
        due = Instant(now + delay_us)
        if key in lane.active:
            lane.woken[key] = min(due, lane.woken.get(key, due))
        elif key not in lane.ready:
            if delay_us <= 0:
                lane.due.pop(key, None)
                lane.ready[key] = None
            elif key not in lane.due or due < lane.due[key]:
                lane.due[key] = due
                heapq.heappush(lane.heap, (due, next(self._order), key))
                _thin_out(lane)

    def pop(self, now: Instant) -> tuple[str, ObjectKey] | None:
        """The next reconciler and key that may run; `done` must follow. None if there is none."""
        for index, reconciler in enumerate(self._turn):
            lane = self._lanes[reconciler]
            _ripen(lane, now)
            if lane.ready:
                key = next(iter(lane.ready))
                del lane.ready[key]
                lane.active[key] = None
                self._turn.append(self._turn.pop(index))
                return reconciler, key
        return None

    def done(
        self, reconciler: str, key: ObjectKey, now: Instant, *, failed: bool, requeue_after_us: int | None = None
    ) -> int:
        """A key's pass has ended.

        Args:
            reconciler: whose.
            key: which.
            now: the time.
            failed: the key is retried with backoff.
            requeue_after_us: the key is wanted again after this time; ignored if it failed.

        Returns:
            Failures in a row, 0 if it did not fail.
        """
        lane = self._lanes[reconciler]
        lane.active.pop(key, None)
        woken = lane.woken.pop(key, None)
        failures = lane.failures.pop(key, 0)
        if failed:
            lane.failures[key] = failures + 1
            # A key that fails waits, whatever woke it: else a hot object turns the backoff off.
            self.add(reconciler, key, now, min(BACKOFF_FIRST_US << min(failures, 20), BACKOFF_MAX_US))
            return failures + 1
        if woken is not None:
            self.add(reconciler, key, now, max(0, woken - now))
        if requeue_after_us is not None:
            self.add(reconciler, key, now, max(1, requeue_after_us))
        return 0

    def next_due(self, now: Instant) -> Instant | None:
        """When `pop` has something next: `now` if at once, None if nothing waits."""
        earliest: Instant | None = None
        for lane in self._lanes.values():
            _ripen(lane, now)
            if lane.ready:
                return now
            if lane.heap and (earliest is None or lane.heap[0][0] < earliest):
                earliest = lane.heap[0][0]
        return earliest

    def depth(self, reconciler: str) -> int:
        """How many keys may run now or run."""
        lane = self._lanes[reconciler]
        return len(lane.ready) + len(lane.active)


def _thin_out(lane: _Lane) -> None:
    """Drop the wishes that no longer count once they are most of the heap: one for a time far ahead would stay until then."""
    if len(lane.heap) > 2 * len(lane.due) + 64:
        lane.heap[:] = [item for item in lane.heap if lane.due.get(item[2]) == item[0]]
        heapq.heapify(lane.heap)


def _ripen(lane: _Lane, now: Instant) -> None:
    """Move keys whose time has come to `ready`, and drop wishes that no longer count."""
    while lane.heap:
        due, _, key = lane.heap[0]
        if lane.due.get(key) != due:
            heapq.heappop(lane.heap)
        elif due <= now:
            heapq.heappop(lane.heap)
            del lane.due[key]
            lane.ready[key] = None
        else:
            return
