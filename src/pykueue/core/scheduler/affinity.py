"""Does a pod match a flavor: taints, node selector, required node affinity.

A ResourceFlavor stands for nodes with its labels. Only the flavor's own label keys are compared, for the pod may ask for labels that
the flavor says nothing about.

Source: scheduling.md §6.2 steps 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykueue.api.v1beta2 import ResourceFlavor

_EFFECTS = ("NoSchedule", "NoExecute")


def untolerated_taint(flavor: ResourceFlavor, spec: Mapping[str, Any]) -> str | None:
    """The reason if the pod does not tolerate the flavor's nodes; None if it does."""
    taints = flavor.spec.node_taints
    if not taints:
        return None
    tolerations = [*(spec.get("tolerations") or ()), *flavor.spec.tolerations]
    for taint in taints:
        if taint.get("effect") in _EFFECTS and not any(tolerates(t, taint) for t in tolerations):
            shown = f"{taint.get('key', '')} {taint.get('value', '')} {taint.get('effect', '')} <nil>"
            return f"untolerated taint {{{shown}}} in flavor {flavor.name}"
    return None


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Kubernetes' rule: does this toleration cover this taint."""
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def matches_affinity(flavor: ResourceFlavor, spec: Mapping[str, Any]) -> bool:
    """Whether the pod's node selector and required node affinity allow the flavor's nodes."""
    labels = flavor.spec.node_labels
    if not labels:
        return True
    selector = spec.get("nodeSelector")
    if selector and any(key in labels and labels[key] != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = (required or {}).get("nodeSelectorTerms")
    return not terms or _matches_any(terms, labels)


def _matches_any(terms: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    own = [[e for e in term.get("matchExpressions") or () if e.get("key") in labels] for term in terms]
    # Kueue parity: scheduling.md §6.2, a term that says nothing about the flavor's labels satisfies the whole affinity.
    if any(not expressions for expressions in own):
        return True
    return any(all(_matches(e, labels) for e in expressions) for expressions in own)


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Kubernetes' node selector operators; the key is one of the labels."""
    value = labels[expression["key"]]
    values: Sequence[str] = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return True
        case "Gt":
            return _is_int(value) and bool(values) and _is_int(values[0]) and int(value) > int(values[0])
        case "Lt":
            return _is_int(value) and bool(values) and _is_int(values[0]) and int(value) < int(values[0])
        case _:
            return False


def _is_int(text: str) -> bool:
    return text.lstrip("+-").isdecimal()
