"""What is valid in a decoded `Configuration`: every fault, in the words of Kueue (spec: config.md §3).

The order of the faults is that of the fields in the specification. Gates are asked by name, for the registry of gates lives
in a higher layer. One rule is not here: whether the CEL expressions of device sources compile, which is found out when they
are used.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pykueue.api.configuration import devices
from pykueue.api.configuration.durations import format_duration
from pykueue.api.configuration.frameworks import FRAMEWORKS, parse_external
from pykueue.api.configuration.load import INCREMENTAL_DISPATCHER
from pykueue.api.configuration.types import (
    AccessProvider,
    Configuration,
    CustomLabel,
    Metrics,
    MultiKueue,
    Resources,
    TLSOptions,
    WaitForPodsReady,
)
from pykueue.api.errors import FieldError
from pykueue.api.fields import (
    NEGATIVE,
    dns1035_label_faults,
    duplicate,
    forbidden,
    invalid,
    label_key_faults,
    label_value_faults,
    not_supported,
    required,
    subdomain_faults,
    too_many,
    validate_label_selector,
)
from pykueue.api.objects import matches_labels

GateIsOn = Callable[[str], bool]

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_MUST = "must be specified"
_STRATEGIES = ("LessThanOrEqualToFinalShare", "LessThanInitialShare")
_STRATEGY_LISTS = (_STRATEGIES[:1], _STRATEGIES[1:], _STRATEGIES)
_LABEL_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_LABELS_MAX = {"ClusterQueue": 6, "Cohort": 6, "LocalQueue": 6, "Workload": 2}
_TLS_VERSIONS = {"": 0x0303, "VersionTLS12": 0x0303, "VersionTLS13": 0x0304}
_TLS_OLD = ("VersionTLS10", "VersionTLS11")
SECURE_CIPHERS = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)


def validate(config: Configuration, gate: GateIsOn) -> list[FieldError]:
    """All faults of a decoded configuration.

    Args:
        config: as `load.decode` returns it.
        gate: whether a feature gate is on, by its name.
    """
    errors: list[FieldError] = []
    if config.wait_for_pods_ready is not None:
        errors += _wait_for_pods_ready(config.wait_for_pods_ready)
    errors += _integrations(config)
    errors += _namespace_selector(config)
    errors += _multi_kueue(config.multi_kueue)
    errors += _sharing(config)
    if config.internal_cert_management.enable:
        certs, path = config.internal_cert_management, "internalCertManagement"
        name, secret = certs.webhook_service_name, certs.webhook_secret_name
        errors += [invalid(f"{path}.webhookServiceName", name, fault) for fault in dns1035_label_faults(name)]
        errors += [invalid(f"{path}.webhookSecretName", secret, fault) for fault in subdomain_faults(secret)]
    errors += _resources(config.resources)
    errors += devices.validate(config.resources.device_class_mappings, gate)
    retention, path = config.object_retention_policies.workloads, "objectRetentionPolicies.workloads"
    errors += _durations(
        (f"{path}.afterFinished", retention.after_finished_us),
        (f"{path}.afterDeactivatedByKueue", retention.after_deactivated_by_kueue_us),
    )
    if config.tls is not None:
        errors += _tls(config.tls)
    errors += _visibility(config)
    errors += _custom_labels(config.metrics)
    if gate("TASProfileMixed") and not gate("TopologyAwareScheduling"):
        errors.append(invalid("featureGates", dict(config.feature_gates), "cannot use a TAS profile with TAS disabled"))
    return errors


def _durations(*values: tuple[str, int | None]) -> Iterator[FieldError]:
    for path, micros in values:
        if micros is not None and micros < 0:
            yield invalid(path, format_duration(micros), NEGATIVE)


def _numbers(*values: tuple[str, float | None]) -> Iterator[FieldError]:
    for path, number in values:
        if number is not None and number < 0:
            yield invalid(path, int(number) if float(number).is_integer() else number, NEGATIVE)


def _wait_for_pods_ready(wait: WaitForPodsReady) -> Iterator[FieldError]:
    path, strategy = "waitForPodsReady", wait.requeuing_strategy
    if wait.timeout_us == 0:
        yield required(f"{path}.timeout", _MUST)
    yield from _durations((f"{path}.timeout", wait.timeout_us), (f"{path}.recoveryTimeout", wait.recovery_timeout_us))
    path += ".requeuingStrategy"
    if strategy.timestamp not in ("Creation", "Eviction"):
        yield not_supported(f"{path}.timestamp", strategy.timestamp, ["Creation", "Eviction"])
    yield from _numbers(
        (f"{path}.backoffLimitCount", strategy.backoff_limit_count),
        (f"{path}.backoffBaseSeconds", strategy.backoff_base_seconds),
        (f"{path}.backoffMaxSeconds", strategy.backoff_max_seconds),
    )


def _integrations(config: Configuration) -> Iterator[FieldError]:
    path, integrations = "integrations", config.integrations
    managed: set[str] = set()
    for i, name in enumerate(integrations.frameworks):
        if name not in FRAMEWORKS:
            yield not_supported(f"{path}.frameworks[{i}]", name, sorted(FRAMEWORKS))
        elif FRAMEWORKS[name].gvk in managed:
            yield duplicate(f"{path}.frameworks[{i}]", name)
        else:
            managed.add(FRAMEWORKS[name].gvk)
    for i, name in enumerate(integrations.external_frameworks):
        gvk = parse_external(name)
        if gvk is None:
            yield invalid(f"{path}.externalFrameworks[{i}]", name, "must be format, 'Kind.version.group.com'")
        elif gvk in managed:
            yield duplicate(f"{path}.externalFrameworks[{i}]", name)
        else:
            managed.add(gvk)


def _namespace_selector(config: Configuration) -> list[FieldError]:
    path, selector = "managedJobsNamespaceSelector", config.managed_jobs_namespace_selector
    errors = validate_label_selector(path, selector)
    if errors:
        return errors
    return [
        invalid(path, selector, f'should not match the "{namespace}" namespace')
        for namespace in dict.fromkeys(["kube-system", config.namespace])
        if matches_labels(selector, {_NAMESPACE_LABEL: namespace})
    ]


def _multi_kueue(multi_kueue: MultiKueue) -> Iterator[FieldError]:
    path = "multiKueue"
    yield from _durations(
        (f"{path}.gcInterval", multi_kueue.gc_interval_us),
        (f"{path}.workerLostTimeout", multi_kueue.worker_lost_timeout_us),
    )
    for fault in label_value_faults(multi_kueue.origin):
        yield invalid(f"{path}.origin", multi_kueue.origin, fault)
    built_in = {framework.gvk for framework in FRAMEWORKS.values() if framework.multikueue}
    seen: set[str] = set()
    for i, external in enumerate(multi_kueue.external_frameworks):
        here, gvk = f"{path}.externalFrameworks[{i}].name", parse_external(external.name)
        if gvk is None:
            yield invalid(here, external.name, "must be in 'kind.version.group' format")
        elif gvk in seen:
            yield duplicate(here, external.name)
        elif gvk in built_in:
            yield invalid(here, external.name, "conflicts with a built-in MultiKueue adapter")
        else:
            seen.add(gvk)
    profile = multi_kueue.cluster_profile
    if profile is not None:
        if profile.access_providers and profile.credentials_providers:
            detail = "must not be specified when accessProviders is specified"
            yield forbidden(f"{path}.clusterProfile.credentialsProviders", detail)
        for provider in profile.access_providers or profile.credentials_providers:
            yield from _access_provider(provider)
    yield from _dispatcher(multi_kueue)


def _access_provider(provider: AccessProvider) -> Iterator[FieldError]:
    # Kueue parity: config.md §3 - the path has no index.
    path, execution = "multiKueue.clusterProfile.accessProviders", provider.exec_config
    modes = ("Never", "IfAvailable", "Always")
    if not provider.name:
        yield required(f"{path}.name", _MUST)
    if not execution.command:
        yield required(f"{path}.execConfig.command", _MUST)
    if not execution.api_version:
        yield required(f"{path}.execConfig.apiVersion", _MUST)
    for variable in execution.env:
        if not variable.name:
            yield required(f"{path}.execConfig.env.name", _MUST)
    if not execution.interactive_mode:
        yield required(f"{path}.execConfig.interactiveMode", _MUST)
    elif execution.interactive_mode not in modes:
        yield not_supported(f"{path}.execConfig.interactiveMode", execution.interactive_mode, modes)


def _dispatcher(multi_kueue: MultiKueue) -> Iterator[FieldError]:
    incremental, path = multi_kueue.incremental_dispatcher_config, "multiKueue.incrementalDispatcherConfig"
    if incremental is None:
        return
    if multi_kueue.dispatcher_name != INCREMENTAL_DISPATCHER:
        detail = "incrementalDispatcherConfig is only valid when dispatcherName is set to the incremental dispatcher"
        yield invalid(path, {"stepSize": incremental.step_size}, detail)
    if incremental.step_size is not None and incremental.step_size < 1:
        yield invalid(f"{path}.stepSize", incremental.step_size, "must be greater than or equal to 1")


def _sharing(config: Configuration) -> Iterator[FieldError]:
    fair, admission_fair = config.fair_sharing, config.admission_fair_sharing
    if fair is not None:
        path = "fairSharing.preemptionStrategies"
        if not fair.preemption_strategies:
            yield required(path, _MUST)
        elif fair.preemption_strategies not in _STRATEGY_LISTS:
            lists = [f"[{', '.join(strategies)}]" for strategies in _STRATEGY_LISTS]
            yield not_supported(path, list(fair.preemption_strategies), lists)
    if admission_fair is not None:
        path = "admissionFairSharing"
        yield from _durations((f"{path}.usageHalfLifeTime", admission_fair.usage_half_life_time_us))
        if admission_fair.usage_sampling_interval_us <= 0:
            interval = format_duration(admission_fair.usage_sampling_interval_us)
            yield invalid(f"{path}.usageSamplingInterval", interval, "must be greater than 0")
        weights = admission_fair.resource_weights
        yield from _numbers(*((f"{path}.resourceWeights[{name}]", weights[name]) for name in sorted(weights)))


def _resources(resources: Resources) -> Iterator[FieldError]:
    strategies, path = ("BlockUndeclared", "IgnoreUndeclared"), "resources"
    strategy = resources.quota_check_strategy
    if strategy not in strategies:
        yield not_supported(f"{path}.quotaCheckStrategy", strategy, strategies)
    elif strategy == "IgnoreUndeclared" and resources.exclude_resource_prefixes:
        detail = "excludeResourcePrefixes is not allowed when quotaCheckStrategy is IgnoreUndeclared"
        yield invalid(f"{path}.quotaCheckStrategy", strategy, detail)
    seen: set[str] = set()
    for i, transformation in enumerate(resources.transformations):
        if transformation.strategy not in ("Retain", "Replace"):
            yield not_supported(f"{path}.transformations[{i}].strategy", transformation.strategy, ["Retain", "Replace"])
        if transformation.input in seen:
            yield duplicate(f"{path}.transformations[{i}].input", transformation.input)
        seen.add(transformation.input)


def _tls(tls: TLSOptions) -> Iterator[FieldError]:
    path, use = "tls", "Please use VersionTLS12 or VersionTLS13"
    if tls.min_version in _TLS_OLD:
        yield invalid(path, _wire(tls), f"invalid minVersion. {use}")
    elif tls.min_version not in _TLS_VERSIONS:
        unknown = f'unknown tls version "{tls.min_version}"'
        yield invalid(path, _wire(tls), f"invalid minVersion: {unknown}. {use}")
    wrong = [name for name in tls.cipher_suites if name not in SECURE_CIPHERS]
    if wrong:
        secure = f"Please use the secure cipher names: [{' '.join(SECURE_CIPHERS)}]"
        yield invalid(path, _wire(tls), f"invalid cipher suites: unsupported cipher suites {wrong}. {secure}")
    outside = [number for number in tls.curve_preferences if not 0 < number < 1 << 16]
    if outside:
        yield invalid(path, _wire(tls), f"invalid curve preferences: {outside} are not ids of curves")
    if tls.cipher_suites and tls.min_version == "VersionTLS13":
        detail = "may not be specified when `minVersion` is 'VersionTLS13'"
        yield invalid(f"{path}.cipherSuites", list(tls.cipher_suites), detail)


def _wire(tls: TLSOptions) -> dict[str, object]:
    content = {
        "minVersion": tls.min_version,
        "cipherSuites": list(tls.cipher_suites),
        "curvePreferences": list(tls.curve_preferences),
    }
    return {name: value for name, value in content.items() if value}


def _visibility(config: Configuration) -> Iterator[FieldError]:
    path, server = "visibilityServer", config.visibility_server
    if server.bind_address:
        try:
            ipaddress.ip_address(server.bind_address)
        except ValueError:
            yield invalid(f"{path}.bindAddress", server.bind_address, "must be a valid IP address")
    if not 0 < server.bind_port < 1 << 16:
        yield invalid(f"{path}.bindPort", server.bind_port, "must be a valid port number (1-65535)")


def _custom_labels(metrics: Metrics) -> Iterator[FieldError]:
    path, labels = "metrics.customLabels", metrics.custom_labels
    if len(labels) > 20:
        yield too_many(path, len(labels), 20)
    repeated = _repeated(label.name for label in labels)
    for i, label in enumerate(labels):
        here = f"{path}[{i}]"
        if not _LABEL_NAME.fullmatch(label.name):
            yield invalid(f"{here}.name", label.name, "must match ^[a-zA-Z][a-zA-Z0-9_]*$")
        if i in repeated:
            yield duplicate(f"{here}.name", label.name)
        if label.source_label_key and label.source_annotation_key:
            yield invalid(here, label.name, "sourceLabelKey and sourceAnnotationKey are mutually exclusive")
        else:
            source = "sourceAnnotationKey" if label.source_annotation_key else "sourceLabelKey"
            key = label.source_annotation_key or label.source_label_key or label.name
            for fault in label_key_faults(key):
                yield invalid(f"{here}.{source}", key, fault)
        yield from _tracked_values(label, here)
    counts = Counter(label.source_kind for label in labels)
    for kind, n in counts.items():
        if kind in _LABELS_MAX and n > _LABELS_MAX[kind]:
            detail = f"too many custom labels for source kind {kind}: found {n}, expected <= {_LABELS_MAX[kind]}"
            yield invalid(path, n, detail)


def _tracked_values(label: CustomLabel, here: str) -> Iterator[FieldError]:
    values, path = label.tracked_values, f"{here}.trackedValues"
    if label.source_kind not in _LABELS_MAX:
        yield invalid(f"{here}.sourceKind", label.source_kind, f"unknown source kind: {label.source_kind}")
    elif label.source_kind == "Workload":
        if not values:
            yield invalid(path, list(values), "must not be empty when sourceKind is 'Workload'")
        elif len(values) > 12:
            yield invalid(path, list(values), "must not be greater than 12 when sourceKind is 'Workload'")
    elif len(values) > 16:
        yield too_many(path, len(values), 16)
    if len(set(values)) < len(values):
        yield invalid(path, list(values), "must not contain duplicates")


def _repeated(values: Iterable[str]) -> set[int]:
    """Positions of values that occurred before."""
    seen: set[str] = set()
    positions: set[int] = set()
    for i, value in enumerate(values):
        if value in seen:
            positions.add(i)
        seen.add(value)
    return positions
