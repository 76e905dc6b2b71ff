"""Feature gates: a frozen value that is passed in, never a global switch (spec: config.md §5)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple


class Stage(enum.Enum):
    """Maturity of a gate."""

    ALPHA = "Alpha"
    BETA = "Beta"
    GA = "GA"
    DEPRECATED = "Deprecated"


class Gate(enum.StrEnum):
    """Every gate that Kueue knows, and those of ours that Kueue does not: `PyKueue…`, which no group of gates sets."""

    ADMISSION_FAIR_SHARING = "AdmissionFairSharing"
    ADMISSION_GATED_BY = "AdmissionGatedBy"
    ASSIGN_QUEUE_LABELS_FOR_PODS = "AssignQueueLabelsForPods"
    CLEANUP_PROVISIONING_REQUESTS_ON_EVICTION = "CleanupProvisioningRequestsOnEviction"
    CONCURRENT_ADMISSION = "ConcurrentAdmission"
    CUSTOM_METRIC_LABELS = "CustomMetricLabels"
    DEFER_RAY_SERVICE_FINALIZATION_FOR_REDIS_CLEANUP = "DeferRayServiceFinalizationForRedisCleanup"
    DISABLE_WAIT_FOR_PODS_READY = "DisableWaitForPodsReady"
    ELASTIC_JOBS_VIA_WORKLOAD_SLICES = "ElasticJobsViaWorkloadSlices"
    ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS = "ElasticJobsViaWorkloadSlicesWithTAS"
    FAILURE_RECOVERY_POLICY = "FailureRecoveryPolicy"
    FAIR_SHARING_PREEMPT_WITHIN_NOMINAL = "FairSharingPreemptWithinNominal"
    FAIR_SHARING_PRIORITIZE_NON_BORROWING = "FairSharingPrioritizeNonBorrowing"
    FAST_QUOTA_RELEASE_IN_POD_INTEGRATION = "FastQuotaReleaseInPodIntegration"
    FINISH_ORPHANED_WORKLOADS = "FinishOrphanedWorkloads"
    FLAVOR_FUNGIBILITY = "FlavorFungibility"
    FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS = "FlavorFungibilityPreserveScanProgress"
    KUEUE_DRA_INTEGRATION = "KueueDRAIntegration"
    KUEUE_DRA_INTEGRATION_CONSUMABLE_CAPACITY = "KueueDRAIntegrationConsumableCapacity"
    KUEUE_DRA_INTEGRATION_EXTENDED_RESOURCE = "KueueDRAIntegrationExtendedResource"
    KUEUE_DRA_INTEGRATION_PARTITIONABLE_DEVICES = "KueueDRAIntegrationPartitionableDevices"
    KUEUE_DRA_REJECT_WORKLOADS_WHEN_DRA_DISABLED = "KueueDRARejectWorkloadsWhenDRADisabled"
    LWS_IMMUTABLE_GROUP_SIZE = "LWSImmutableGroupSize"
    LOCAL_QUEUE_METRICS = "LocalQueueMetrics"
    MANAGED_JOBS_NAMESPACE_SELECTOR_ALWAYS_RESPECTED = "ManagedJobsNamespaceSelectorAlwaysRespected"
    METRIC_FOR_WORKLOAD_CREATION_LATENCY = "MetricForWorkloadCreationLatency"
    METRICS_FOR_COHORTS = "MetricsForCohorts"
    MULTIKUEUE = "MultiKueue"
    MULTIKUEUE_ADAPTERS_FOR_CUSTOM_JOBS = "MultiKueueAdaptersForCustomJobs"
    MULTIKUEUE_CLUSTER_PROFILE = "MultiKueueClusterProfile"
    MULTIKUEUE_INCREMENTAL_DISPATCHER_CONFIG = "MultiKueueIncrementalDispatcherConfig"
    MULTIKUEUE_INCREMENTAL_DISPATCHER_RESPECT_CONFIG_ORDER = "MultiKueueIncrementalDispatcherRespectConfigOrder"
    MULTIKUEUE_KUBE_CONFIG_PATH_VALIDATION = "MultiKueueKubeConfigPathValidation"
    MULTIKUEUE_MANAGER_QUOTA_AUTOMATION = "MultiKueueManagerQuotaAutomation"
    MULTIKUEUE_ORCHESTRATED_PREEMPTION = "MultiKueueOrchestratedPreemption"
    MULTIKUEUE_REMOTE_SPEC_SYNC = "MultiKueueRemoteSpecSync"
    PARTIAL_ADMISSION = "PartialAdmission"
    POD_INTEGRATION_VALIDATE_GROUP_OWNER = "PodIntegrationValidateGroupOwner"
    PRIORITIZE_PREEMPTOR_WORKLOADS = "PrioritizePreemptorWorkloads"
    PRIORITY_BOOST = "PriorityBoost"
    PRIORITY_SORTING_WITHIN_COHORT = "PrioritySortingWithinCohort"
    PYKUEUE_SAFE_PREEMPTION = "PyKueueSafePreemption"
    PYKUEUE_START_ADMITTED_PODS = "PyKueueStartAdmittedPods"
    QUOTA_CHECK_STRATEGY = "QuotaCheckStrategy"
    RECLAIMABLE_PODS = "ReclaimablePods"
    RECOMPUTE_ASSIGNMENT_UPON_PREEMPTION_TARGETS_OVERLAP = "RecomputeAssignmentUponPreemptionTargetsOverlap"
    REJECT_UPDATES_TO_CQ_WITH_INVALID_ON_FLAVORS = "RejectUpdatesToCQWithInvalidOnFlavors"
    REMOVE_FINALIZERS_WITH_STRICT_PATCH = "RemoveFinalizersWithStrictPatch"
    SCHEDULER_LIBRARY_INTEGRATION = "SchedulerLibraryIntegration"
    SCHEDULING_EQUIVALENCE_HASHING = "SchedulingEquivalenceHashing"
    SHORT_WORKLOAD_NAMES = "ShortWorkloadNames"
    SKIP_ANCESTOR_CHECK_FOR_DELETED_WORKLOADS = "SkipAncestorCheckForDeletedWorkloads"
    SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS = "SkipReassignmentForPodOwnedWorkloads"
    SPARK_APPLICATION_INTEGRATION = "SparkApplicationIntegration"
    TAS_ASSIGNMENTS_ENCODING_BY_HOSTNAME_PREFIX = "TASAssignmentsEncodingByHostnamePrefix"
    TAS_BALANCED_PLACEMENT = "TASBalancedPlacement"
    TAS_CACHE_NODE_MATCH_RESULTS = "TASCacheNodeMatchResults"
    TAS_CACHE_TOPOLOGY_TREE = "TASCacheTopologyTree"
    TAS_CACHING_REMAINING_RESOURCES = "TASCachingRemainingResources"
    TAS_FAILED_NODE_REPLACEMENT = "TASFailedNodeReplacement"
    TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST = "TASFailedNodeReplacementFailFast"
    TAS_HANDLE_OVERLAPPING_FLAVORS = "TASHandleOverlappingFlavors"
    TAS_MULTI_LAYER_TOPOLOGY = "TASMultiLayerTopology"
    TAS_PROFILE_MIXED = "TASProfileMixed"
    TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE = "TASRecomputeAssignmentWithinSchedulingCycle"
    TAS_REPLACE_NODE_DUE_TO_NOT_READY_OVER_FIXED_TIME = "TASReplaceNodeDueToNotReadyOverFixedTime"
    TAS_REPLACE_NODE_ON_NODE_TAINTS = "TASReplaceNodeOnNodeTaints"
    TAS_REPLACE_NODE_ON_POD_TERMINATION = "TASReplaceNodeOnPodTermination"
    TAS_RESPECT_NODE_AFFINITY_PREFERRED = "TASRespectNodeAffinityPreferred"
    TAS_VALIDATE_WORKLOAD_SLICE_SIZE = "TASValidateWorkloadSliceSize"
    TLS_OPTIONS = "TLSOptions"
    TOPOLOGY_AWARE_SCHEDULING = "TopologyAwareScheduling"
    UNADMITTED_WORKLOADS_EXPLICIT_STATUS = "UnadmittedWorkloadsExplicitStatus"
    UNADMITTED_WORKLOADS_OBSERVABILITY = "UnadmittedWorkloadsObservability"
    VALIDATE_RAY_AND_SPARK_JOB_UPDATES = "ValidateRayAndSparkJobUpdates"
    VECTORIZED_RESOURCE_REQUESTS = "VectorizedResourceRequests"
    VISIBILITY_ON_DEMAND = "VisibilityOnDemand"
    WORKLOAD_IDENTIFIER_ANNOTATIONS = "WorkloadIdentifierAnnotations"
    WORKLOAD_PRIORITY_CLASS_DEFAULTING = "WorkloadPriorityClassDefaulting"
    WORKLOAD_REQUEST_USE_MERGE_PATCH = "WorkloadRequestUseMergePatch"
    WORKLOAD_VALIDATE_RESOURCES_ARE_NON_NEGATIVE = "WorkloadValidateResourcesAreNonNegative"
    WORKLOAD_VALIDATION_FOR_POD_SET_METADATA = "WorkloadValidationForPodSetMetadata"


class GateSpec(NamedTuple):
    """What is known of a gate."""

    default: bool
    stage: Stage
    locked: bool = False


GATES: Mapping[Gate, GateSpec] = {
    Gate.ADMISSION_FAIR_SHARING: GateSpec(True, Stage.BETA),  # usage-based LocalQueue ordering
    Gate.ADMISSION_GATED_BY: GateSpec(True, Stage.BETA),  # annotation admission-gated-by
    Gate.ASSIGN_QUEUE_LABELS_FOR_PODS: GateSpec(True, Stage.BETA),  # queue-name labels on pods
    Gate.CLEANUP_PROVISIONING_REQUESTS_ON_EVICTION: GateSpec(
        True, Stage.BETA
    ),  # delete ProvisioningRequests of an evicted workload
    Gate.CONCURRENT_ADMISSION: GateSpec(False, Stage.ALPHA),  # one variant per flavor in parallel
    Gate.CUSTOM_METRIC_LABELS: GateSpec(False, Stage.ALPHA),  # `metrics.customLabels`
    Gate.DEFER_RAY_SERVICE_FINALIZATION_FOR_REDIS_CLEANUP: GateSpec(
        True, Stage.BETA
    ),  # keep a deleting RayService workload until the Redis cleanup job ended
    Gate.DISABLE_WAIT_FOR_PODS_READY: GateSpec(False, Stage.ALPHA),  # switch waitForPodsReady off
    Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES: GateSpec(True, Stage.BETA),  # workload slices
    Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS: GateSpec(False, Stage.ALPHA),  # the same with topology
    Gate.FAILURE_RECOVERY_POLICY: GateSpec(False, Stage.ALPHA),  # force-delete pods stuck terminating on lost nodes
    Gate.FAIR_SHARING_PREEMPT_WITHIN_NOMINAL: GateSpec(True, Stage.BETA),  # preempt freely inside nominal quota
    Gate.FAIR_SHARING_PRIORITIZE_NON_BORROWING: GateSpec(True, Stage.BETA),  # non-borrowing subtree first
    Gate.FAST_QUOTA_RELEASE_IN_POD_INTEGRATION: GateSpec(False, Stage.ALPHA),  # terminating pods count as inactive
    Gate.FINISH_ORPHANED_WORKLOADS: GateSpec(True, Stage.BETA),  # finish workloads whose owner is gone
    Gate.FLAVOR_FUNGIBILITY: GateSpec(True, Stage.BETA),  # flavor fungibility
    Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS: GateSpec(True, Stage.BETA),  # keep the flavor resume index longer
    Gate.KUEUE_DRA_INTEGRATION: GateSpec(True, Stage.BETA),  # §8
    Gate.KUEUE_DRA_INTEGRATION_CONSUMABLE_CAPACITY: GateSpec(False, Stage.ALPHA),  # capacity sources
    Gate.KUEUE_DRA_INTEGRATION_EXTENDED_RESOURCE: GateSpec(True, Stage.BETA),  # extended resources backed by DRA
    Gate.KUEUE_DRA_INTEGRATION_PARTITIONABLE_DEVICES: GateSpec(True, Stage.BETA),  # counter sources
    Gate.KUEUE_DRA_REJECT_WORKLOADS_WHEN_DRA_DISABLED: GateSpec(
        True, Stage.BETA
    ),  # reject DRA workloads when DRA is off
    Gate.LWS_IMMUTABLE_GROUP_SIZE: GateSpec(True, Stage.BETA),  # LWS group size immutable
    Gate.LOCAL_QUEUE_METRICS: GateSpec(True, Stage.BETA),  # LocalQueue metrics
    Gate.MANAGED_JOBS_NAMESPACE_SELECTOR_ALWAYS_RESPECTED: GateSpec(
        True, Stage.GA, locked=True
    ),  # selector also for jobs with queue-name; locked
    Gate.METRIC_FOR_WORKLOAD_CREATION_LATENCY: GateSpec(True, Stage.BETA),  # metric
    Gate.METRICS_FOR_COHORTS: GateSpec(True, Stage.BETA),  # cohort metrics and cluster_queue_info
    Gate.MULTIKUEUE: GateSpec(True, Stage.BETA),  # MultiKueue
    Gate.MULTIKUEUE_ADAPTERS_FOR_CUSTOM_JOBS: GateSpec(True, Stage.BETA),  # generic adapter
    Gate.MULTIKUEUE_CLUSTER_PROFILE: GateSpec(False, Stage.ALPHA),  # ClusterProfile source
    Gate.MULTIKUEUE_INCREMENTAL_DISPATCHER_CONFIG: GateSpec(True, Stage.BETA),  # stepSize
    Gate.MULTIKUEUE_INCREMENTAL_DISPATCHER_RESPECT_CONFIG_ORDER: GateSpec(
        True, Stage.BETA
    ),  # nominate in config order (off: alphabetical)
    Gate.MULTIKUEUE_KUBE_CONFIG_PATH_VALIDATION: GateSpec(
        True, Stage.BETA
    ),  # path kubeconfigs only under /etc/multikueue/kubeconfigs/
    Gate.MULTIKUEUE_MANAGER_QUOTA_AUTOMATION: GateSpec(False, Stage.ALPHA),  # manager quota from workers
    Gate.MULTIKUEUE_ORCHESTRATED_PREEMPTION: GateSpec(False, Stage.ALPHA),  # preemption gates across workers
    Gate.MULTIKUEUE_REMOTE_SPEC_SYNC: GateSpec(
        True, Stage.BETA
    ),  # forward manager spec edits (RayService serveConfigV2)
    Gate.PARTIAL_ADMISSION: GateSpec(True, Stage.BETA),  # minCount
    Gate.POD_INTEGRATION_VALIDATE_GROUP_OWNER: GateSpec(
        True, Stage.BETA
    ),  # do not adopt a Workload lacking is-group-workload
    Gate.PRIORITIZE_PREEMPTOR_WORKLOADS: GateSpec(False, Stage.ALPHA),  # preemptors first in the cycle
    Gate.PRIORITY_BOOST: GateSpec(False, Stage.ALPHA),  # annotation priority-boost
    Gate.PRIORITY_SORTING_WITHIN_COHORT: GateSpec(True, Stage.BETA),  # priority across CQs of a cohort
    Gate.PYKUEUE_SAFE_PREEMPTION: GateSpec(False, Stage.GA),  # ours: seats kept for preemptors, loops cut
    Gate.PYKUEUE_START_ADMITTED_PODS: GateSpec(True, Stage.GA),  # ours: pods of admitted groups are not gated
    Gate.QUOTA_CHECK_STRATEGY: GateSpec(True, Stage.BETA),  # config quotaCheckStrategy
    Gate.RECLAIMABLE_PODS: GateSpec(True, Stage.BETA),  # reclaimable pods
    Gate.RECOMPUTE_ASSIGNMENT_UPON_PREEMPTION_TARGETS_OVERLAP: GateSpec(
        True, Stage.BETA
    ),  # recompute on overlapping victims
    Gate.REJECT_UPDATES_TO_CQ_WITH_INVALID_ON_FLAVORS: GateSpec(False, Stage.ALPHA),  # `webhooks.md` §3.2
    Gate.REMOVE_FINALIZERS_WITH_STRICT_PATCH: GateSpec(True, Stage.BETA),  # finalizer removal with resourceVersion
    Gate.SCHEDULER_LIBRARY_INTEGRATION: GateSpec(False, Stage.ALPHA),  # external scheduler library simulator
    Gate.SCHEDULING_EQUIVALENCE_HASHING: GateSpec(True, Stage.BETA),  # park equivalent workloads together
    Gate.SHORT_WORKLOAD_NAMES: GateSpec(False, Stage.ALPHA),  # generated names ≤63
    Gate.SKIP_ANCESTOR_CHECK_FOR_DELETED_WORKLOADS: GateSpec(True, Stage.BETA),  # no owner walk for deleting objects
    Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS: GateSpec(
        True, Stage.BETA
    ),  # no TAS reassignment for single-pod workloads
    Gate.SPARK_APPLICATION_INTEGRATION: GateSpec(False, Stage.ALPHA),  # SparkApplication
    Gate.TAS_ASSIGNMENTS_ENCODING_BY_HOSTNAME_PREFIX: GateSpec(True, Stage.BETA),  # assignment encoding
    Gate.TAS_BALANCED_PLACEMENT: GateSpec(False, Stage.ALPHA),  # balanced placement
    Gate.TAS_CACHE_NODE_MATCH_RESULTS: GateSpec(True, Stage.BETA),  # optimisation
    Gate.TAS_CACHE_TOPOLOGY_TREE: GateSpec(True, Stage.BETA),  # optimisation
    Gate.TAS_CACHING_REMAINING_RESOURCES: GateSpec(True, Stage.BETA),  # optimisation
    Gate.TAS_FAILED_NODE_REPLACEMENT: GateSpec(True, Stage.BETA),  # replace failed node
    Gate.TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST: GateSpec(True, Stage.BETA),  # evict if the first replacement fails
    Gate.TAS_HANDLE_OVERLAPPING_FLAVORS: GateSpec(True, Stage.BETA),  # several flavors on one node
    Gate.TAS_MULTI_LAYER_TOPOLOGY: GateSpec(True, Stage.BETA),  # slice constraints list
    Gate.TAS_PROFILE_MIXED: GateSpec(True, Stage.BETA),  # BestFit, LeastFreeCapacity for unconstrained
    Gate.TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE: GateSpec(
        True, Stage.BETA
    ),  # recompute topology in the cycle
    Gate.TAS_REPLACE_NODE_DUE_TO_NOT_READY_OVER_FIXED_TIME: GateSpec(
        False, Stage.DEPRECATED
    ),  # node NotReady for a fixed time = failed
    Gate.TAS_REPLACE_NODE_ON_NODE_TAINTS: GateSpec(True, Stage.BETA),  # taints make a node failed
    Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION: GateSpec(True, Stage.BETA),  # NotReady and pods terminating = failed
    Gate.TAS_RESPECT_NODE_AFFINITY_PREFERRED: GateSpec(False, Stage.ALPHA),  # preferred node affinity
    Gate.TAS_VALIDATE_WORKLOAD_SLICE_SIZE: GateSpec(True, Stage.BETA),  # webhook check
    Gate.TLS_OPTIONS: GateSpec(True, Stage.GA, locked=True),  # config `tls`; locked
    Gate.TOPOLOGY_AWARE_SCHEDULING: GateSpec(True, Stage.BETA),  # TAS
    Gate.UNADMITTED_WORKLOADS_EXPLICIT_STATUS: GateSpec(
        False, Stage.BETA
    ),  # write False conditions from the first reconcile
    Gate.UNADMITTED_WORKLOADS_OBSERVABILITY: GateSpec(True, Stage.BETA),  # fine reasons and unadmitted metrics
    Gate.VALIDATE_RAY_AND_SPARK_JOB_UPDATES: GateSpec(True, Stage.BETA),  # webhook check
    Gate.VECTORIZED_RESOURCE_REQUESTS: GateSpec(True, Stage.BETA),  # optimisation
    Gate.VISIBILITY_ON_DEMAND: GateSpec(True, Stage.BETA),  # visibility server
    Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS: GateSpec(True, Stage.BETA),  # group and prebuilt names as annotations
    Gate.WORKLOAD_PRIORITY_CLASS_DEFAULTING: GateSpec(True, Stage.BETA),  # class `default`
    Gate.WORKLOAD_REQUEST_USE_MERGE_PATCH: GateSpec(False, Stage.ALPHA),  # merge patch instead of apply
    Gate.WORKLOAD_VALIDATE_RESOURCES_ARE_NON_NEGATIVE: GateSpec(True, Stage.BETA),  # webhook check
    Gate.WORKLOAD_VALIDATION_FOR_POD_SET_METADATA: GateSpec(True, Stage.BETA),  # webhook check
}

DEPENDENCIES: Mapping[Gate, tuple[Gate, ...]] = {
    Gate.TAS_FAILED_NODE_REPLACEMENT: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_BALANCED_PLACEMENT: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_REPLACE_NODE_ON_NODE_TAINTS: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_MULTI_LAYER_TOPOLOGY: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_RESPECT_NODE_AFFINITY_PREFERRED: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_HANDLE_OVERLAPPING_FLAVORS: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_PROFILE_MIXED: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE: (Gate.TOPOLOGY_AWARE_SCHEDULING,),
    Gate.TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST: (
        Gate.TOPOLOGY_AWARE_SCHEDULING,
        Gate.TAS_FAILED_NODE_REPLACEMENT,
    ),
    Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION: (
        Gate.TOPOLOGY_AWARE_SCHEDULING,
        Gate.TAS_FAILED_NODE_REPLACEMENT,
    ),
    Gate.TAS_REPLACE_NODE_DUE_TO_NOT_READY_OVER_FIXED_TIME: (
        Gate.TOPOLOGY_AWARE_SCHEDULING,
        Gate.TAS_FAILED_NODE_REPLACEMENT,
    ),
    Gate.UNADMITTED_WORKLOADS_EXPLICIT_STATUS: (Gate.UNADMITTED_WORKLOADS_OBSERVABILITY,),
    Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS: (
        Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES,
        Gate.TOPOLOGY_AWARE_SCHEDULING,
    ),
    Gate.KUEUE_DRA_INTEGRATION_EXTENDED_RESOURCE: (Gate.KUEUE_DRA_INTEGRATION,),
    Gate.KUEUE_DRA_INTEGRATION_PARTITIONABLE_DEVICES: (Gate.KUEUE_DRA_INTEGRATION,),
    Gate.KUEUE_DRA_INTEGRATION_CONSUMABLE_CAPACITY: (Gate.KUEUE_DRA_INTEGRATION,),
    Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS: (Gate.FLAVOR_FUNGIBILITY,),
}

WITHOUT_EFFECT: tuple[Gate, ...] = (
    Gate.CLEANUP_PROVISIONING_REQUESTS_ON_EVICTION,
    Gate.CUSTOM_METRIC_LABELS,
    Gate.DEFER_RAY_SERVICE_FINALIZATION_FOR_REDIS_CLEANUP,
    Gate.FAILURE_RECOVERY_POLICY,
    Gate.KUEUE_DRA_INTEGRATION,
    Gate.KUEUE_DRA_INTEGRATION_CONSUMABLE_CAPACITY,
    Gate.KUEUE_DRA_INTEGRATION_EXTENDED_RESOURCE,
    Gate.KUEUE_DRA_INTEGRATION_PARTITIONABLE_DEVICES,
    Gate.KUEUE_DRA_REJECT_WORKLOADS_WHEN_DRA_DISABLED,
    Gate.MULTIKUEUE_ADAPTERS_FOR_CUSTOM_JOBS,
    Gate.MULTIKUEUE_CLUSTER_PROFILE,
    Gate.MULTIKUEUE_INCREMENTAL_DISPATCHER_CONFIG,
    Gate.MULTIKUEUE_INCREMENTAL_DISPATCHER_RESPECT_CONFIG_ORDER,
    Gate.MULTIKUEUE_KUBE_CONFIG_PATH_VALIDATION,
    Gate.MULTIKUEUE_MANAGER_QUOTA_AUTOMATION,
    Gate.MULTIKUEUE_REMOTE_SPEC_SYNC,
    Gate.REMOVE_FINALIZERS_WITH_STRICT_PATCH,
    Gate.SCHEDULER_LIBRARY_INTEGRATION,
    Gate.TAS_CACHE_NODE_MATCH_RESULTS,
    Gate.TAS_CACHE_TOPOLOGY_TREE,
    Gate.TAS_CACHING_REMAINING_RESOURCES,
    Gate.VALIDATE_RAY_AND_SPARK_JOB_UPDATES,
    Gate.VECTORIZED_RESOURCE_REQUESTS,
)
"""Gates of what is absent, and of Kueue's own optimisations. `tests/tidy/test_house.py` finds those that are missing or too many."""


