"""The questions that the engine answers about its state; see the package.

Source: scheduling.md §10.5, §13.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.cache.clusterqueue import Cache
from pykueue.core.explain.domains import topology_facts
from pykueue.core.explain.facts import QueueExplanation, TopologyFacts, WorkloadExplanation
from pykueue.core.explain.queue import QueueInQuestion, explain_queue
from pykueue.core.explain.workload import Scene, explain_workload
from pykueue.core.features import Features
from pykueue.core.queue.heads import Pending
from pykueue.core.queue.manager import QueueManager
from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.tas.scheduling import NodeTopologies
from pykueue.core.views import Admissibility, QueueView


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the state that the engine has at one instant; changes nothing.

    Attributes:
        cache: what holds quota.
        queues: who waits.
        workloads: latest versions of all.
        features: gates in force.
        make_cycle: the scheduler.
        admissibility: what keeps a Workload from waiting.
        view_of: status of a ClusterQueue (by name) or a LocalQueue (by key).
        topologies: nodes and what is held of them.
        not_ready: admitted Workloads whose pods are awaited.
        now: Instant (µs).
    """

    cache: Cache
    queues: QueueManager
    workloads: Mapping[ObjectKey, Workload]
    features: Features
    make_cycle: Callable[[], Cycle]
    admissibility: Callable[[Workload], Admissibility]
    view_of: Callable[[str | ObjectKey], QueueView | None]
    topologies: NodeTopologies
    not_ready: Sequence[ObjectKey]
    now: Instant

    def workload(self, key: ObjectKey) -> WorkloadExplanation | None:
        """Why a Workload is where it is; None if it is not known."""
        return self._workload(key, None)

    def cluster_queue(self, name: str, *, n_told: int = 20) -> QueueExplanation | None:
        """Why a ClusterQueue stands where it stands; None if it is not known.

        Args:
            name: its name.
            n_told: how many of those that wait are told.
        """
        view = self.view_of(name)
        if view is None:
            return None
        order = self._order(name)
        queue = QueueInQuestion("ClusterQueue", name, name, self.cache.queue(name), view)
        return self._queue(queue, list(enumerate(order, 1)), order, n_told)

    def local_queue(self, key: ObjectKey, *, n_told: int = 20) -> QueueExplanation | None:
        """Why a LocalQueue stands where it stands; None if it is not known."""
        spec, view = self.queues.local_queues.get(key), self.view_of(key)
        if spec is None or view is None:
            return None
        name = spec.spec.cluster_queue
        order = self._order(name)
        own = [(place, item) for place, item in enumerate(order, 1) if item.info.local_queue == key]
        queue = QueueInQuestion("LocalQueue", str(key), name, self.cache.queue(name), view)
        return self._queue(queue, own, order, n_told)

    def topologies_of(self, name: str = "") -> tuple[TopologyFacts, ...]:
        """What is free and used of the topologies, or of the named one; one for each flavor that has it."""
        return topology_facts(self.topologies, name)

    def _queue(
        self, queue: QueueInQuestion, waiting: Sequence[tuple[int, Pending]], order: Sequence[Pending], n_told: int
    ) -> QueueExplanation:
        head = self._workload(waiting[0][1].info.key, order) if waiting else None
        return explain_queue(queue, waiting, head, self.cache, n_told=n_told)

    def _workload(self, key: ObjectKey, order: Sequence[Pending] | None) -> WorkloadExplanation | None:
        workload = self.workloads.get(key)
        if workload is None:
            return None
        local = self.queues.local_queues.get(ObjectKey(workload.metadata.namespace, workload.spec.queue_name))
        home = self.queues.home(key)
        scene = Scene(
            make_cycle=self.make_cycle,
            features=self.features,
            cluster_queue=home or (local.spec.cluster_queue if local is not None else ""),
            waiting=self.queues.queue(home) if home is not None else None,
            order=(self._order(home) if order is None else order) if home is not None else (),
            topologies=self.topologies,
            not_ready=[str(other) for other in self.not_ready],
            now=self.now,
        )
        return explain_workload(workload, self.admissibility(workload), scene)

    def _order(self, cluster_queue: str) -> list[Pending]:
        waiting = self.queues.queue(cluster_queue)
        return waiting.ordered() if waiting is not None else []
