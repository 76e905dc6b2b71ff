"""All queues of pending Workloads: who waits where, and what wakes whom.

A Workload waits in the `PendingQueue` of the ClusterQueue that its LocalQueue names. One whose queues are not there, or whose
LocalQueue is stopped, waits nowhere; it is queued when they appear. Retries of parked Workloads are collected for a second and then done for
whole cohort trees.

Not here: what holds quota (`core/cache`), the decision to admit.

Source: scheduling.md §3.
"""

from __future__ import annotations

import functools
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
        self._retries: dict[str, None] = {}
        self._retry_at: Instant | None = None
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
            keeps_preemptors = self._features[Gate.PYKUEUE_SAFE_PREEMPTION]
            self._queues[name] = PendingQueue(is_strict=is_strict, keeps_preemptors=keeps_preemptors)
        else:
            queue.set_strict(is_strict)

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
        """Retry the parked Workloads of some ClusterQueues, and of all in their trees, with the next batch (§3.7)."""
        self._retries.update(dict.fromkeys(cluster_queues))
        if self._retry_at is None and self._retries:
            self._retry_at = Instant(now + RETRY_BATCH_US)

    def do_retries(
        self, now: Instant, members: Callable[[str], Iterable[str]], may_wake: Callable[[str, str], bool]
    ) -> list[str]:
        """Do the retries that are due.

        Args:
            now: Instant (µs).
            members: the ClusterQueues of a ClusterQueue's tree.
            may_wake: whether Workloads of a namespace may wait for a ClusterQueue.

        Returns:
            the ClusterQueues that were woken.
        """
        if self._retry_at is None or self._retry_at > now:
            return []
        names: dict[str, None] = {}
        for name in self._retries:
            if name not in names:
                names.update(dict.fromkeys(members(name)))
        self._retries.clear()
        self._retry_at = None
        woken = sorted(name for name in names if name in self._queues)
        for name in woken:
            self._queues[name].wake(now, functools.partial(may_wake, name))
        return woken

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
        if not self._timers:
            return self._retry_at
        timer = self._timers[0][0]
        return timer if self._retry_at is None else min(timer, self._retry_at)

    def _leave(self, key: ObjectKey) -> None:
        _, local = self._home.pop(key)
        keys = self._by_local[local]
        del keys[key]
        if not keys:
            del self._by_local[local]
