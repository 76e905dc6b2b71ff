"""What the engine measures of itself when somebody asks: the gauges of observability.md §1.

Every gauge is a view: it is computed from what the engine holds, when the metrics are read. So nothing is kept up to date by adding and
taking away, a queue that is gone leaves no series behind, and a new leader need not write anything anew. What is counted over
time is in `controllers/measures.py`.

Source: observability.md §1.1, §1.2, §1.4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.objects import ObjectKey, matches_labels
from pykueue.api.series import Sample
from pykueue.api.v1beta2 import LocalQueue, Workload
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState, Tally, quotas_of
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.features import Features, Gate
from pykueue.core.queue.manager import QueueManager
from pykueue.core.resources import CPU, UNLIMITED, FlavorResource
from pykueue.core.workload.info import UNKNOWN_HASH
from pykueue.core.workload.lifecycle import is_finished
from pykueue.core.workload.variants import parent_of

_NO_LIMIT = math.inf


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured: the engine's parts, as they are now.

    Attributes:
        cache: what holds quota.
        queues: what waits.
        workloads: all Workloads.
        stranded: how many wait in a LocalQueue that leads nowhere.
        usage_order: of a ClusterQueue: the admission fair sharing usage of a LocalQueue; None where that orders nothing.
        config: which gauges are wanted.
        features: gates in force.
    """

    cache: Cache
    queues: QueueManager
    workloads: Mapping[ObjectKey, Workload]
    stranded: Callable[[ObjectKey], int]
    usage_order: Callable[[ClusterQueueState], Callable[[ObjectKey], float] | None]
    config: Configuration
    features: Features


def measure(what: Measured) -> Iterator[Sample]:
    """All gauges, ClusterQueues by name, then cohorts, then LocalQueues."""
    has_resources = what.config.metrics.enable_cluster_queue_resources
    for queue in sorted(what.cache.queues(), key=lambda queue: queue.name):
        yield from _cluster_queue(what, queue)
        if has_resources:
            yield from _resources_of(what, queue)
    if what.features[Gate.METRICS_FOR_COHORTS] or has_resources:
        for node in _cohorts(what.cache):
            yield from _cohort(what, node, has_resources=has_resources)
    shown = measured_local_queues(what.config, what.features)
    for key, spec in sorted(what.queues.local_queues.items()):
        if shown(spec):
            yield from _local_queue(what, key, spec, has_resources=has_resources)
    yield from _tallied(what, shown)


def measured_local_queues(config: Configuration, features: Features) -> Callable[[LocalQueue | None], bool]:
    """Which LocalQueues have metrics; none without the gate or the option."""
    wanted = config.metrics.local_queue_metrics
    if not features[Gate.LOCAL_QUEUE_METRICS] or not wanted.enable:
        return lambda _: False
    selector = wanted.local_queue_selector
    if selector is None:
        return lambda spec: spec is not None
    return lambda spec: spec is not None and matches_labels(selector, spec.metadata.labels)


def ancestors(cache: Cache, cluster_queue: str) -> tuple[str, ...]:
    """The cohorts above a ClusterQueue, upwards."""
    queue = cache.queue(cluster_queue)
    return () if queue is None else tuple(node.name for node in queue.node.lineage() if node.is_cohort)


def _cluster_queue(what: Measured, queue: ClusterQueueState) -> Iterator[Sample]:
    name, tally = queue.name, queue.tally
    waiting = what.queues.queue(name)
    everything = {item.info.key: item.info for item in waiting.items()} if waiting is not None else {}
    parked = {item.info.key for item in waiting.parked()} if waiting is not None and queue.is_active else everything
    active = [info for key, info in everything.items() if key not in parked]
    inadmissible = [info for key, info in everything.items() if key in parked]
    for status, infos in (("active", active), ("inadmissible", inadmissible)):
        yield Sample("pending_workloads", (name, status), len(infos))
        if what.features[Gate.SCHEDULING_EQUIVALENCE_HASHING]:
            hashes = {info.equivalence for info in infos} - {UNKNOWN_HASH}
            yield Sample("pending_scheduling_hashes", (name, status), len(hashes))
    yield Sample("reserving_active_workloads", (name,), tally.reserving)
    yield Sample("admitted_active_workloads", (name,), tally.admitted)
    present = "terminating" if queue.spec.is_deleting else "active" if queue.is_active else "pending"
    for status in ("pending", "active", "terminating"):
        yield Sample("cluster_queue_status", (name, status), float(status == present))
    if what.features[Gate.METRICS_FOR_COHORTS]:
        cohort = queue.spec.spec.cohort_name
        root = queue.node.tree.root.name if cohort and queue.node.parent is not None else ""
        yield Sample("cluster_queue_info", (name, cohort, root))


