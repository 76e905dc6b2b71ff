"""Validation of pods and pod templates, in Kubernetes' words: names, images, resources, ports, volumes, tolerations, gates.

What pods may change later is little: images, additional tolerations, a shorter deadline; while gated also node selection. Fields
that no embedded component reads (security contexts, most volume sources, probes' details) are not validated beyond their types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import (
    dns1123_label_faults,
    duplicate,
    forbidden,
    invalid,
    label_key_faults,
    label_value_faults,
    not_found,
    not_supported,
    required,
    subdomain_faults,
    validate_labels,
)
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity

_MAX_INT32 = 2**31 - 1
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_PORT_RANGE = "must be between 1 and 65535, inclusive"
UPDATE_FORBIDDEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(pod: Obj) -> list[FieldError]:
    """Every fault of a new pod's spec."""
    spec = pod.get("spec") or {}
    errors = validate_pod_spec(spec, "spec")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def validate_template(template: Mapping[str, Any], path: str, restart_policies: Sequence[str]) -> list[FieldError]:
    """Every fault of a pod template.

    Args:
        template: the PodTemplateSpec.
        path: of the template.
        restart_policies: which ones its owner allows.
    """
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = validate_labels(f"{path}.metadata.labels", meta.get("labels") or {})
    errors += validate_pod_spec(spec, f"{path}.spec")
    policy = spec.get("restartPolicy")
    if policy in _RESTART_POLICIES and policy not in restart_policies:
        if len(restart_policies) == 1:
            errors.append(not_supported(f"{path}.spec.restartPolicy", policy, restart_policies))
        else:
            # Kubernetes parity: a Job's wrong policy is called missing.
            listed = ", ".join(f'"{choice}"' for choice in restart_policies)
            errors.append(required(f"{path}.spec.restartPolicy", f"valid values: {listed}"))
    return errors


