"""The effective configuration (`config.kueue.x-k8s.io/v1beta2`), with the defaults of spec config.md §2.

The structs mirror the wire: `wire.py` reads and writes them by their field names, so a field added here is a field of the
file. Durations are integers of microseconds, named `…_us` here and without that on the wire, where they are `metav1.Duration`
strings. The defaults written here are those of a file that says nothing; what depends on other fields is in `load.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NewType

import msgspec

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US


QuantityText = NewType("QuantityText", str)
"""A quantity in its canonical form; a file may write it as a number."""


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class LabelSelectorRequirement(_Struct, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(_Struct, frozen=True):
    """The form of a label selector. Selectors are kept raw, as `matches_labels` takes them, and only checked against this."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class WebhookServer(_Struct, frozen=True):
    port: int = 9443
    host: str = ""
    cert_dir: str = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108 - Kueue's default


class CustomLabel(_Struct, frozen=True):
    name: str = ""
    source_label_key: str = ""
    source_annotation_key: str = ""
    source_kind: str = "ClusterQueue"
    tracked_values: tuple[str, ...] = ()


class LocalQueueMetrics(_Struct, frozen=True):
    enable: bool = False
    local_queue_selector: Mapping[str, Any] | None = None


class Metrics(_Struct, frozen=True):
    bind_address: str = ":8443"
    enable_cluster_queue_resources: bool = False
    local_queue_metrics: LocalQueueMetrics = LocalQueueMetrics(enable=True)
    custom_labels: tuple[CustomLabel, ...] = ()


class Health(_Struct, frozen=True):
    health_probe_bind_address: str = ":8081"
    readiness_endpoint_name: str = ""
    liveness_endpoint_name: str = ""


class LeaderElection(_Struct, frozen=True):
    leader_elect: bool = True
    resource_name: str = "c1f6bfd2.kueue.x-k8s.io"
    resource_lock: str = "leases"
    resource_namespace: str = ""
    lease_duration_us: int = 15 * SECOND_US
    renew_deadline_us: int = 10 * SECOND_US
    retry_period_us: int = 2 * SECOND_US


class ControllerOptions(_Struct, frozen=True):
    group_kind_concurrency: Mapping[str, int] = {}
    cache_sync_timeout_us: int = 2 * MINUTE_US


class TLSOptions(_Struct, frozen=True):
    min_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    curve_preferences: tuple[int, ...] = ()


class InternalCertManagement(_Struct, frozen=True):
    enable: bool = True
    webhook_service_name: str = "kueue-webhook-service"
    webhook_secret_name: str = "kueue-webhook-server-cert"  # noqa: S105 - the name of a Secret


class RequeuingStrategy(_Struct, frozen=True):
    timestamp: str = "Eviction"
    backoff_limit_count: int | None = None
    backoff_base_seconds: int = 60
    backoff_max_seconds: int = 3600


class WaitForPodsReady(_Struct, frozen=True):
    timeout_us: int = 30 * MINUTE_US
    recovery_timeout_us: int = 30 * MINUTE_US
    """0 means no limit."""
    block_admission: bool = False
    requeuing_strategy: RequeuingStrategy = RequeuingStrategy()


class ClientConnection(_Struct, frozen=True):
    qps: float = 300
    burst: int = 500


class Integrations(_Struct, frozen=True):
    frameworks: tuple[str, ...] = ("batch/job",)
    external_frameworks: tuple[str, ...] = ()
    label_keys_to_copy: tuple[str, ...] = ()


class IncrementalDispatcherConfig(_Struct, frozen=True):
    step_size: int | None = None


class ExternalFramework(_Struct, frozen=True):
    name: str = ""
    """`Kind.version.group`."""


class ExecEnvVar(_Struct, frozen=True):
    name: str = ""
    value: str = ""


