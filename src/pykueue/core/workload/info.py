"""A Workload as the scheduler sees it: amounts, priority, place in the order.

An `Info` is made anew from each version of a Workload and is never changed, so queues, cache and a running cycle share it.
Pending and reserving Workloads have the same form; only the source of the amounts differs: the pod templates of a pending one, the
admission of a reserving one.

Neighbours: `requests.py` and `adjust.py` (one pod), `lifecycle.py` (what the conditions mean), `requeue.py` (order and backoff).

Source: scheduling.md §2, §3.6, §4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import Annotation, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import PodSet, PodSetAssignment, TopologyRequest, Workload
from pykueue.core.features import Features, Gate
from pykueue.core.resources import FlavorResource, parse_amount, scale
from pykueue.core.workload.adjust import PodSpec, adjust, violation
from pykueue.core.workload.requests import Requests, effective_requests
from pykueue.core.workload.requeue import queue_timestamp

NEVER = Instant(0)
UNKNOWN_HASH = ""
"""The equivalence hash when the gate is off: equal to nothing."""
_SHAPE_KEYS = (
    "nodeSelector", "affinity", "tolerations", "runtimeClassName", "priority", "topologySpreadConstraints", "overhead",
    "resourceClaims", "resources",
)  # fmt: skip


_JUDGED_MAX = 1024
"""Different Workloads that are remembered."""


class PodSetInfo(msgspec.Struct, frozen=True, gc=False):
    """One pod set.

    Attributes:
        name: of the pod set.
        count: pods that count, after reclaimable ones.
        min_count: the least count that partial admission may take; None means `count`.
        per_pod: effective requests of one pod; empty for reserving Workloads whose templates do not matter any more.
        requests: totals of the pod set, without the implicit `pods`.
        spec: the adjusted PodSpec.
        flavors: resource to flavor, of a reserving Workload.
        topology: the topology request, if any.
    """

    name: str
    count: int
    min_count: int | None
    per_pod: Requests
    requests: Requests
    spec: PodSpec
    flavors: Mapping[str, str]
    topology: TopologyRequest | None

    def scaled_to(self, count: int) -> PodSetInfo:
        """The pod set with another count (partial admission)."""
        requests = {name: scale(amount, count) for name, amount in self.per_pod.items()}
        return PodSetInfo(
            self.name, count, self.min_count, self.per_pod, requests, self.spec, self.flavors, self.topology
        )


_Judgement: TypeAlias = tuple[tuple[PodSetInfo, ...], str, str | None]
"""Pod sets, equivalence hash, fault."""


class Info(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A Workload, computed once per version.

    Attributes:
        key: namespace and name.
        local_queue: that the Workload names.
        workload: the object.
        cluster_queue: where it queues, or holds quota.
        priority: effective, `base_priority` plus `boost`.
        queued_at: the queue-order timestamp (µs).
        pod_sets: in spec order.
        usage: quota it holds; empty while pending.
        reserved_at: when `QuotaReserved` turned true; 0 while pending.
        equivalence: the scheduling-equivalence hash, or `UNKNOWN_HASH`.
        fault: message of the §4.5 rule that it breaks, or None.
        tie: what orders it among Workloads of one age, if not its uid.
    """

    key: ObjectKey
    local_queue: ObjectKey
    workload: Workload
    cluster_queue: str
    priority: int
    base_priority: int
    boost: int
    queued_at: Instant
    pod_sets: tuple[PodSetInfo, ...]
    usage: Mapping[FlavorResource, int] = msgspec.field(default_factory=dict)
    reserved_at: Instant = NEVER
    equivalence: str = UNKNOWN_HASH
    fault: str | None = None
    is_evicted: bool = False
    is_admitted: bool = False
    tie: str = ""

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        return self.workload.metadata.uid


