"""Admission fair sharing at work: what happens to Workloads and LocalQueues, as entries in the book of usage.

Whatever changes a LocalQueue's usage goes through here, so the queue that is ordered by it is sorted anew at once and its head is judged. Where
the configuration does not ask for admission fair sharing, or the ClusterQueue does not, nothing is charged and nothing ordered.

Neighbours: `queue/afs.py` (the arithmetic), `queue/heads.py` (the order), `engine.py` (calls this at every event).

Source: scheduling.md §3.2, §8.2, §11.
"""

from __future__ import annotations

from collections.abc import Callable

from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import AdmissionFairSharingStatus, LocalQueue, Workload
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState, weight_of
from pykueue.core.features import Features, Gate
from pykueue.core.queue.afs import UsageBook
from pykueue.core.queue.manager import QueueManager
from pykueue.core.readiness import Readiness
from pykueue.core.resources import nanos_of
from pykueue.core.workload.info import Info
from pykueue.core.workload.lifecycle import has_quota, is_finished

USAGE_BASED = "UsageBasedAdmissionFairSharing"


class FairUsage:
    """Usage of the LocalQueues whose ClusterQueues are ordered by it."""

    def __init__(
        self, config: Configuration, features: Features, cache: Cache, queues: QueueManager, ready: Readiness
    ) -> None:
        wanted = config.admission_fair_sharing if features[Gate.ADMISSION_FAIR_SHARING] else None
        self._book = UsageBook(wanted) if wanted is not None else None
        self._cache, self._queues, self._ready = cache, queues, ready

    def order_of(self, queue: ClusterQueueState | None) -> Callable[[ObjectKey], float] | None:
        """The usage of LocalQueues, where it orders the Workloads of a ClusterQueue; else None."""
        scope = queue.spec.spec.admission_scope if queue is not None else None
        if self._book is None or scope is None or scope.admission_mode != USAGE_BASED:
            return None
        return self._book.usage

    def status(self, local_queue: ObjectKey, queue: ClusterQueueState | None) -> AdmissionFairSharingStatus | None:
        """What a LocalQueue used, for its status; None if that orders nothing, or was not sampled yet."""
        if self._book is None or self.order_of(queue) is None:
            return None
        return self._book.status(local_queue)

    def set_local_queue(self, key: ObjectKey, local_queue: LocalQueue | None) -> None:
        """Take in the latest version of a LocalQueue; None if it is gone."""
        if self._book is None:
            return
        if local_queue is None:
            self._book.close(key)
        else:
            self._book.open(key, weight_of(local_queue.spec.fair_sharing), local_queue.status.fair_sharing)
            self._reorder(key)

    def sample(self, local_queue: ObjectKey, now: Instant) -> Instant | None:
        """Let time pass for a LocalQueue, if a sampling is due.

        Returns:
            when the next one is; None if its usage orders nothing now.
        """
        spec = self._queues.local_queues.get(local_queue)
        queue = self._cache.queue(spec.spec.cluster_queue) if spec is not None else None
        if self._book is None or queue is None or not queue.is_active or self.order_of(queue) is None:
            return None
        if self._book.next_sampling(local_queue, now) <= now:
            self._book.sample(local_queue, self._running(local_queue), now)
            self._reorder(local_queue)
        return self._book.next_sampling(local_queue, now)

    def charge(self, info: Info, *, ignores_undeclared: bool) -> None:
        """Charge the entry penalty of a first reservation, so that its LocalQueue's next Workload waits its turn.

        Args:
            info: the Workload as it waited.
            ignores_undeclared: only resources that the ClusterQueue covers count.
        """
        if self._book is None:
            return
        queue = self._cache.queue(info.cluster_queue)
        if queue is None or self.order_of(queue) is None:
            return
        requests: dict[str, int] = {}
        for pod_set in info.pod_sets:
            for name, amount in pod_set.requests.items():
                if name in queue.group_of or not ignores_undeclared:
                    requests[name] = requests.get(name, 0) + nanos_of(name, amount)
        self._book.charge(info.key, info.local_queue, requests)
        self._reorder(info.local_queue)

    def set_workload(self, key: ObjectKey, workload: Workload | None, now: Instant) -> None:
        """The penalty of an admitted Workload becomes consumption; that of one which will not be admitted is dropped."""
        if self._book is None:
            return
        charged = self._book.charged(key)
        if charged is None:
            return
        if workload is not None and charged == ObjectKey(workload.metadata.namespace, workload.spec.queue_name):
            if workload.is_true(WorkloadCondition.ADMITTED):
                self._book.settle(key, self._running(charged), now)
                self._reorder(charged)
                return
            if not is_finished(workload) and (has_quota(workload) or workload.spec.active):
                return
        self.drop(key)

    def drop(self, key: ObjectKey) -> None:
        """A Workload's admission came to nothing."""
        charged = self._book.charged(key) if self._book is not None else None
        if self._book is not None and charged is not None:
            self._book.drop(key)
            self._reorder(charged)

    def _running(self, local_queue: ObjectKey) -> dict[str, int]:
        """What the admitted Workloads of a LocalQueue hold, in nano-units by resource."""
        tally = self._cache.local_tallies.get(local_queue)
        running: dict[str, int] = {}
        for item, amount in tally.usage.items() if tally is not None else ():
            running[item.resource] = running.get(item.resource, 0) + nanos_of(item.resource, amount)
        return running

    def _reorder(self, local_queue: ObjectKey) -> None:
        spec = self._queues.local_queues.get(local_queue)
        waiting = self._queues.queue(spec.spec.cluster_queue) if spec is not None else None
        if spec is not None and waiting is not None:
            waiting.reorder(local_queue)
            self._ready.mark(spec.spec.cluster_queue)