class ExecConfig(_Struct, frozen=True):
    """client-go's `ExecConfig`: a command that answers with credentials."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[ExecEnvVar, ...] = ()
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AccessProvider(_Struct, frozen=True):
    name: str = ""
    exec_config: ExecConfig = ExecConfig()


class ClusterProfile(_Struct, frozen=True):
    access_providers: tuple[AccessProvider, ...] = ()
    credentials_providers: tuple[AccessProvider, ...] = ()
    """Deprecated alias of `access_providers`."""


class MultiKueue(_Struct, frozen=True):
    gc_interval_us: int = MINUTE_US
    origin: str = "multikueue"
    worker_lost_timeout_us: int = 15 * MINUTE_US
    dispatcher_name: str = "kueue.x-k8s.io/multikueue-dispatcher-all-at-once"
    incremental_dispatcher_config: IncrementalDispatcherConfig | None = None
    external_frameworks: tuple[ExternalFramework, ...] = ()
    cluster_profile: ClusterProfile | None = None


class FairSharing(_Struct, frozen=True):
    preemption_strategies: tuple[str, ...] = ("LessThanOrEqualToFinalShare", "LessThanInitialShare")


class AdmissionFairSharing(_Struct, frozen=True):
    usage_half_life_time_us: int = 0
    usage_sampling_interval_us: int = 5 * MINUTE_US
    resource_weights: Mapping[str, float] = {}


class Transformation(_Struct, frozen=True):
    input: str = ""
    strategy: str = "Retain"
    multiply_by: str = ""
    outputs: Mapping[str, QuantityText] = {}
    """Resource name to quantity."""


class CelSelector(_Struct, frozen=True):
    expression: str = ""


class DeviceSelector(_Struct, frozen=True):
    cel: CelSelector = CelSelector()


class DeviceSource(_Struct, frozen=True):
    """A counter or a capacity of devices that quota is counted in."""

    name: str = ""
    driver: str = ""
    device_selector: DeviceSelector | None = None


class DeviceClassSource(_Struct, frozen=True):
    """Exactly one of the two."""

    counter: DeviceSource | None = None
    capacity: DeviceSource | None = None


class DeviceClassMapping(_Struct, frozen=True):
    name: str = ""
    device_class_names: tuple[str, ...] = ()
    sources: tuple[DeviceClassSource, ...] = ()


class Resources(_Struct, frozen=True):
    quota_check_strategy: str = "BlockUndeclared"
    exclude_resource_prefixes: tuple[str, ...] = ()
    transformations: tuple[Transformation, ...] = ()
    device_class_mappings: tuple[DeviceClassMapping, ...] = ()


class WorkloadRetention(_Struct, frozen=True):
    after_finished_us: int | None = None
    """None keeps them."""
    after_deactivated_by_kueue_us: int | None = None


class ObjectRetentionPolicies(_Struct, frozen=True):
    workloads: WorkloadRetention = WorkloadRetention()


class VisibilityServer(_Struct, frozen=True):
    bind_address: str = ""
    bind_port: int = 8082


def default_namespace_selector(namespace: str) -> Mapping[str, Any]:
    """The selector of a file that names none: all namespaces but the system's and the manager's own."""
    values = ["kube-system", namespace]
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": values}]}


class Configuration(_Struct, frozen=True):
    """The configuration in force."""

    namespace: str = "kueue-system"
    webhook: WebhookServer = WebhookServer()
    metrics: Metrics = Metrics()
    health: Health = Health()
    pprof_bind_address: str = ""
    leader_election: LeaderElection = LeaderElection()
    controller: ControllerOptions = ControllerOptions()
    tls: TLSOptions | None = None
    manage_jobs_without_queue_name: bool = False
    managed_jobs_namespace_selector: Mapping[str, Any] = msgspec.field(
        default_factory=lambda: default_namespace_selector("kueue-system")
    )
    internal_cert_management: InternalCertManagement = InternalCertManagement()
    wait_for_pods_ready: WaitForPodsReady | None = WaitForPodsReady()
    client_connection: ClientConnection = ClientConnection()
    integrations: Integrations = Integrations()
    multi_kueue: MultiKueue = MultiKueue()
    fair_sharing: FairSharing | None = None
    """None is off."""
    admission_fair_sharing: AdmissionFairSharing | None = None
    resources: Resources = Resources()
    feature_gates: Mapping[str, bool] = {}
    object_retention_policies: ObjectRetentionPolicies = ObjectRetentionPolicies()
    visibility_server: VisibilityServer = VisibilityServer()
