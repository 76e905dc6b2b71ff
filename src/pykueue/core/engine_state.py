"""What the admission engine knows, and the questions about it that change nothing.

`EngineState` holds the latest objects, what waits (`queue/manager.py`), what holds quota (`cache/clusterqueue.py`), and whose views changed. It
answers what statuses, webhooks and people want to know of them. What changes the state is `engine_moves.py`; what decides, `engine.py`.

Source: scheduling.md §10.5, §12, §13.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import Reason
from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, ObjectKey, matches_labels
from pykueue.api.series import Sample
from pykueue.api.v1beta2 import Workload
from pykueue.core.cache.clusterqueue import Cache
from pykueue.core.fair_usage import FairUsage
from pykueue.core.features import Features, Gate
from pykueue.core.measures import Measured
from pykueue.core.queue.manager import QueueManager
from pykueue.core.queue.second_pass import SecondPassQueue
from pykueue.core.readiness import Readiness
from pykueue.core.scheduler.cycle import required_checks
from pykueue.core.scheduler.nominate import NAMESPACE_MISMATCH
from pykueue.core.scheduler.preemption.book import Notice, PreemptionBook
from pykueue.core.tas.topology import NodeBook
from pykueue.core.views import (
    Admissibility,
    Blocked,
    Blocker,
    CohortView,
    QueueView,
    cluster_queue_view,
    local_queue_view,
    weighted_share,
)
from pykueue.core.workload.info import Info, InfoMaker
from pykueue.core.workload.lifecycle import has_quota, is_queueable
from pykueue.core.workload.variants import flavor_of, parent_of, rank

_Group = TypeVar("_Group", bound=Hashable)


class EngineState:
    """Objects, queues, quota; see `AdmissionEngine`."""

    def __init__(self, config: Configuration, features: Features) -> None:
        self._config = config
        self._features = features
        self._cache = Cache(shares_hosts=features[Gate.TAS_HANDLE_OVERLAPPING_FLAVORS])
        self._book = NodeBook()
        self._queues = QueueManager(features)
        self._second_pass = SecondPassQueue()
        self._workloads: dict[ObjectKey, Workload] = {}
        self._by_local: dict[ObjectKey, dict[ObjectKey, None]] = {}
        self._locals_of: dict[str, dict[ObjectKey, None]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._limit_ranges: dict[str, Sequence[Obj]] = {}
        self._runtime_classes: dict[str, Obj] = {}
        self._assumed: dict[ObjectKey, Workload] = {}
        self._not_ready: dict[ObjectKey, None] = {}
        self._waits_for_pods = False
        self._cycle = 0
        self._version = 0
        """Of what matters to everybody; not of Workloads."""
        self._marked_at = 0
        self._preemptions = PreemptionBook(features)
        self._ready = Readiness(self._cache, self._queues)
        self._fair_usage = FairUsage(config, features, self._cache, self._queues, self._ready)
        self._last_cycle_at = Instant(0)
        self._backoff_us = 0
        self._changed: tuple[dict[str, None], dict[ObjectKey, None], dict[str, None], dict[ObjectKey, None]] = (
            {},
            {},
            {},
            {},
        )
        self._maker = InfoMaker(config, features, lambda ns: self._limit_ranges.get(ns, ()), self._runtime_classes.get)

    def cluster_queue_status(self, name: str) -> QueueView | None:
        """Status of a ClusterQueue; None if there is none."""
        queue = self._cache.queue(name)
        waiting = self._queues.queue(name)
        if queue is None or waiting is None:
            return None
        return cluster_queue_view(queue, len(waiting), is_fair=self._config.fair_sharing is not None)

    def local_queue_status(self, key: ObjectKey) -> QueueView | None:
        """Status of a LocalQueue; None if there is none."""
        spec = self._queues.local_queues.get(key)
        if spec is None:
            return None
        queue = self._cache.queue(spec.spec.cluster_queue)
        pending = self._queues.pending_in(key) if queue is not None else self._stranded(key)
        view = local_queue_view(spec, queue, self._cache.local_tallies.get(key), pending)
        return replace(view, admission_fair_sharing=self._fair_usage.status(key, queue))

    def _stranded(self, local: ObjectKey) -> int:
        """Workloads of a LocalQueue that leads nowhere: they wait, though no ClusterQueue knows of them."""
        if not self._queues.is_open(local):
            return 0
        waiting = (self._workloads[key] for key in self._by_local.get(local, ()))
        return sum(not has_quota(w) and is_queueable(w, self._features) for w in waiting)

    def cohort_status(self, name: str) -> CohortView | None:
        """Status of an explicit Cohort; None if there is none."""
        if name not in self._cache.cohorts:
            return None
        node = self._cache.cohort_node(name)
        is_shown = self._config.fair_sharing is not None and node is not None
        return CohortView(weighted_share(node) if is_shown and node is not None else None)

    def flavor_in_use(self, name: str) -> bool:
        """Whether a ClusterQueue refers to the ResourceFlavor."""
        return any(name in queue.uses_flavors for queue in self._cache.queues())

    def check_in_use(self, name: str) -> bool:
        """Whether a ClusterQueue refers to the AdmissionCheck."""
        return any(name in queue.checks for queue in self._cache.queues())

    def topology_in_use(self, name: str) -> bool:
        """Whether a ResourceFlavor refers to the Topology."""
        return any(flavor.spec.topology_name == name for flavor in self._cache.flavors.values())

    def is_parent(self, workload: Workload) -> bool:
        """Whether variants wait in the Workload's place (§15)."""
        if not self._features[Gate.CONCURRENT_ADMISSION] or parent_of(workload) is not None:
            return False
        local = self._queues.local_queues.get(local_queue_of(workload))
        queue = self._cache.queue(local.spec.cluster_queue) if local is not None else None
        return queue is not None and queue.spec.spec.concurrent_admission_policy is not None

    def _with_tie(self, info: Info) -> Info:
        """A variant waits behind its more favorable siblings, which are as old (§15)."""
        parent = parent_of(info.workload) if self._features[Gate.CONCURRENT_ADMISSION] else None
        queue = self._cache.queue(info.cluster_queue) if parent is not None else None
        if parent is None or queue is None:
            return info
        return msgspec.structs.replace(info, tie=f"{parent.uid}/{rank(queue.spec, flavor_of(info.workload)):03}")

    def required_checks(self, workload: Workload) -> tuple[str, ...] | None:
        """Admission checks that the Workload needs now, sorted (§12); None while no ClusterQueue can tell."""
        admission = workload.status.admission
        if has_quota(workload) and admission is not None:
            queue = self._cache.queue(admission.cluster_queue)
            flavors = {f for a in admission.pod_set_assignments for f in a.flavors.values()}
            return None if queue is None else required_checks(queue.checks, flavors, queue.uses_flavors)
        local = self._queues.local_queues.get(local_queue_of(workload))
        queue = self._cache.queue(local.spec.cluster_queue) if local is not None else None
        return None if queue is None else required_checks(queue.checks, None, queue.uses_flavors)

    def admissibility(self, workload: Workload) -> Admissibility:
        """Why the Workload is not waiting or will not be tried (§10.5)."""
        key = local_queue_of(workload)
        local = self._queues.local_queues.get(key)
        if local is None:
            return _blocked(Blocker.LOCAL_QUEUE_MISSING, Reason.MISCONFIGURED, f"LocalQueue {key.name} doesn't exist")
        if local.spec.stop_policy != "None":
            return _blocked(Blocker.LOCAL_QUEUE_STOPPED, Reason.SUSPENDED, f"LocalQueue {key.name} is inactive")
        name = local.spec.cluster_queue
        queue = self._cache.queue(name)
        if queue is None:
            return _blocked(Blocker.CLUSTER_QUEUE_MISSING, Reason.MISCONFIGURED, f"ClusterQueue {name} doesn't exist")
        if not queue.is_active or queue.is_cyclic:
            return _blocked(Blocker.CLUSTER_QUEUE_INACTIVE, Reason.SUSPENDED, f"ClusterQueue {name} is inactive")
        item = self._queues.find(workload.key)
        if item is None:
            return Admissibility(None, None)
        labels = self._namespaces.get(key.namespace)
        if labels is not None and not matches_labels(queue.spec.spec.namespace_selector, labels):
            return _blocked(Blocker.NAMESPACE, Reason.MISCONFIGURED, NAMESPACE_MISMATCH)
        if item.info.fault is not None:
            return _blocked(Blocker.POD_SETS, Reason.MISCONFIGURED, item.info.fault)
        waiting = self._queues.queue(name)
        return Admissibility(None, waiting.bypassed(workload.key) if waiting is not None else None)

    def take_notices(self) -> Sequence[Notice]:
        """What to tell of preemptions since the last call."""
        return self._preemptions.take_notices()

    def take_samples(self) -> Sequence[Sample]:
        """What to count of preemptions since the last call."""
        return self._preemptions.take_samples()

    def has_notices(self) -> bool:
        """Whether there is something to tell of preemptions."""
        return self._preemptions.has_notices()

    def measured(self) -> Measured:
        """What metrics are read from; see `core/measures.py`."""
        return Measured(
            self._cache, self._queues, self._workloads, self._stranded, self._fair_usage.order_of, self._config,
            self._features,
        )  # fmt: skip

    def waiting(self, cluster_queue: str) -> list[Info] | None:
        """Who waits for a ClusterQueue, in queue order: the heap, the parked and the one in flight (§13.5); None if there is no such queue."""
        waiting = self._queues.queue(cluster_queue)
        return [item.info for item in waiting.ordered()] if waiting is not None else None

    def cluster_queue_of(self, local_queue: ObjectKey) -> str | None:
        """The ClusterQueue that a LocalQueue's Workloads wait for; None if either is not there, or the LocalQueue is stopped."""
        if not self._queues.is_open(local_queue):
            return None
        name = self._queues.local_queues[local_queue].spec.cluster_queue
        return name if self._queues.queue(name) is not None else None


def discard(groups: dict[_Group, dict[ObjectKey, None]], group: _Group, key: ObjectKey) -> None:
    """Take a key out of a group; a group goes with its last key."""
    members = groups.get(group, {})
    members.pop(key, None)
    if not members:
        groups.pop(group, None)


def local_queue_of(workload: Workload) -> ObjectKey:
    """The LocalQueue that a Workload names."""
    return ObjectKey(workload.metadata.namespace, workload.spec.queue_name)


def _blocked(by: Blocker, reason: Reason, message: str) -> Admissibility:
    return Admissibility(Blocked(by, reason, message), None)