def _resources_of(what: Measured, queue: ClusterQueueState) -> Iterator[Sample]:
    name, cohort = queue.name, queue.spec.spec.cohort_name
    for item, quota in quotas_of(queue.groups).items():
        labels = (cohort, name, item.flavor, item.resource)
        amounts = (
            ("cluster_queue_resource_reservation", queue.tally.reservation.get(item, 0)),
            ("cluster_queue_resource_usage", queue.tally.usage.get(item, 0)),
            ("cluster_queue_nominal_quota", quota.nominal),
            ("cluster_queue_borrowing_limit", quota.borrowing_limit),
            ("cluster_queue_lending_limit", quota.lending_limit),
        )
        for series, amount in amounts:
            yield Sample(series, labels, _base(item.resource, amount))
    pending: Counter[str] = Counter()
    waiting = what.queues.queue(name)
    for pod_set in (ps for item in (waiting.items() if waiting else ()) for ps in item.info.pod_sets):
        pending.update(pod_set.requests)
    for resource in sorted(pending):
        yield Sample("cluster_queue_resource_pending", (name, resource), _base(resource, pending[resource]))
    if what.config.fair_sharing is not None:
        yield Sample("cluster_queue_weighted_share", (name, cohort), _share(queue.node))


def _cohort(what: Measured, node: QuotaNode, *, has_resources: bool) -> Iterator[Sample]:
    if has_resources and what.config.fair_sharing is not None:
        yield Sample("cohort_weighted_share", (node.name,), _share(node))
    if not what.features[Gate.METRICS_FOR_COHORTS]:
        return
    parent = node.parent.name if node.parent is not None else ""
    yield Sample("cohort_info", (node.name, parent, node.tree.root.name))
    leaves = [queue for leaf in node.leaves() if (queue := what.cache.queue(leaf.name)) is not None]
    admitted = sum(queue.tally.admitted for queue in leaves)
    yield Sample("cohort_subtree_admitted_active_workloads", (node.name,), admitted)
    if not has_resources:
        return
    for i, item in enumerate(node.tree.items):
        labels = (node.name, item.flavor, item.resource)
        reserved = sum(queue.tally.reservation.get(item, 0) for queue in leaves)
        for series, amount in (
            ("cohort_subtree_quota", node.subtree[i]),
            ("cohort_subtree_resource_reservations", reserved),
        ):
            if amount > 0:
                yield Sample(series, labels, _base(item.resource, amount))


def _cohorts(cache: Cache) -> list[QuotaNode]:
    """Every cohort that is in a tree, by name; also those which only ClusterQueues name."""
    found = {name: node for name in cache.cohorts if (node := cache.cohort_node(name)) is not None}
    for queue in cache.queues():
        found.update({node.name: node for node in queue.node.lineage() if node.is_cohort})
    return [found[name] for name in sorted(found)]


