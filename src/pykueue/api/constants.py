"""Names that users and other programs see, spelled exactly as in Kueue (spec: api.md §1.5, §12)."""

from __future__ import annotations

import enum

PREFIX = "kueue.x-k8s.io/"


class Label(enum.StrEnum):
    """Label keys."""

    QUEUE_NAME = PREFIX + "queue-name"
    PRIORITY_CLASS = PREFIX + "priority-class"
    MAX_EXEC_TIME_SECONDS = PREFIX + "max-exec-time-seconds"
    PREBUILT_WORKLOAD_NAME = PREFIX + "prebuilt-workload-name"
    """Also an annotation."""
    JOB_UID = PREFIX + "job-uid"
    MANAGED = PREFIX + "managed"
    POD_SET = PREFIX + "podset"
    CLUSTER_QUEUE_NAME = PREFIX + "cluster-queue-name"
    LOCAL_QUEUE_NAME = PREFIX + "local-queue-name"
    POD_GROUP_NAME = PREFIX + "pod-group-name"
    """Also an annotation."""
    POD_GROUP_POD_INDEX = PREFIX + "pod-group-pod-index"
    MULTIKUEUE_ORIGIN = PREFIX + "multikueue-origin"
    MULTIKUEUE_WORKER_WORKLOAD_POD = PREFIX + "multikueue-worker-workload-pod"
    CONCURRENT_ADMISSION_PARENT = PREFIX + "concurrent-admission-parent"


class Annotation(enum.StrEnum):
    """Annotation keys."""

    PREBUILT_WORKLOAD_NAME = PREFIX + "prebuilt-workload-name"
    POD_GROUP_NAME = PREFIX + "pod-group-name"
    POD_GROUP_POD_INDEX_LABEL = PREFIX + "pod-group-pod-index-label"
    POD_GROUP_TOTAL_COUNT = PREFIX + "pod-group-total-count"
    POD_GROUP_FAST_ADMISSION = PREFIX + "pod-group-fast-admission"
    POD_GROUP_SERVING = PREFIX + "pod-group-serving"
    RETRIABLE_IN_GROUP = PREFIX + "retriable-in-group"
    ROLE_HASH = PREFIX + "role-hash"
    POD_SUSPENDING_PARENT = PREFIX + "pod-suspending-parent"
    IS_GROUP_WORKLOAD = PREFIX + "is-group-workload"
    MULTIKUEUE_ORIGIN_UID = PREFIX + "multikueue-origin-uid"
    ADMISSION_GATED_BY = PREFIX + "admission-gated-by"
    ELASTIC_JOB = PREFIX + "elastic-job"
    WORKLOAD_SLICE_NAME = PREFIX + "workload-slice-name"
    WORKLOAD_SLICE_REPLACEMENT_FOR = PREFIX + "workload-slice-replacement-for"
    WORKLOAD = PREFIX + "workload"
    POD_SET_REQUIRED_TOPOLOGY = PREFIX + "podset-required-topology"
    POD_SET_PREFERRED_TOPOLOGY = PREFIX + "podset-preferred-topology"
    POD_SET_UNCONSTRAINED_TOPOLOGY = PREFIX + "podset-unconstrained-topology"
    POD_SET_SLICE_REQUIRED_TOPOLOGY = PREFIX + "podset-slice-required-topology"
    POD_SET_SLICE_SIZE = PREFIX + "podset-slice-size"
    POD_SET_SLICE_CONSTRAINTS = PREFIX + "podset-slice-required-topology-constraints"
    POD_SET_GROUP_NAME = PREFIX + "podset-group-name"
    POD_INDEX_OFFSET = PREFIX + "pod-index-offset"
    JOB_MIN_PARALLELISM = PREFIX + "job-min-parallelism"
    JOB_COMPLETIONS_EQUAL_PARALLELISM = PREFIX + "job-completions-equal-parallelism"
    STOPPING = PREFIX + "stopping"
    JOB_OWNER_GVK = PREFIX + "job-owner-gvk"
    JOB_OWNER_NAME = PREFIX + "job-owner-name"
    COMPONENT_WORKLOAD_INDEX = PREFIX + "component-workload-index"
    PRIORITY_BOOST = PREFIX + "priority-boost"
    ALLOWED_RESOURCE_FLAVORS = PREFIX + "workload-allowed-resource-flavors"
    SAFE_TO_FORCEFULLY_DELETE = PREFIX + "safe-to-forcefully-delete"


class SchedulingGate(enum.StrEnum):
    """Pod scheduling gates."""

    ADMISSION = PREFIX + "admission"
    TOPOLOGY = PREFIX + "topology"
    ELASTIC_JOB = PREFIX + "elastic-job"


RESOURCE_IN_USE_FINALIZER = PREFIX + "resource-in-use"
POD_FINALIZER = PREFIX + "managed"
PROVREQ_ANNOTATION_PREFIX = "provreq.kueue.x-k8s.io/"
DEFAULT_LOCAL_QUEUE = "default"
DEFAULT_PRIORITY_CLASS = "default"
DEFAULT_POD_SET = "main"
ADMISSION_FIELD_MANAGER = "kueue-admission"


