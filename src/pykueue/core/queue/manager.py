"""All queues of pending Workloads: who waits where, and what wakes whom.

A Workload waits in the `PendingQueue` of the ClusterQueue that its LocalQueue names. One whose queues are not there, or whose
LocalQueue is stopped, waits nowhere; it is queued when they appear. Retries of parked Workloads are collected for a second and then done for
whole cohort trees.

Not here: what holds quota (`core/cache`), the decision to admit.

Source: scheduling.md §3.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import LocalQueue
from pykueue.core.features import Features, Gate
from pykueue.core.queue.heads import Pending, PendingQueue
from pykueue.core.workload.info import Info
from pykueue.core.workload.requeue import backoff_until

RETRY_BATCH_US = SECOND_US
"""Retries asked for within this time are done together."""


class QueueManager:
    """The queues."""

    def __init__(self, features: Features) -> None:
        self.local_queues: dict[ObjectKey, LocalQueue] = {}
        self._features = features
        self._queues: dict[str, PendingQueue] = {}
        self._home: dict[ObjectKey, tuple[str, ObjectKey]] = {}
        self._by_local: dict[ObjectKey, dict[ObjectKey, None]] = {}
        self._retries: dict[str, Instant] = {}
        self._timers: list[tuple[Instant, ObjectKey]] = []

    def queue(self, name: str) -> PendingQueue | None:
        """The queue of a ClusterQueue."""
        return self._queues.get(name)

    def named(self) -> Iterable[tuple[str, PendingQueue]]:
        """All queues by name of the ClusterQueue."""
        return self._queues.items()

    def set_cluster_queue(self, name: str, *, is_strict: bool) -> None:
        """Make a queue, or change its strategy."""
        queue = self._queues.get(name)
        if queue is None:
            self._queues[name] = PendingQueue(is_strict=is_strict)
        else:
            queue.is_strict = is_strict

    def delete_cluster_queue(self, name: str) -> None:
        """Remove a queue with all that waits in it."""
        queue = self._queues.pop(name, None)
        if queue is not None:
            for item in queue.ordered():
                self._leave(item.info.key)
        self._retries.pop(name, None)

    def is_open(self, local_queue: ObjectKey) -> bool:
        """Whether the LocalQueue takes Workloads."""
        found = self.local_queues.get(local_queue)
        return found is not None and found.spec.stop_policy == "None"

    def put(self, info: Info, now: Instant) -> None:
        """Queue a Workload, or take in its new version."""
        home = self._home.get(info.key)
        if home is not None and home != (info.cluster_queue, info.local_queue):
            self.delete(info.key)
            home = None
        queue = self._queues[info.cluster_queue]
        if home is None:
            self._home[info.key] = (info.cluster_queue, info.local_queue)
            self._by_local.setdefault(info.local_queue, {})[info.key] = None
        queue.push_or_update(info, now, keep_progress=self._features[Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS])
        until = backoff_until(info.workload)
        if until is not None and until > now:
            heapq.heappush(self._timers, (until, info.key))

    def delete(self, key: ObjectKey) -> Pending | None:
        """Take a Workload out of its queue."""
        home = self._home.get(key)
        if home is None:
            return None
        self._leave(key)
        queue = self._queues.get(home[0])
        return queue.delete(key) if queue is not None else None

    def find(self, key: ObjectKey) -> Pending | None:
        """A waiting Workload."""
        home = self._home.get(key)
        return self._queues[home[0]].get(key) if home is not None else None

    def home(self, key: ObjectKey) -> str | None:
        """The ClusterQueue a Workload waits for."""
        home = self._home.get(key)
        return home[0] if home is not None else None

    def pending_in(self, local_queue: ObjectKey) -> int:
        """Workloads waiting in a LocalQueue, without one in flight (§3.1)."""
        keys = self._by_local.get(local_queue)
        if not keys:
            return 0
        first = next(iter(keys))
        flying = self._queues[self._home[first][0]].in_flight
        return len(keys) - (flying in keys if flying is not None else 0)

    def waiting_in(self, local_queue: ObjectKey) -> list[ObjectKey]:
        """Keys of the Workloads waiting in a LocalQueue."""
        return list(self._by_local.get(local_queue, ()))

    def ask_retry(self, cluster_queues: Iterable[str], now: Instant) -> None:
        """Retry the parked Workloads of some ClusterQueues with the next batch (§3.7)."""
        due = min(self._retries.values(), default=Instant(now + RETRY_BATCH_US))
        for name in cluster_queues:
            if name in self._queues:
                self._retries.setdefault(name, due)

    def do_retries(self, now: Instant, may_wake: Callable[[str, Info], bool]) -> tuple[list[str], list[ObjectKey]]:
        """Do the retries that are due.

        Returns:
            the ClusterQueues that were woken, and the Workloads that had been parked for an equivalent one.
        """
        due = sorted(name for name, at in self._retries.items() if at <= now)
        told: list[ObjectKey] = []
        for name in due:
            del self._retries[name]
            told += self._queues[name].wake(now, lambda info, name=name: may_wake(name, info))  # type: ignore[misc]
        return due, told

    def due_timers(self, now: Instant) -> list[ObjectKey]:
        """Workloads whose backoff has just ended."""
        due = []
        while self._timers and self._timers[0][0] <= now:
            key = heapq.heappop(self._timers)[1]
            if key in self._home:
                due.append(key)
        return due

    def wake_at(self) -> Instant | None:
        """When the next batch or timer is due."""
        times = list(self._retries.values())
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)

    def _leave(self, key: ObjectKey) -> None:
        _, local = self._home.pop(key)
        keys = self._by_local[local]
        del keys[key]
        if not keys:
            del self._by_local[local]
