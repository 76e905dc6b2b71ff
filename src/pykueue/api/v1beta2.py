"""Our kinds as typed, frozen values: group `kueue.x-k8s.io`, version `v1beta2`, the stored one (spec: api.md §1–§11).

Wire names are the camelCase of the field names. Pod templates, label selectors, taints and tolerations are core/v1 types and
stay raw mappings. Times stay RFC 3339 strings. Decoding drops fields that are not declared, so these values are for reading
and deciding; writes are patches and applies of the fields we own, never a whole decoded object.

Over 400 lines, because it is one table: every kind of the group, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import msgspec

from pykueue.api import kinds
from pykueue.api.instant import Instant, parse_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import ObjectKey

RawMap: TypeAlias = Mapping[str, Any]
ResourceMap: TypeAlias = Mapping[str, str | int | float]
"""Resource name to quantity, as on the wire."""


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """Frozen, and made of what was there before: so it is in no cycle, and the garbage collector need not look at it."""


class OwnerRef(_Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(_Struct, frozen=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerRef, ...] = ()


class Condition(_Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0

    @property
    def transitioned_at(self) -> Instant:
        """`lastTransitionTime`, 0 if absent."""
        return parse_time(self.last_transition_time) if self.last_transition_time else Instant(0)


class KueueObject(_Struct, frozen=True):
    """What all our kinds have."""

    KIND: ClassVar[Kind]

    metadata: ObjectMeta = ObjectMeta()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.metadata.namespace, self.metadata.name)

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def created_at(self) -> Instant:
        text = self.metadata.creation_timestamp
        return parse_time(text) if text else Instant(0)

    @property
    def is_deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None


def find_condition(conditions: tuple[Condition, ...], type_: str) -> Condition | None:
    """The condition of this type, if there is one."""
    for condition in conditions:
        if condition.type == type_:
            return condition
    return None


# --- Workload (§1) ---------------------------------------------------------------------------------------------------


class SliceConstraint(_Struct, frozen=True):
    topology: str
    size: int


class TopologyRequest(_Struct, frozen=True):
    required: str | None = None
    preferred: str | None = None
    unconstrained: bool | None = None
    pod_index_label: str | None = None
    sub_group_index_label: str | None = None
    sub_group_count: int | None = None
    pod_set_group_name: str | None = None
    pod_set_slice_required_topology: str | None = None
    pod_set_slice_size: int | None = None
    podset_slice_required_topology_constraints: tuple[SliceConstraint, ...] = ()


class PodSet(_Struct, frozen=True):
    name: str = "main"
    template: RawMap = {}
    count: int = 1
    min_count: int | None = None
    topology_request: TopologyRequest | None = None


class PriorityClassRef(_Struct, frozen=True):
    group: str
    kind: str
    name: str


class NamedGate(_Struct, frozen=True):
    name: str


class WorkloadSpec(_Struct, frozen=True):
    pod_sets: tuple[PodSet, ...] = ()
    queue_name: str = ""
    priority_class_ref: PriorityClassRef | None = None
    priority: int | None = None
    active: bool = True
    maximum_execution_time_seconds: int | None = None
    preemption_gates: tuple[NamedGate, ...] = ()


class IndividualValues(_Struct, frozen=True):
    prefix: str = ""
    suffix: str = ""
    roots: tuple[str, ...] = ()


class LevelValues(_Struct, frozen=True):
    universal: str | None = None
    individual: IndividualValues | None = None


class PodCounts(_Struct, frozen=True):
    universal: int | None = None
    individual: tuple[int, ...] | None = None


class TopologySlice(_Struct, frozen=True):
    domain_count: int
    values_per_level: tuple[LevelValues, ...]
    pod_counts: PodCounts


class TopologyAssignment(_Struct, frozen=True):
    levels: tuple[str, ...] = ()
    slices: tuple[TopologySlice, ...] = ()


class PodSetAssignment(_Struct, frozen=True):
    name: str = "main"
    flavors: Mapping[str, str] = {}
    resource_usage: ResourceMap = {}
    count: int | None = None
    topology_assignment: TopologyAssignment | None = None
    delayed_topology_request: str | None = None


class Admission(_Struct, frozen=True):
    cluster_queue: str = ""
    pod_set_assignments: tuple[PodSetAssignment, ...] = ()


class RequeueState(_Struct, frozen=True):
    count: int | None = None
    requeue_at: str | None = None


class ReclaimablePod(_Struct, frozen=True):
    name: str
    count: int


class PodSetUpdate(_Struct, frozen=True):
    name: str
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    node_selector: Mapping[str, str] = {}
    tolerations: tuple[RawMap, ...] = ()


class AdmissionCheckState(_Struct, frozen=True):
    name: str
    state: str
    last_transition_time: str = ""
    message: str = ""
    requeue_after_seconds: int | None = None
    retry_count: int | None = None
    pod_set_updates: tuple[PodSetUpdate, ...] = ()


class PodSetRequest(_Struct, frozen=True):
    name: str
    resources: ResourceMap = {}


class EvictionCount(_Struct, frozen=True):
    reason: str
    underlying_cause: str = msgspec.field(default="")
    count: int = 0


class SchedulingStats(_Struct, frozen=True):
    evictions: tuple[EvictionCount, ...] = ()


class PreemptionGateState(_Struct, frozen=True):
    name: str
    position: str
    last_transition_time: str = ""


class WorkloadStatus(_Struct, frozen=True):
    conditions: tuple[Condition, ...] = ()
    admission: Admission | None = None
    requeue_state: RequeueState | None = None
    reclaimable_pods: tuple[ReclaimablePod, ...] = ()
    admission_checks: tuple[AdmissionCheckState, ...] = ()
    resource_requests: tuple[PodSetRequest, ...] = ()
    accumulated_past_execution_time_seconds: int | None = None
    scheduling_stats: SchedulingStats | None = None
    nominated_cluster_names: tuple[str, ...] = ()
    cluster_name: str | None = None
    unhealthy_nodes: tuple[NamedGate, ...] = ()
    preemption_gates: tuple[PreemptionGateState, ...] = ()


class Workload(KueueObject, frozen=True):
    KIND = kinds.WORKLOAD

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, if there is one."""
        return find_condition(self.status.conditions, type_)

    def is_true(self, type_: str) -> bool:
        """Whether the condition is there with status True."""
        for condition in self.status.conditions:
            if condition.type == type_:
                return condition.status == "True"
        return False


