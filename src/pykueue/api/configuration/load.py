"""From the text of a `Configuration` file to the effective value, and back (spec: config.md §1, §2).

A file is decoded strictly, given the defaults **of its own version**, and converted to v1beta2. What is valid beyond types is
judged by `validate.py`; feature gates and both together are put to use by `pykueue.core.configuration`.

The versions share most fields. v1beta1 knows some that v1beta2 has not (`_ONLY_IN_V1BETA1`), lacks some
(`_NOT_IN_V1BETA1`), and switches `waitForPodsReady` and `fairSharing` by a field `enable` in place of their presence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from msgspec.structs import replace

from pykueue.api.configuration.types import (
    MINUTE_US,
    Configuration,
    IncrementalDispatcherConfig,
    LabelSelector,
    WaitForPodsReady,
)
from pykueue.api.configuration.wire import read_struct, read_yaml, write_struct

GROUP = "config.kueue.x-k8s.io"
INCREMENTAL_DISPATCHER = "kueue.x-k8s.io/multikueue-dispatcher-incremental"
DEFAULT_NAMESPACE = "kueue-system"

_V1BETA1, _V1BETA2 = f"{GROUP}/v1beta1", f"{GROUP}/v1beta2"
_STEP_SIZE = 3
_BOTH_STRATEGIES = ("LessThanOrEqualToFinalShare", "LessThanInitialShare")
_ONLY_IN_V1BETA1: Mapping[str, type] = {
    "waitForPodsReady.enable": bool,
    "fairSharing.enable": bool,
    "queueVisibility": dict,
    "integrations.podOptions": dict,
}
_NOT_IN_V1BETA1 = (
    "visibilityServer",
    "multiKueue.clusterProfile",
    "multiKueue.incrementalDispatcherConfig",
    "resources.quotaCheckStrategy",
    "resources.deviceClassMappings[].sources",
    "metrics.customLabels[].sourceKind",
    "metrics.customLabels[].trackedValues",
)


def decode(text: str, *, namespace: str = DEFAULT_NAMESPACE) -> tuple[Configuration, list[str]]:
    """Decode a file, set its version's defaults and convert it.

    Args:
        text: YAML; empty text is a file that says nothing.
        namespace: where the manager runs, for a file that does not say.

    Returns:
        the effective configuration and the faults, which name the path of their field; the configuration is of use only if
        there is no fault.
    """
    raw, faults = read_yaml(text)
    if faults and not raw:
        return Configuration(), faults
    raw = {name: value for name, value in raw.items() if value is not None}
    version = raw.pop("apiVersion", "" if text.strip() else _V1BETA2)
    kind = raw.pop("kind", "Configuration")
    if version not in (_V1BETA1, _V1BETA2) or kind != "Configuration":
        told = f'no kind "{kind}" is registered for version "{version}"'
        return Configuration(), [*faults, f"{told}: apiVersion must be {_V1BETA2} or {_V1BETA1}, kind Configuration"]
    switches: dict[str, Any] = {}
    if version == _V1BETA1:
        switches = _take_v1beta1_fields(raw, faults)
    config = read_struct(Configuration, raw, "", faults)
    if faults:
        return config, faults
    for path, selector in (
        ("managedJobsNamespaceSelector", raw.get("managedJobsNamespaceSelector")),
        ("metrics.localQueueMetrics.localQueueSelector", config.metrics.local_queue_metrics.local_queue_selector),
    ):
        read_struct(LabelSelector, selector or {}, path, faults)
    config = _with_defaults(config, raw, namespace)
    if version == _V1BETA1:
        return _from_v1beta1(config, raw, switches), faults
    return _with_v1beta2_defaults(config, raw), faults


def dump_effective(config: Configuration) -> str:
    """The effective configuration as v1beta2 YAML, as it is logged at start."""
    document = {"apiVersion": _V1BETA2, "kind": "Configuration", **write_struct(config)}
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False)


def parse_gates_flag(text: str) -> tuple[dict[str, bool], list[str]]:
    """`--feature-gates`: `A=true,B=false` as a mapping, and its faults in Kubernetes' words."""
    gates: dict[str, bool] = {}
    faults: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            faults.append(f"missing bool value for {name}")
        elif value not in _GO_BOOLS:
            parsing = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            faults.append(f"invalid value of {name}={value}, err: {parsing}")
        else:
            gates[name] = _GO_BOOLS[value]
    return gates, faults