@dataclass(frozen=True, slots=True)
class InfoMaker:
    """Makes `Info`s.

    Attributes:
        config: resources and requeuing strategy.
        features: gates in force.
        limit_ranges: the LimitRanges of a namespace.
        runtime_class: a RuntimeClass by name. `forget` must be called when what these two answer changes.
    """

    config: Configuration
    features: Features
    limit_ranges: Callable[[str], Sequence[Obj]]
    runtime_class: Callable[[str], Obj | None]
    _judged: dict[bytes, _Judgement] = field(default_factory=dict, init=False)
    """What equal Workloads share; most Workloads of a cluster are equal to others."""

    def forget(self) -> None:
        """LimitRanges or RuntimeClasses changed."""
        self._judged.clear()

    def pending(self, workload: Workload, cluster_queue: str, before: Info | None = None) -> Info:
        """The Info of a Workload without quota: amounts from its pod templates.

        Args:
            workload: the object.
            cluster_queue: where it is to wait.
            before: the Info under which it waits already, if LimitRanges and RuntimeClasses are still the same: what did not change
                is taken from there.
        """
        base, boost = self._priority(workload)
        is_known = before is not None and before.priority == base + boost and _asks_the_same(before.workload, workload)
        if before is not None and is_known:
            pod_sets, equivalence, fault = before.pod_sets, before.equivalence, before.fault
        else:
            pod_sets, equivalence, fault = self._judge(workload, base + boost)
        key, local_queue = _names(workload, before)
        return Info(
            key=key,
            local_queue=local_queue,
            workload=workload,
            cluster_queue=cluster_queue,
            priority=base + boost,
            base_priority=base,
            boost=boost,
            queued_at=queue_timestamp(workload, self.config, self.features),
            pod_sets=pod_sets,
            equivalence=equivalence,
            fault=fault,
            is_evicted=workload.is_true(WorkloadCondition.EVICTED),
        )

    def reserving(self, workload: Workload, before: Info | None = None) -> Info:
        """The Info of a Workload with quota: amounts from its admission (§4.3).

        Args:
            workload: the object.
            before: the Info under which it holds quota already; what did not change is taken from there.
        """
        admission = workload.status.admission
        assert admission is not None
        is_known = (
            before is not None
            and before.workload.status.admission == admission
            and _asks_the_same(before.workload, workload)
        )
        if before is not None and is_known:
            pod_sets, usage = before.pod_sets, before.usage
        else:
            by_name = {a.name: a for a in admission.pod_set_assignments}
            pod_sets = tuple(
                self._reserving_pod_set(workload, ps, by_name.get(ps.name)) for ps in workload.spec.pod_sets
            )
            usage = _usage_of(pod_sets)
        return self._holding(workload, pod_sets, usage, before)

    def assumed(self, workload: Workload, pod_sets: tuple[PodSetInfo, ...], waiting: Info) -> Info:
        """The Info of a Workload whose reservation is assumed: as `reserving`, with amounts that are known already.

        Args:
            workload: the object with its admission.
            pod_sets: with the amounts and flavors of the admission.
            waiting: the Info under which it waited until now.
        """
        return self._holding(workload, pod_sets, _usage_of(pod_sets), waiting)

    def _holding(
        self,
        workload: Workload,
        pod_sets: tuple[PodSetInfo, ...],
        usage: Mapping[FlavorResource, int],
        before: Info | None,
    ) -> Info:
        admission = workload.status.admission
        assert admission is not None
        base, boost = self._priority(workload)
        reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
        key, local_queue = _names(workload, before)
        return Info(
            key=key,
            local_queue=local_queue,
            workload=workload,
            cluster_queue=admission.cluster_queue,
            priority=base + boost,
            base_priority=base,
            boost=boost,
            queued_at=queue_timestamp(workload, self.config, self.features),
            pod_sets=pod_sets,
            usage=usage,
            reserved_at=reserved.transitioned_at if reserved is not None else Instant(0),
            is_evicted=workload.is_true(WorkloadCondition.EVICTED),
            is_admitted=workload.is_true(WorkloadCondition.ADMITTED),
        )

    def _judge(self, workload: Workload, priority: int) -> _Judgement:
        """Pod sets, equivalence hash and fault of a Workload without quota; the same objects for equal ones."""
        allowed = workload.metadata.annotations.get(Annotation.ALLOWED_RESOURCE_FLAVORS)
        asked = workload.spec.pod_sets, workload.status.reclaimable_pods, allowed, priority, workload.metadata.namespace
        text = _encode_as_is(asked)
        known = self._judged.get(text)
        if known is None:
            if len(self._judged) >= _JUDGED_MAX:
                self._judged.clear()
            known = self._judged[text] = self._judge_anew(workload, priority)
        return known

    def _judge_anew(self, workload: Workload, priority: int) -> _Judgement:
        ranges = self.limit_ranges(workload.metadata.namespace)
        specs = [adjust(ps.template.get("spec") or {}, ranges, self.runtime_class) for ps in workload.spec.pod_sets]
        pod_sets = tuple(
            self._pending_pod_set(workload, ps, spec) for ps, spec in zip(workload.spec.pod_sets, specs, strict=True)
        )
        hashing = self.features[Gate.SCHEDULING_EQUIVALENCE_HASHING]
        equivalence = _equivalence(workload, pod_sets, priority, self.features) if hashing else UNKNOWN_HASH
        return pod_sets, equivalence, violation(specs, ranges)

    def _priority(self, workload: Workload) -> tuple[int, int]:
        boost = 0
        if self.features[Gate.PRIORITY_BOOST]:
            text = workload.metadata.annotations.get(Annotation.PRIORITY_BOOST, "0")
            # The webhook refuses anything but a signed integer; an older object with another text has no boost.
            boost = int(text) if text.lstrip("+-").isdecimal() else 0
        return workload.spec.priority or 0, boost

    def _count(self, workload: Workload, pod_set: PodSet) -> int:
        if not workload.status.reclaimable_pods or not self.features[Gate.RECLAIMABLE_PODS]:
            return pod_set.count
        freed = next((r.count for r in workload.status.reclaimable_pods if r.name == pod_set.name), 0)
        return pod_set.count - min(freed, pod_set.count)

    def _pending_pod_set(self, workload: Workload, pod_set: PodSet, spec: PodSpec) -> PodSetInfo:
        count = self._count(workload, pod_set)
        per_pod = effective_requests(spec, self.config.resources)
        requests = {name: scale(amount, count) for name, amount in per_pod.items()}
        return PodSetInfo(pod_set.name, count, pod_set.min_count, per_pod, requests, spec, {}, pod_set.topology_request)

    def _reserving_pod_set(self, workload: Workload, pod_set: PodSet, given: PodSetAssignment | None) -> PodSetInfo:
        spec = pod_set.template.get("spec") or {}
        if given is None:
            return PodSetInfo(pod_set.name, 0, None, {}, {}, spec, {}, pod_set.topology_request)
        admitted = given.count if given.count is not None else pod_set.count
        count = self._count(workload, pod_set)
        usage = {name: parse_amount(name, text) for name, text in given.resource_usage.items()}
        if count < admitted:
            usage = {name: amount // admitted * count for name, amount in usage.items()}
        else:
            # Partial admission: the pods that were not admitted are not counted (§4.3).
            count = admitted
        return PodSetInfo(pod_set.name, count, None, {}, usage, spec, given.flavors, pod_set.topology_request)


def _names(workload: Workload, before: Info | None) -> tuple[ObjectKey, ObjectKey]:
    """The Workload's key and its LocalQueue's; those of an earlier version, if they are the same."""
    key = before.key if before is not None else workload.key
    if before is not None and before.local_queue.name == workload.spec.queue_name:
        return key, before.local_queue
    return key, ObjectKey(workload.metadata.namespace, workload.spec.queue_name)


def _asks_the_same(old: Workload, new: Workload) -> bool:
    """Whether two versions have the same pod sets, counts and allowed flavors."""
    allowed = Annotation.ALLOWED_RESOURCE_FLAVORS
    return (
        old.spec == new.spec
        and old.status.reclaimable_pods == new.status.reclaimable_pods
        and old.metadata.annotations.get(allowed) == new.metadata.annotations.get(allowed)
    )


def _usage_of(pod_sets: Sequence[PodSetInfo]) -> dict[FlavorResource, int]:
    usage: dict[FlavorResource, int] = {}
    for pod_set in pod_sets:
        for resource, amount in pod_set.requests.items():
            flavor = pod_set.flavors.get(resource)
            if flavor is not None:
                item = FlavorResource(flavor, resource)
                usage[item] = usage.get(item, 0) + amount
    return usage


def _equivalence(workload: Workload, pod_sets: Sequence[PodSetInfo], priority: int, features: Features) -> str:
    """First 16 hex digits of the SHA-256 of what scheduling depends on (§3.6)."""
    shape: list[Any] = [[_pod_set_shape(ps) for ps in pod_sets], priority]
    if features[Gate.CONCURRENT_ADMISSION]:
        shape.append(workload.metadata.annotations.get(Annotation.ALLOWED_RESOURCE_FLAVORS, ""))
    return hashlib.sha256(_encode(shape)).hexdigest()[:16]


def _pod_set_shape(pod_set: PodSetInfo) -> list[Any]:
    spec = pod_set.spec
    containers = [
        [[(c.get("resources") or {}).get("requests"), c.get("ports")] for c in spec.get(kind) or ()]
        for kind in ("initContainers", "containers")
    ]
    rest = [spec.get(name) for name in _SHAPE_KEYS]
    return [
        pod_set.name, containers, rest, pod_set.count, pod_set.requests, pod_set.min_count, pod_set.topology,
    ]  # fmt: skip


_encode = msgspec.json.Encoder(order="sorted").encode
_encode_as_is = msgspec.json.Encoder().encode