# --- ClusterQueue, Cohort (§2, §3) -----------------------------------------------------------------------------------


class ResourceQuota(_Struct, frozen=True):
    name: str
    nominal_quota: str | int | float = 0
    borrowing_limit: str | int | float | None = None
    lending_limit: str | int | float | None = None


class FlavorQuotas(_Struct, frozen=True):
    name: str
    resources: tuple[ResourceQuota, ...] = ()


class ResourceGroup(_Struct, frozen=True):
    covered_resources: tuple[str, ...] = ()
    flavors: tuple[FlavorQuotas, ...] = ()


class FlavorFungibility(_Struct, frozen=True):
    when_can_borrow: str = "MayStopSearch"
    when_can_preempt: str = "TryNextFlavor"
    preference: str | None = None


class BorrowWithinCohort(_Struct, frozen=True):
    policy: str = "Never"
    max_priority_threshold: int | None = None


class ClusterQueuePreemption(_Struct, frozen=True):
    reclaim_within_cohort: str = "Never"
    borrow_within_cohort: BorrowWithinCohort | None = None
    within_cluster_queue: str = "Never"


class AdmissionCheckRule(_Struct, frozen=True):
    name: str
    on_flavors: tuple[str, ...] = ()


class AdmissionChecksStrategy(_Struct, frozen=True):
    admission_checks: tuple[AdmissionCheckRule, ...] = ()


