"""The role of a pod in its group: a hash over what decides where it may run and what it needs.

Pods of one role are interchangeable for admission, so that a pod set stands for them. Metadata, images, commands and volumes do not count.
The text that is hashed is Go's JSON of a map (keys sorted) with API structs inside (fields in their order, empty ones left out): both the
orders below and the nulls are part of the format.

Source: jobs.md §18.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import Annotation
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity

_HASH_CHARS = 8
_SPEC_KEYS = (
    "affinity", "nodeSelector", "overhead", "priority", "resourceClaims", "runtimeClassName", "tolerations",
    "topologySpreadConstraints",
)  # fmt: skip
# Field order of the API structs; what is not listed here keeps the order in which it was written, after these.
_FIELD_ORDER = (
    "nodeAffinity", "podAffinity", "podAntiAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", "weight",
    "preference", "podAffinityTerm", "nodeSelectorTerms", "matchExpressions", "matchFields",
    "name", "hostPort", "containerPort", "protocol", "hostIP",
    "resourceClaimName", "resourceClaimTemplateName",
    "maxSkew", "topologyKey", "whenUnsatisfiable", "labelSelector", "namespaces", "namespaceSelector", "minDomains",
    "nodeAffinityPolicy", "nodeTaintsPolicy", "matchLabelKeys", "mismatchLabelKeys",
    "key", "operator", "value", "values", "effect", "tolerationSeconds", "matchLabels",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_FIELD_ORDER)}
# PodAffinityTerm has its selector before the topology key; the spread constraint has it after.
_AFFINITY_TERM = (
    "labelSelector",
    "namespaces",
    "topologyKey",
    "namespaceSelector",
    "matchLabelKeys",
    "mismatchLabelKeys",
)
_LABEL_SELECTOR = ("matchLabels", "matchExpressions")
_SORTED_MAPS = frozenset({"matchLabels", "nodeSelector", "overhead"})


def role_hash(pod: Obj) -> str:
    """Eight hexadecimal digits; the annotation `role-hash` if the pod has one."""
    given = objects.annotations(pod).get(Annotation.ROLE_HASH)
    return given or shape_hash(pod.get("spec") or {})


def shape_hash(spec: Mapping[str, Any]) -> str:
    """The hash of a pod spec, whatever annotations say."""
    shape: dict[str, Any] = {key: _canonical(spec.get(key), key) for key in _SPEC_KEYS}
    shape["containers"] = _containers(spec.get("containers"))
    shape["initContainers"] = _containers(spec.get("initContainers"))
    if spec.get("resources"):
        shape["resources"] = {"requests": _quantities((spec["resources"] or {}).get("requests"))}
    if shape["overhead"] is not None:
        shape["overhead"] = _quantities(spec.get("overhead"))
    text = _go_json({"spec": dict(sorted(shape.items()))})
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARS]


def _go_json(value: Any) -> str:
    """Compact JSON with the escapes of Go's encoder."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _containers(containers: Sequence[Mapping[str, Any]] | None) -> list[Any] | None:
    if not containers:
        return None
    return [
        {
            "ports": _canonical(container.get("ports"), "ports"),
            "resources": {"requests": _quantities((container.get("resources") or {}).get("requests"))},
        }
        for container in containers
    ]


def _quantities(requests: Mapping[str, Any] | None) -> dict[str, str] | None:
    return {name: str(parse_quantity(requests[name])) for name in sorted(requests)} if requests is not None else None


def _canonical(value: Any, key: str) -> Any:
    """The value with the API's field order; empty lists and maps are unset."""
    if value is None or value in ([], {}):
        return None
    if isinstance(value, Mapping):
        return {
            name: _canonical(value[name], name)
            for name in sorted(value, key=_order(value, key))
            if _is_set(value[name])
        }
    if isinstance(value, list | tuple):
        return [_canonical(item, key) for item in value]
    return value


def _order(value: Mapping[str, Any], key: str) -> Any:
    if key in _SORTED_MAPS:
        return lambda name: (0, name)
    special: Sequence[str] = ()
    if key in ("labelSelector", "namespaceSelector"):
        special = _LABEL_SELECTOR
    elif "topologyKey" in value and "maxSkew" not in value:
        special = _AFFINITY_TERM
    if special:
        return lambda name: (special.index(name) if name in special else len(special), name)
    return lambda name: (_RANK.get(name, len(_RANK)), "")


def _is_set(value: Any) -> bool:
    return value is not None and value not in ("", [], {})