_GO_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)


def _with_defaults(config: Configuration, raw: Mapping[str, Any], namespace: str) -> Configuration:
    """Defaults that depend on other fields and are the same in both versions."""
    config = replace(config, namespace=config.namespace if raw.get("namespace") else namespace)
    if "managedJobsNamespaceSelector" not in raw:
        names = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", config.namespace]}
        config = replace(config, managed_jobs_namespace_selector={"matchExpressions": [names]})
    if not config.integrations.frameworks:
        config = replace(config, integrations=replace(config.integrations, frameworks=("batch/job",)))
    if not config.multi_kueue.origin:
        config = replace(config, multi_kueue=replace(config.multi_kueue, origin="multikueue"))
    return config


def _with_v1beta2_defaults(config: Configuration, raw: Mapping[str, Any]) -> Configuration:
    wait = config.wait_for_pods_ready or WaitForPodsReady()
    config = replace(config, wait_for_pods_ready=_with_recovery_timeout(wait, raw))
    if config.fair_sharing is not None and "preemptionStrategies" not in raw["fairSharing"]:
        # Kueue parity: config.md §2 - the field is required in v1beta2, so its absence is for validation to tell.
        config = replace(config, fair_sharing=replace(config.fair_sharing, preemption_strategies=()))
    multi_kueue = config.multi_kueue
    incremental = multi_kueue.incremental_dispatcher_config
    if multi_kueue.dispatcher_name == INCREMENTAL_DISPATCHER and (incremental is None or incremental.step_size is None):
        step = IncrementalDispatcherConfig(step_size=_STEP_SIZE)
        config = replace(config, multi_kueue=replace(multi_kueue, incremental_dispatcher_config=step))
    return config


def _from_v1beta1(config: Configuration, raw: Mapping[str, Any], switches: Mapping[str, Any]) -> Configuration:
    wait = config.wait_for_pods_ready
    if not switches.get("waitForPodsReady.enable") or wait is None:
        config = replace(config, wait_for_pods_ready=None)
    else:
        written = raw["waitForPodsReady"]
        if written.get("timeout") is None:
            wait = replace(wait, timeout_us=5 * MINUTE_US)
        if written.get("blockAdmission") is None:
            wait = replace(wait, block_admission=True)
        config = replace(config, wait_for_pods_ready=_with_recovery_timeout(wait, raw))
    fair = config.fair_sharing
    if not switches.get("fairSharing.enable") or fair is None:
        return replace(config, fair_sharing=None)
    return replace(
        config, fair_sharing=replace(fair, preemption_strategies=fair.preemption_strategies or _BOTH_STRATEGIES)
    )


def _with_recovery_timeout(wait: WaitForPodsReady, raw: Mapping[str, Any]) -> WaitForPodsReady:
    if (raw.get("waitForPodsReady") or {}).get("recoveryTimeout") is not None:
        return wait
    return replace(wait, recovery_timeout_us=wait.timeout_us)


def _take_v1beta1_fields(raw: dict[str, Any], faults: list[str]) -> dict[str, Any]:
    """Take out what only v1beta1 knows, and tell what it does not know."""
    for path in _NOT_IN_V1BETA1:
        faults += [f'unknown field "{found}"' for found in _take(raw, path.split("."), "")]
    taken: dict[str, Any] = {}
    for path, type_ in _ONLY_IN_V1BETA1.items():
        *parents, name = path.split(".")
        parent: Any = raw
        for step in parents:
            parent = parent.get(step) if isinstance(parent, dict) else None
        value = parent.pop(name, None) if isinstance(parent, dict) else None
        if value is not None and not isinstance(value, type_):
            faults.append(f"{path}: must be {'true or false' if type_ is bool else 'a mapping'}")
        taken[path] = value
    return taken


def _take(node: Any, steps: list[str], path: str) -> list[str]:
    """Remove the field at a path from a fresh document; returns the paths where it was."""
    name = steps[0].removesuffix("[]")
    if not isinstance(node, dict) or name not in node:
        return []
    here = f"{path}.{name}" if path else name
    if len(steps) == 1:
        del node[name]
        return [here]
    if not steps[0].endswith("[]"):
        return _take(node[name], steps[1:], here)
    items = node[name] if isinstance(node[name], list) else []
    return [found for i, item in enumerate(items) for found in _take(item, steps[1:], f"{here}[{i}]")]
