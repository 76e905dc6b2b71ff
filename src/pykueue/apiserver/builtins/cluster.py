# ruff: noqa: ARG002 - a hook has its contract's signature
"""Small kinds with manners of their own: Namespace, Node, PriorityClass, Secret, Service, claims, budgets, webhooks.

Source: Kubernetes API reference of each kind.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

from pykueue.api.errors import FieldError
from pykueue.api.fields import NEGATIVE, dns1123_label_faults, forbidden, invalid, required, too_long
from pykueue.api.kinds import SERVICE
from pykueue.api.objects import Obj, finalizers, labels, metadata, with_metadata
from pykueue.api.quantity import parse_quantity
from pykueue.apiserver.builtins.filling import Json, at, each, fill, without
from pykueue.apiserver.builtins.limit_ranges import default_limit_range
from pykueue.apiserver.builtins.meta import BuiltinStrategy
from pykueue.apiserver.strategy import Context

NAMESPACE_NAME = "kubernetes.io/metadata.name"
_USER_PRIORITY_MAX = 1_000_000_000
_SERVICE_NETWORK = 10 << 24 | 96 << 16
_DATA_MAX_BYTES = 1 << 20
_SYSTEM_PREFIX = "system-"


class NamespaceStrategy(BuiltinStrategy):
    """Namespaces: a label with their name, a finalizer in the spec that the namespace controller answers, and a phase."""

    def __init__(self) -> None:
        super().__init__(namespaced=False, status=True, name_rule=dns1123_label_faults)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        name = str(metadata(obj).get("name") or "")
        obj = fill(obj, {"spec": {}})
        if not name or labels(obj).get(NAMESPACE_NAME) == name:
            return obj
        return with_metadata(obj, labels={**labels(obj), NAMESPACE_NAME: name})

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        spec = obj.get("spec") or {}
        held = list(spec.get("finalizers") or ())
        wanted = held if "kubernetes" in held else [*held, "kubernetes"]
        return {**obj, "spec": {**spec, "finalizers": wanted}, "status": {"phase": "Active"}}

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """See `Strategy.prepare_update`: only `finalize` changes the spec."""
        new = super().prepare_update(new, old, subresource, context)
        if subresource != "finalize" and new.get("spec") != old.get("spec"):
            return {**new, "spec": old.get("spec") or {}}
        return new

    def begin_delete(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.begin_delete`."""
        obj = with_metadata(obj, deletionGracePeriodSeconds=None)
        return {**obj, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}

    def is_finalized(self, obj: Obj) -> bool:
        """See `Strategy.is_finalized`."""
        return not finalizers(obj) and not (obj.get("spec") or {}).get("finalizers")