class WorkloadCondition(enum.StrEnum):
    """Types of a Workload's conditions."""

    QUOTA_RESERVED = "QuotaReserved"
    ADMITTED = "Admitted"
    FINISHED = "Finished"
    PODS_READY = "PodsReady"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    REQUEUED = "Requeued"
    DEACTIVATION_TARGET = "DeactivationTarget"
    WAITING_FOR_REPLACEMENT_PODS = "WaitingForReplacementPods"
    BLOCKED_ON_PREEMPTION_GATES = "BlockedOnPreemptionGates"


class Reason(enum.StrEnum):
    """Reasons of a Workload's conditions."""

    QUOTA_RESERVED = "QuotaReserved"
    NO_MATCHING_FLAVOR = "NoMatchingFlavor"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    EXCEEDS_MAX_QUOTA = "ExceedsMaxQuota"
    TOPOLOGY_PLACEMENT_FAILED = "TopologyPlacementFailed"
    WAITING_FOR_PREEMPTED_WORKLOADS = "WaitingForPreemptedWorkloads"
    MISCONFIGURED = "Misconfigured"
    SUSPENDED = "Suspended"
    PENDING_EVALUATION = "PendingEvaluation"
    WAITING_FOR_PODS_READY = "WaitingForPodsReady"
    ON_HOLD = "OnHold"
    ADMISSION_GATED = "AdmissionGated"
    PENDING = "Pending"
    WAITING = "Waiting"
    INADMISSIBLE = "Inadmissible"
    ADMITTED = "Admitted"
    NO_RESERVATION = "NoReservation"
    UNSATISFIED_ADMISSION_CHECKS = "UnsatisfiedAdmissionChecks"
    UNSATISFIED_CHECKS = "UnsatisfiedChecks"
    PENDING_DELAYED_TOPOLOGY_REQUESTS = "PendingDelayedTopologyRequests"
    NO_RESERVATION_UNSATISFIED_CHECKS = "NoReservationUnsatisfiedChecks"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    FAILED_TO_START = "FailedToStart"
    OUT_OF_SYNC = "OutOfSync"
    OWNER_NOT_FOUND = "OwnerNotFound"
    WORKLOAD_SLICE_REPLACED = "WorkloadSliceReplaced"
    STARTED = "Started"
    RECOVERED = "Recovered"
    WAIT_FOR_START = "WaitForStart"
    WAIT_FOR_RECOVERY = "WaitForRecovery"
    PREEMPTED = "Preempted"
    PODS_READY_TIMEOUT = "PodsReadyTimeout"
    ADMISSION_CHECK = "AdmissionCheck"
    CLUSTER_QUEUE_STOPPED = "ClusterQueueStopped"
    LOCAL_QUEUE_STOPPED = "LocalQueueStopped"
    NODE_FAILURES = "NodeFailures"
    DEACTIVATED = "Deactivated"
    REACTIVATED = "Reactivated"
    BACKOFF_FINISHED = "BackoffFinished"
    CLUSTER_QUEUE_RESTARTED = "ClusterQueueRestarted"
    LOCAL_QUEUE_RESTARTED = "LocalQueueRestarted"
    IN_CLUSTER_QUEUE = "InClusterQueue"
    IN_COHORT_RECLAMATION = "InCohortReclamation"
    IN_COHORT_FAIR_SHARING = "InCohortFairSharing"
    IN_COHORT_RECLAIM_WHILE_BORROWING = "InCohortReclaimWhileBorrowing"
    REQUEUING_LIMIT_EXCEEDED = "RequeuingLimitExceeded"
    MAXIMUM_EXECUTION_TIME_EXCEEDED = "MaximumExecutionTimeExceeded"
    PODS_FAILED = "PodsFailed"
    PODS_READY = "PodsReady"
    PREEMPTION_GATED = "PreemptionGated"


class QueueReason(enum.StrEnum):
    """Reasons of the condition `Active` of ClusterQueues and LocalQueues."""

    READY = "Ready"
    STOPPED = "Stopped"
    TERMINATING = "Terminating"
    FLAVOR_NOT_FOUND = "FlavorNotFound"
    ADMISSION_CHECK_NOT_FOUND = "AdmissionCheckNotFound"
    ADMISSION_CHECK_INACTIVE = "AdmissionCheckInactive"
    MULTIPLE_MULTIKUEUE_CHECKS = "MultipleMultiKueueAdmissionChecks"
    MULTIKUEUE_CHECK_PER_FLAVOR = "MultiKueueAdmissionCheckAppliedPerFlavor"
    MULTIKUEUE_WITH_PROVISIONING = "MultiKueueWithProvisioningRequest"
    TOPOLOGY_NOT_FOUND = "TopologyNotFound"
    CLUSTER_QUEUE_DOES_NOT_EXIST = "ClusterQueueDoesNotExist"
    CLUSTER_QUEUE_IS_INACTIVE = "ClusterQueueIsInactive"


class StopPolicy(enum.StrEnum):
    """`spec.stopPolicy` of queues."""

    NONE = "None"
    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"