def validate_pod_spec(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """Every fault of a PodSpec."""
    volumes, errors = _validate_volumes(spec.get("volumes") or (), f"{path}.volumes")
    names: dict[str, None] = {}
    containers = spec.get("containers") or ()
    if not containers:
        errors.append(required(f"{path}.containers"))
    for i, container in enumerate(containers):
        errors += _validate_container(container, f"{path}.containers[{i}]", names, volumes)
    for i, container in enumerate(spec.get("initContainers") or ()):
        errors += _validate_container(container, f"{path}.initContainers[{i}]", names, volumes)
    errors += _validate_choices(spec, path)
    errors += validate_labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    errors += validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    errors += _validate_gates(spec.get("schedulingGates") or (), f"{path}.schedulingGates")
    for field in ("nodeName", "serviceAccountName", "priorityClassName", "runtimeClassName"):
        if spec.get(field):
            errors += [invalid(f"{path}.{field}", spec[field], fault) for fault in subdomain_faults(spec[field])]
    return errors


def validate_tolerations(tolerations: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Every fault of a list of tolerations."""
    errors: list[FieldError] = []
    for i, toleration in enumerate(tolerations):
        here = f"{path}[{i}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        errors += [invalid(f"{here}.key", key, fault) for fault in label_key_faults(key)] if key else []
        if not key and operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{here}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(
                invalid(f"{here}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
            )
        if operator in ("Equal", ""):
            errors += [invalid(f"{here}.operator", value, fault) for fault in label_value_faults(value)]
        elif operator == "Exists":
            if value:
                errors.append(invalid(f"{here}.operator", value, "value must be empty when `operator` is 'Exists'"))
        else:
            errors.append(not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            errors.append(not_supported(f"{here}.effect", effect, _EFFECTS))
    return errors


def validate_resources(resources: Mapping[str, Any], path: str) -> list[FieldError]:
    """Every fault of a container's requests and limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            errors += _validate_amount(name, amount, f"{path}.{field}[{name}]")
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not _is_overcommitable(name):
                detail = "Limit must be set for non overcommitable resources"
                errors.append(required(f"{path}.limits", detail))
            continue
        asked, allowed = parse_quantity(amount).nanos, parse_quantity(limit).nanos
        if asked != allowed and not _is_overcommitable(name):
            errors.append(invalid(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}"))
        elif asked > allowed:
            errors.append(invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}"))
    return errors


def validate_pod_update(new: Obj, old: Obj) -> list[FieldError]:
    """Every fault of a change of a pod's spec."""
    after, before = dict(new["spec"]), dict(old["spec"])
    errors = _validate_mutable(after, before)
    if not errors:
        errors += _validate_gate_change(after, before)
    # What may change is made equal; whatever differs then may not.
    for field in ("containers", "initContainers"):
        ours, theirs = after.get(field) or [], before.get(field) or []
        if len(ours) != len(theirs):
            return [forbidden("spec.containers" if field == "containers" else "spec.initContainers",
                              "pod updates may not add or remove containers")]  # fmt: skip
        after[field] = [{**a, "image": b.get("image")} for a, b in zip(ours, theirs, strict=True)]
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        after[field] = before.get(field)
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and after.get("terminationGracePeriodSeconds") == 1:
        after["terminationGracePeriodSeconds"] = before.get("terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        errors += _validate_node_selection(after, before)
        after["nodeSelector"], after["affinity"] = before.get("nodeSelector"), before.get("affinity")
    changed = [name for name in sorted({**after, **before}) if (after.get(name) or None) != (before.get(name) or None)]
    if changed:
        listed = ", ".join(f"spec.{name}" for name in changed)
        errors.append(forbidden("spec", f"{UPDATE_FORBIDDEN}\n  changed: {listed}"))
    return errors


def _validate_mutable(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, container in enumerate(after.get("containers") or ()):
        if not container.get("image"):
            errors.append(required(f"spec.containers[{i}].image"))
    deadline, present = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if deadline != present:
        if deadline is None:
            errors.append(
                invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
            )
        elif present is not None and deadline > present:
            detail = "must be less than or equal to previous value"
            errors.append(invalid("spec.activeDeadlineSeconds", deadline, detail))
    kept = list(after.get("tolerations") or ())
    for toleration in before.get("tolerations") or ():
        alike = [t for t in kept if {**t, "tolerationSeconds": None} == {**toleration, "tolerationSeconds": None}]
        if not alike:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden("spec.tolerations", detail))
            break
    return errors + validate_tolerations(after.get("tolerations") or (), "spec.tolerations")


def _validate_gate_change(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    present = [gate.get("name") for gate in before.get("schedulingGates") or ()]
    return [
        forbidden(
            f"spec.schedulingGates[{i}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for i, gate in enumerate(after.get("schedulingGates") or ())
        if gate.get("name") not in present
    ]


def _validate_node_selection(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """While gated, a pod may become choosier about nodes, never less so."""
    errors: list[FieldError] = []
    wanted, present = after.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(wanted.get(key) != value for key, value in present.items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(invalid("spec.nodeSelector", wanted, detail))
    required_path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    terms = _required_terms(after), _required_terms(before)
    if terms[1] is not None and terms[0] != terms[1]:
        after_terms, before_terms = terms[0] or [], terms[1] or []
        if len(after_terms) != len(before_terms):
            detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
            errors.append(invalid(f"{required_path}.nodeSelectorTerms", after_terms, detail))
        else:
            for i, (ours, theirs) in enumerate(zip(after_terms, before_terms, strict=True)):
                if not _narrows(ours, theirs):
                    path = f"{required_path}.nodeSelectorTerms[{i}]"
                    errors.append(invalid(path, ours, "only additions are allowed (no mutations or deletions)"))
    return errors


def _required_terms(spec: Mapping[str, Any]) -> list[Any] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    found = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if found is None else list(found.get("nodeSelectorTerms") or ())


def _narrows(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(
        expression in (ours.get(field) or ())
        for field in ("matchExpressions", "matchFields")
        for expression in theirs.get(field) or ()
    )


def _validate_choices(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, choices in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        value = spec.get(field)
        if not value:
            errors.append(required(f"{path}.{field}"))
        elif value not in choices:
            errors.append(not_supported(f"{path}.{field}", value, choices))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        detail = f"must be between 1 and {_MAX_INT32}, inclusive"
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, detail))
    return errors


def _validate_gates(gates: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: dict[str, None] = {}
    for i, gate in enumerate(gates):
        name = gate.get("name") or ""
        errors += [invalid(f"{path}[{i}]", name, fault) for fault in label_key_faults(name)]
        if name in seen:
            errors.append(duplicate(f"{path}[{i}]", name))
        seen[name] = None
    return errors


def _validate_volumes(volumes: Sequence[Mapping[str, Any]], path: str) -> tuple[dict[str, None], list[FieldError]]:
    names: dict[str, None] = {}
    errors: list[FieldError] = []
    for i, volume in enumerate(volumes):
        name = volume.get("name") or ""
        if not name:
            errors.append(required(f"{path}[{i}].name"))
        else:
            errors += [invalid(f"{path}[{i}].name", name, fault) for fault in dns1123_label_faults(name)]
        if name in names:
            errors.append(duplicate(f"{path}[{i}].name", name))
        names[name] = None
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        errors += [forbidden(f"{path}[{i}].{key}", "may not specify more than 1 volume type") for key in sources[1:]]
    return names, errors


def _validate_container(
    container: Mapping[str, Any], path: str, names: dict[str, None], volumes: Mapping[str, None]
) -> list[FieldError]:
    errors: list[FieldError] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        errors += [invalid(f"{path}.name", name, fault) for fault in dns1123_label_faults(name)]
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names[name] = None
    if not image:
        errors.append(required(f"{path}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if (policy := container.get("imagePullPolicy")) and policy not in _PULL_POLICIES:
        errors.append(not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES))
    errors += _validate_ports(container.get("ports") or (), f"{path}.ports")
    for i, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            errors.append(required(f"{path}.env[{i}].name"))
        elif variable.get("value") and variable.get("valueFrom"):
            detail = "may not be specified when `value` is not empty"
            errors.append(invalid(f"{path}.env[{i}].valueFrom", "", detail))
    mounted: dict[str, None] = {}
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}.volumeMounts[{i}]"
        if not mount.get("name"):
            errors.append(required(f"{here}.name"))
        elif mount["name"] not in volumes:
            errors.append(not_found(f"{here}.name", mount["name"]))
        target = mount.get("mountPath") or ""
        if not target:
            errors.append(required(f"{here}.mountPath"))
        elif target in mounted:
            errors.append(invalid(f"{here}.mountPath", target, "must be unique"))
        mounted[target] = None
    return errors + validate_resources(container.get("resources") or {}, f"{path}.resources")


def _validate_ports(ports: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: dict[str, None] = {}
    for i, port in enumerate(ports):
        here = f"{path}[{i}]"
        if name := port.get("name"):
            if name in names:
                errors.append(duplicate(f"{here}.name", name))
            names[name] = None
        number = port.get("containerPort") or 0
        if number == 0:
            errors.append(required(f"{here}.containerPort"))
        elif not 1 <= number <= 65535:
            errors.append(invalid(f"{here}.containerPort", number, _PORT_RANGE))
        if (host := port.get("hostPort")) and not 1 <= host <= 65535:
            errors.append(invalid(f"{here}.hostPort", host, _PORT_RANGE))
        if port.get("protocol") not in _PROTOCOLS:
            errors.append(not_supported(f"{here}.protocol", port.get("protocol") or "", _PROTOCOLS))
    return errors


def _validate_amount(name: str, amount: Any, path: str) -> list[FieldError]:
    errors = [invalid(path, name, fault) for fault in label_key_faults(name)]
    standard = name in _STANDARD_RESOURCES or name.startswith("hugepages-")
    if "/" not in name and not standard:
        errors.append(invalid(path, name, "must be a standard resource type or fully qualified"))
        errors.append(invalid(path, name, "must be a standard resource for containers"))
    try:
        quantity = parse_quantity(amount)
    except ValueError as error:
        return [*errors, invalid(path, str(amount), str(error))]
    if quantity.nanos < 0:
        errors.append(invalid(path, str(amount), "must be greater than or equal to 0"))
    elif "/" in name and quantity.nanos % 10**9:
        errors.append(invalid(path, str(amount), "must be an integer"))
    return errors


def _is_overcommitable(name: str) -> bool:
    """Whether a request may be below its limit: true of what Kubernetes itself knows, but for huge pages."""
    return not name.startswith("hugepages-") and ("/" not in name or name.partition("/")[0].endswith("kubernetes.io"))


__all__ = [
    "validate_pod",
    "validate_pod_spec",
    "validate_pod_update",
    "validate_resources",
    "validate_template",
    "validate_tolerations",
]