class NodeStrategy(BuiltinStrategy):
    """Nodes: creators may bring a status; what is allocatable is the capacity unless said otherwise."""

    def __init__(self) -> None:
        super().__init__(namespaced=False, status=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(fill(obj, {"spec": {}, "status": {}}), "status", _default_node_status)

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        return obj

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        errors: list[FieldError] = []
        seen: dict[tuple[str, str], None] = {}
        for i, taint in enumerate((new.get("spec") or {}).get("taints") or ()):
            identity = (str(taint.get("key") or ""), str(taint.get("effect") or ""))
            if not identity[0]:
                errors.append(required(f"spec.taints[{i}].key"))
            if identity in seen:
                detail = "taints must be unique by key and effect pair"
                errors.append(FieldError("Duplicate value", f"spec.taints[{i}]", str(dict(taint)), detail))
            seen[identity] = None
        return errors


def _default_node_status(status: Json) -> Json:
    capacity = status.get("capacity")
    if not capacity:
        return status
    allocatable = status.get("allocatable") or {}
    missing = {name: amount for name, amount in capacity.items() if name not in allocatable}
    return {**status, "allocatable": {**allocatable, **missing}} if missing else status


class PriorityClassStrategy(BuiltinStrategy):
    """Priority classes: their value and preemption policy never change."""

    def __init__(self) -> None:
        super().__init__(namespaced=False, generation=True, create_on_update=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return fill(obj, {"preemptionPolicy": "PreemptLowerPriority", "value": 0})

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        name, value = str(metadata(new).get("name") or ""), int(new.get("value") or 0)
        errors: list[FieldError] = []
        if old is not None:
            if value != (old.get("value") or 0):
                errors.append(forbidden("value", "may not be changed in an update."))
            if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
                errors.append(invalid("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable"))
            return errors
        if name.startswith(_SYSTEM_PREFIX):
            if SYSTEM_PRIORITY_CLASSES.get(name) != value:
                detail = (
                    "priority class names with 'system-' prefix are reserved for system use only. "
                    f"error: {name} is not a known system priority class"
                )
                errors.append(forbidden("metadata.name", detail))
        elif value > _USER_PRIORITY_MAX:
            detail = f"maximum allowed value of a user defined priority is {_USER_PRIORITY_MAX}"
            errors.append(forbidden("value", detail))
        return errors


SYSTEM_PRIORITY_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""Classes that every cluster has, with their values."""


class SecretStrategy(BuiltinStrategy):
    """Secrets: `stringData` is written into `data`."""

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        obj = fill(obj, {"type": "Opaque"})
        plain = obj.get("stringData")
        if plain is None:
            return obj
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        return {**without(obj, "stringData"), "data": {**(obj.get("data") or {}), **encoded}}

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        return [*_size_faults(new, "data"), *(_frozen_data(new, old, "type") if old is not None else ())]


class ConfigMapStrategy(BuiltinStrategy):
    """ConfigMaps: immutable ones stay as they are."""

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        # Kubernetes parity: the path is empty.
        return [*_size_faults(new, "[]"), *(_frozen_data(new, old) if old is not None else ())]


def _size_faults(obj: Obj, path: str) -> list[FieldError]:
    """More data than an object may carry; what is base64 in JSON counts as what it stands for."""
    is_text = obj.get("kind") == "ConfigMap"
    plain = sum(len(value.encode()) for value in ((obj.get("data") or {}) if is_text else {}).values())
    packed = (obj.get("binaryData") or {}) if is_text else (obj.get("data") or {})
    size = plain + sum(len(value) // 4 * 3 - value.count("=") for value in packed.values())
    return [too_long(path, _DATA_MAX_BYTES)] if size > _DATA_MAX_BYTES else []


def _frozen_data(new: Obj, old: Obj, *frozen: str) -> list[FieldError]:
    errors = [invalid(name, new.get(name), "field is immutable") for name in frozen if new.get(name) != old.get(name)]
    if old.get("immutable"):
        text = "field is immutable when `immutable` is set"
        errors += [
            forbidden(name, text) for name in ("immutable", "data", "binaryData") if new.get(name) != old.get(name)
        ]
    return errors


class ServiceStrategy(BuiltinStrategy):
    """Services: an address of the service network, unless headless."""

    def __init__(self) -> None:
        super().__init__(status=True, name_rule=dns1123_label_faults)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(fill(obj, {"spec": {}}), "spec", _default_service_spec)

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        spec = obj["spec"]
        obj = {**obj, "status": {"loadBalancer": {}}}
        if spec.get("type") == "ExternalName":
            return obj
        address = spec.get("clusterIP") or _free_address(obj, context)
        families = {"clusterIPs": [address], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
        return {**obj, "spec": {**fill(spec, families), "clusterIP": address}}

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """See `Strategy.prepare_update`: addresses that are not sent stay."""
        new = super().prepare_update(new, old, subresource, context)
        if subresource:
            return new
        names = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        kept = {name: old["spec"][name] for name in names if name in (old.get("spec") or {})}
        return at(new, "spec", lambda spec: fill(spec, kept)) if new["spec"].get("type") != "ExternalName" else new

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        spec = new["spec"]
        errors: list[FieldError] = []
        before = (old or {}).get("spec") or {}
        if old is not None and before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
            errors.append(invalid("spec.clusterIPs[0]", spec.get("clusterIPs"), "may not change once set"))
        if not spec.get("ports") and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
            errors.append(required("spec.ports"))
        for i, port in enumerate(spec.get("ports") or ()):
            if not 1 <= int(port.get("port") or 0) <= 65535:
                detail = "must be between 1 and 65535, inclusive"
                errors.append(invalid(f"spec.ports[{i}].port", port.get("port") or 0, detail))
                if isinstance(port.get("targetPort"), int) and not 1 <= port["targetPort"] <= 65535:
                    errors.append(invalid(f"spec.ports[{i}].targetPort", port["targetPort"], detail))
            if len(spec["ports"]) > 1 and not port.get("name"):
                errors.append(required(f"spec.ports[{i}].name"))
        return errors


def _default_service_spec(spec: Json) -> Json:
    spec = fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["type"] != "ExternalName":
        spec = fill(spec, {"internalTrafficPolicy": "Cluster"})
    return at(spec, "ports", each(_default_port))


def _default_port(port: Json) -> Json:
    return fill(port, {"protocol": "TCP", "targetPort": port.get("port")})


def _free_address(service: Obj, context: Context) -> str:
    """An address of 10.96.0.0/16 that no other Service has: found from the UID, so that the same history gives the same one."""
    taken = {(other.get("spec") or {}).get("clusterIP") for other in context.lookup.list(SERVICE)}
    start = zlib.crc32(str(metadata(service).get("uid") or "").encode())
    for offset in range(1 << 16):
        host = (start + offset) % ((1 << 16) - 266) + 256
        address = ".".join(str((_SERVICE_NETWORK + host) >> shift & 255) for shift in (24, 16, 8, 0))
        if address not in taken:
            return address
    return ""


class ClaimStrategy(BuiltinStrategy):
    """PersistentVolumeClaims: stored, pending until somebody binds them."""

    def __init__(self) -> None:
        super().__init__(status=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(obj, "spec", lambda spec: fill(spec, {"volumeMode": "Filesystem"}))

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        return {**obj, "status": {"phase": "Pending"}}


class BudgetStrategy(BuiltinStrategy):
    """PodDisruptionBudgets: a new one allows nothing until a controller has counted."""

    def __init__(self) -> None:
        super().__init__(
            generation=True, status=True, inert="nobody counts what it allows, so its pods cannot be evicted"
        )

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        zero = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
        return with_metadata({**obj, "status": zero}, generation=1)


class ResourceQuotaStrategy(BuiltinStrategy):
    """ResourceQuotas: stored, not enforced."""

    def __init__(self) -> None:
        super().__init__(status=True, inert="nobody enforces it")

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        hard = (new.get("spec") or {}).get("hard") or {}
        return [
            invalid(f"spec.hard[{name}]", limit, NEGATIVE)
            for name, limit in hard.items()
            if parse_quantity(limit).nanos < 0
        ]


class LimitRangeStrategy(BuiltinStrategy):
    """LimitRanges: default requests and limits follow from one another."""

    def __init__(self) -> None:
        super().__init__(create_on_update=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return default_limit_range(obj)


class StorageClassStrategy(BuiltinStrategy):
    """StorageClasses."""

    def __init__(self) -> None:
        super().__init__(namespaced=False)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


class WebhookStrategy(BuiltinStrategy):
    """Webhook configurations.

    Args:
        mutating: whether they are of the mutating kind, which has one default more.
    """

    def __init__(self, *, mutating: bool) -> None:
        super().__init__(namespaced=False, generation=True, inert="no webhook is called over the network")
        self._defaults = {
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "timeoutSeconds": 10,
        } | ({"reinvocationPolicy": "Never"} if mutating else {})

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(obj, "webhooks", each(self._default_webhook))

    def _default_webhook(self, webhook: Json) -> Json:
        webhook = at(fill(webhook, self._defaults), "rules", each(lambda rule: fill(rule, {"scope": "*"})))
        return at(webhook, "clientConfig", _default_client)


def _default_client(config: Json) -> Json:
    return at(config, "service", lambda service: fill(service, {"port": 443}))