class FairSharingSpec(_Struct, frozen=True):
    weight: str | int | float | None = None


class AdmissionScope(_Struct, frozen=True):
    admission_mode: str = ""


class MigrationConstraints(_Struct, frozen=True):
    last_acceptable_flavor_name: str = ""


class Migration(_Struct, frozen=True):
    mode: str = "TryPreferredFlavors"
    constraints: MigrationConstraints | None = None


class ConcurrentAdmissionPolicy(_Struct, frozen=True):
    migration: Migration = Migration()


class ClusterQueueSpec(_Struct, frozen=True):
    resource_groups: tuple[ResourceGroup, ...] = ()
    cohort_name: str = ""
    queueing_strategy: str = "BestEffortFIFO"
    namespace_selector: RawMap | None = None
    flavor_fungibility: FlavorFungibility = FlavorFungibility()
    preemption: ClusterQueuePreemption = ClusterQueuePreemption()
    admission_checks_strategy: AdmissionChecksStrategy | None = None
    stop_policy: str = "None"
    fair_sharing: FairSharingSpec | None = None
    admission_scope: AdmissionScope | None = None
    concurrent_admission_policy: ConcurrentAdmissionPolicy | None = None


class ResourceUsage(_Struct, frozen=True):
    name: str
    total: str | int | float = 0
    borrowed: str | int | float | None = None


class FlavorUsage(_Struct, frozen=True):
    name: str
    resources: tuple[ResourceUsage, ...] = ()


class AdmissionFairSharingStatus(_Struct, frozen=True):
    consumed_resources: ResourceMap = {}
    last_update: str = ""


class FairSharingStatus(_Struct, frozen=True):
    weighted_share: int = 0
    admission_fair_sharing_status: AdmissionFairSharingStatus | None = None


class QueueStatus(_Struct, frozen=True):
    """Status of ClusterQueue and LocalQueue."""

    conditions: tuple[Condition, ...] = ()
    flavors_reservation: tuple[FlavorUsage, ...] = ()
    flavors_usage: tuple[FlavorUsage, ...] = ()
    pending_workloads: int = 0
    reserving_workloads: int = 0
    admitted_workloads: int = 0
    fair_sharing: FairSharingStatus | None = None


class ClusterQueue(KueueObject, frozen=True):
    KIND = kinds.CLUSTER_QUEUE

    spec: ClusterQueueSpec = ClusterQueueSpec()
    status: QueueStatus = QueueStatus()


class CohortSpec(_Struct, frozen=True):
    parent_name: str = ""
    resource_groups: tuple[ResourceGroup, ...] = ()
    fair_sharing: FairSharingSpec | None = None


class CohortStatus(_Struct, frozen=True):
    fair_sharing: FairSharingStatus | None = None


class Cohort(KueueObject, frozen=True):
    KIND = kinds.COHORT

    spec: CohortSpec = CohortSpec()
    status: CohortStatus = CohortStatus()


# --- LocalQueue, ResourceFlavor, Topology, WorkloadPriorityClass, AdmissionCheck (§4–§8) -----------------------------


class LocalQueueSpec(_Struct, frozen=True):
    cluster_queue: str = ""
    stop_policy: str = "None"
    fair_sharing: FairSharingSpec | None = None


class LocalQueue(KueueObject, frozen=True):
    KIND = kinds.LOCAL_QUEUE

    spec: LocalQueueSpec = LocalQueueSpec()
    status: QueueStatus = QueueStatus()


class ResourceFlavorSpec(_Struct, frozen=True):
    node_labels: Mapping[str, str] = {}
    node_taints: tuple[RawMap, ...] = ()
    tolerations: tuple[RawMap, ...] = ()
    topology_name: str | None = None


class ResourceFlavor(KueueObject, frozen=True):
    KIND = kinds.RESOURCE_FLAVOR

    spec: ResourceFlavorSpec = ResourceFlavorSpec()