def _local_queue(what: Measured, key: ObjectKey, spec: LocalQueue, *, has_resources: bool) -> Iterator[Sample]:
    labels = (key.name, key.namespace)
    waiting = what.queues.queue(spec.spec.cluster_queue)
    queue = what.cache.queue(spec.spec.cluster_queue)
    pending = what.queues.waiting_in(key)
    is_active = queue is not None and queue.is_active
    parked = sum(1 for one in pending if not is_active or (waiting is not None and waiting.is_parked(one)))
    parked += what.stranded(key) if queue is None else 0
    yield Sample("local_queue_pending_workloads", (*labels, "active"), len(pending) - parked)
    yield Sample("local_queue_pending_workloads", (*labels, "inadmissible"), parked)
    tally = what.cache.local_tallies.get(key) or Tally()
    yield Sample("local_queue_reserving_active_workloads", labels, tally.reserving)
    yield Sample("local_queue_admitted_active_workloads", labels, tally.admitted)
    present = "True" if is_active and spec.spec.stop_policy == "None" else "False"
    for status in ("True", "False", "Unknown"):
        yield Sample("local_queue_status", (*labels, status), float(status == present))
    usage_of = what.usage_order(queue) if queue is not None else None
    if queue is not None and usage_of is not None:
        yield Sample("local_queue_admission_fair_sharing_usage", (*labels, queue.name), usage_of(key))
    if not has_resources or queue is None:
        return
    for item in quotas_of(queue.groups):
        for series, amounts in (
            ("local_queue_resource_reservation", tally.reservation),
            ("local_queue_resource_usage", tally.usage),
        ):
            yield Sample(series, (*labels, item.flavor, item.resource), _amount(item, amounts))


def _tallied(what: Measured, shown: Callable[[LocalQueue | None], bool]) -> Iterator[Sample]:
    """What is counted by going through all Workloads: the finished, and the unadmitted by reason."""
    finished: Counter[tuple[str, ...]] = Counter()
    finished_locally: Counter[tuple[str, ...]] = Counter()
    unadmitted: Counter[tuple[str, ...]] = Counter()
    unadmitted_locally: Counter[tuple[str, ...]] = Counter()
    is_fine = what.features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY]
    for workload in what.workloads.values():
        key = ObjectKey(workload.metadata.namespace, workload.spec.queue_name)
        local = what.queues.local_queues.get(key)
        name = cluster_queue_of(workload, local)
        if not name:
            continue
        if is_finished(workload):
            finished[(name,)] += 1
            finished_locally[(key.name, key.namespace)] += shown(local)
        elif is_fine and (why := _why_unadmitted(workload)) is not None:
            unadmitted[(name, *why)] += what.cache.queue(name) is not None
            unadmitted_locally[(key.name, key.namespace, name, *why)] += shown(local)
    queues = [(queue.name,) for queue in what.cache.queues()]
    yield from _samples("finished_workloads", {labels: finished[labels] for labels in queues})
    locals_ = [(key.name, key.namespace) for key, spec in what.queues.local_queues.items() if shown(spec)]
    yield from _samples("local_queue_finished_workloads", {labels: finished_locally[labels] for labels in locals_})
    yield from _samples("unadmitted_workloads", +unadmitted)
    yield from _samples("local_queue_unadmitted_workloads", +unadmitted_locally)


def cluster_queue_of(workload: Workload, local_queue: LocalQueue | None) -> str:
    """Where a Workload is counted: where it has quota, else where its LocalQueue leads; empty for nowhere."""
    if workload.status.admission is not None:
        return workload.status.admission.cluster_queue
    return local_queue.spec.cluster_queue if local_queue is not None else ""


def _why_unadmitted(workload: Workload) -> tuple[str, str] | None:
    """Reason and underlying cause (§1.4); None if it is admitted, inactive, or a variant whose parent is counted."""
    if parent_of(workload) is not None or not workload.spec.active or workload.is_true(WorkloadCondition.ADMITTED):
        return None
    admitted = workload.condition(WorkloadCondition.ADMITTED)
    reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    reason = admitted.reason if admitted is not None else str(Reason.NO_RESERVATION)
    if reserved is None:
        return reason, str(Reason.PENDING_EVALUATION)
    return reason, "" if reserved.status == "True" else reserved.reason


def _samples(series: str, counts: Mapping[tuple[str, ...], int]) -> Iterable[Sample]:
    return (Sample(series, labels, counts[labels]) for labels in sorted(counts))


def _amount(item: FlavorResource, amounts: Mapping[FlavorResource, int]) -> float:
    return _base(item.resource, amounts.get(item, 0))


def _base(resource: str, amount: int | None) -> float:
    """An amount in base units: cpu in cores. Unlimited and no limit are infinite."""
    if amount is None or amount >= UNLIMITED:
        return _NO_LIMIT
    return amount / 1000 if resource == CPU else float(amount)


def _share(node: QuotaNode) -> float:
    (is_infinite, value), _ = node.share()
    return math.nan if is_infinite else value
