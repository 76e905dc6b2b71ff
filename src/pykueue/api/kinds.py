"""The kinds this product reads and writes, as values.

A Kind names one resource: its group, version, kind, plural and scope. Kinds that clusters may lack
(LeaderWorkerSet, say) are here as well; whether a cluster serves them is discovery's business.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Reference(Protocol):
    """What a reference says of an object's kind; owner references are such."""

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` for the core group."""
        ...

    @property
    def kind(self) -> str:
        """CamelCase name."""
        ...


class Kind(msgspec.Struct, frozen=True, order=True):
    """One resource of the API.

    Attributes:
        group: API group, empty for the core group.
        version: for example `v1`.
        kind: CamelCase name.
        plural: the resource's name in URLs.
        namespaced: whether its objects live in namespaces.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvk(self) -> str:
        """The form Kueue prints: `leaderworkerset.x-k8s.io/v1, Kind=LeaderWorkerSet`."""
        return f"{self.api_version}, Kind={self.kind}"

    @property
    def group_version_kind(self) -> dict[str, str]:
        """Group, version and kind, as discovery and OpenAPI documents tell them."""
        return {"group": self.group, "version": self.version, "kind": self.kind}

    def is_kind_of(self, ref: Reference) -> bool:
        """Whether a reference is to an object of this kind, whatever version it names."""
        return ref.kind == self.kind and ref.api_version.rpartition("/")[0] == self.group

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of a collection (no name), an object, or a sub-resource of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(part for part in (root + scope, self.plural, name, subresource) if part)


KUEUE_GROUP = "kueue.x-k8s.io"
VISIBILITY_GROUP = "visibility.kueue.x-k8s.io"

# Ours.
WORKLOAD = Kind(KUEUE_GROUP, "v1beta2", "Workload", "workloads")
CLUSTER_QUEUE = Kind(KUEUE_GROUP, "v1beta2", "ClusterQueue", "clusterqueues", namespaced=False)
LOCAL_QUEUE = Kind(KUEUE_GROUP, "v1beta2", "LocalQueue", "localqueues")
COHORT = Kind(KUEUE_GROUP, "v1beta2", "Cohort", "cohorts", namespaced=False)
RESOURCE_FLAVOR = Kind(KUEUE_GROUP, "v1beta2", "ResourceFlavor", "resourceflavors", namespaced=False)
TOPOLOGY = Kind(KUEUE_GROUP, "v1beta2", "Topology", "topologies", namespaced=False)
WORKLOAD_PRIORITY_CLASS = Kind(
    KUEUE_GROUP, "v1beta2", "WorkloadPriorityClass", "workloadpriorityclasses", namespaced=False
)
ADMISSION_CHECK = Kind(KUEUE_GROUP, "v1beta2", "AdmissionCheck", "admissionchecks", namespaced=False)
MULTIKUEUE_CONFIG = Kind(KUEUE_GROUP, "v1beta2", "MultiKueueConfig", "multikueueconfigs", namespaced=False)
MULTIKUEUE_CLUSTER = Kind(KUEUE_GROUP, "v1beta2", "MultiKueueCluster", "multikueueclusters", namespaced=False)
PROVISIONING_REQUEST_CONFIG = Kind(
    KUEUE_GROUP, "v1beta2", "ProvisioningRequestConfig", "provisioningrequestconfigs", namespaced=False
)

# Kubernetes'.
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
POD = Kind("", "v1", "Pod", "pods")
SERVICE = Kind("", "v1", "Service", "services")
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
API_SERVICE = Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False)
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
LIMIT_RANGE = Kind("", "v1", "LimitRange", "limitranges")
POD_TEMPLATE = Kind("", "v1", "PodTemplate", "podtemplates")
CORE_EVENT = Kind("", "v1", "Event", "events")
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
JOB = Kind("batch", "v1", "Job", "jobs")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)
RUNTIME_CLASS = Kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", namespaced=False)
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
_WEBHOOKS = "admissionregistration.k8s.io"
MUTATING_WEBHOOKS = Kind(
    _WEBHOOKS, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False
)
VALIDATING_WEBHOOKS = Kind(
    _WEBHOOKS, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)

# LeaderWorkerSet's.
LEADER_WORKER_SET = Kind("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets")