class TopologyLevel(_Struct, frozen=True):
    node_label: str


class TopologySpec(_Struct, frozen=True):
    levels: tuple[TopologyLevel, ...] = ()


class Topology(KueueObject, frozen=True):
    KIND = kinds.TOPOLOGY

    spec: TopologySpec = TopologySpec()


class WorkloadPriorityClass(KueueObject, frozen=True):
    KIND = kinds.WORKLOAD_PRIORITY_CLASS

    value: int = 0
    description: str = ""


class AdmissionCheckParameters(_Struct, frozen=True):
    api_group: str
    kind: str
    name: str


class AdmissionCheckSpec(_Struct, frozen=True):
    controller_name: str = ""
    parameters: AdmissionCheckParameters | None = None


class AdmissionCheckStatus(_Struct, frozen=True):
    conditions: tuple[Condition, ...] = ()


class AdmissionCheck(KueueObject, frozen=True):
    KIND = kinds.ADMISSION_CHECK

    spec: AdmissionCheckSpec = AdmissionCheckSpec()
    status: AdmissionCheckStatus = AdmissionCheckStatus()


# --- MultiKueue, ProvisioningRequestConfig (§9–§11) ------------------------------------------------------------------


class MultiKueueConfigSpec(_Struct, frozen=True):
    clusters: tuple[str, ...] = ()
    quota_management: str | None = None


class MultiKueueConfig(KueueObject, frozen=True):
    KIND = kinds.MULTIKUEUE_CONFIG

    spec: MultiKueueConfigSpec = MultiKueueConfigSpec()


class KubeConfigSource(_Struct, frozen=True):
    location: str = ""
    location_type: str = "Secret"


class ClusterProfileReference(_Struct, frozen=True):
    name: str = ""


class ClusterSource(_Struct, frozen=True):
    kube_config: KubeConfigSource | None = None
    cluster_profile_ref: ClusterProfileReference | None = None


class MultiKueueClusterSpec(_Struct, frozen=True):
    cluster_source: ClusterSource = ClusterSource()


class MultiKueueClusterStatus(_Struct, frozen=True):
    conditions: tuple[Condition, ...] = ()


class MultiKueueCluster(KueueObject, frozen=True):
    KIND = kinds.MULTIKUEUE_CLUSTER

    spec: MultiKueueClusterSpec = MultiKueueClusterSpec()
    status: MultiKueueClusterStatus = MultiKueueClusterStatus()


class RetryStrategy(_Struct, frozen=True):
    backoff_limit_count: int = 3
    backoff_base_seconds: int = 60
    backoff_max_seconds: int = 1800


class NodeSelectorUpdate(_Struct, frozen=True):
    key: str
    value_from_provisioning_class_detail: str = ""


class ProvisioningPodSetUpdates(_Struct, frozen=True):
    node_selector: tuple[NodeSelectorUpdate, ...] = ()


class ProvisioningRequestConfigSpec(_Struct, frozen=True):
    provisioning_class_name: str = ""
    parameters: Mapping[str, str] = {}
    managed_resources: tuple[str, ...] = ()
    retry_strategy: RetryStrategy = RetryStrategy()
    pod_set_updates: ProvisioningPodSetUpdates | None = None
    pod_set_merge_policy: str | None = None


class ProvisioningRequestConfig(KueueObject, frozen=True):
    KIND = kinds.PROVISIONING_REQUEST_CONFIG

    spec: ProvisioningRequestConfigSpec = ProvisioningRequestConfigSpec()


KUEUE_KINDS: tuple[type[KueueObject], ...] = (
    Workload, ClusterQueue, LocalQueue, Cohort, ResourceFlavor, Topology, WorkloadPriorityClass, AdmissionCheck,
    MultiKueueConfig, MultiKueueCluster, ProvisioningRequestConfig,
)  # fmt: skip