class Features(dict[Gate, bool]):
    """The gates in force: `features[Gate.X]` tells whether X is on. `Features()` has the defaults. Never changed once it is made."""

    def __init__(self, overrides: Mapping[Gate, bool] | None = None) -> None:
        super().__init__({gate: spec.default for gate, spec in GATES.items()} | dict(overrides or {}))


def parse_features(values: Mapping[str, bool]) -> tuple[Features, list[str]]:
    """Build the gates from `featureGates` or `--feature-gates`, with all faults (spec: config.md §5).

    Returns:
        the gates in force and the faults, in Kueue's words; the gates are of use only if there is no fault.
    """
    overrides: dict[Gate, bool] = {}
    faults: list[str] = []
    for group, stage in (("AllAlpha", Stage.ALPHA), ("AllBeta", Stage.BETA)):
        if group in values:
            overrides |= {g: values[group] for g, spec in GATES.items() if spec.stage is stage and not spec.locked}
    for name, value in values.items():
        if name in ("AllAlpha", "AllBeta"):
            continue
        try:
            gate = Gate(name)
        except ValueError:
            faults.append(f"unrecognized feature gate: {name}")
            continue
        if GATES[gate].locked and value != GATES[gate].default:
            locked = str(GATES[gate].default).lower()
            faults.append(f"cannot set feature gate {name} to {str(value).lower()}, feature is locked to {locked}")
            continue
        overrides[gate] = value
    features = Features(overrides)
    for gate, needed in DEPENDENCIES.items():
        off = [g.value for g in needed if not features[g]]
        if features[gate] and off:
            faults.append(f"{gate.value} is enabled, but depends on features that are disabled: [{' '.join(off)}]")
    return features, faults


def without_effect(features: Features) -> list[str]:
    """One sentence for each gate that is not at its default and switches nothing here."""
    return [
        f"featureGates.{gate} has no effect: it switches nothing in this release"
        for gate in WITHOUT_EFFECT
        if features[gate] != GATES[gate].default
    ]
