"""What a pod needs of a node: requests and placement rules, read once per pod.

A pod's containers, selectors and affinity do not change once it can be scheduled, so needs are remembered by UID and generation of content.
Source: Kubernetes' documentation of sidecar containers (how init containers, sidecars and overhead add up).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.objects import Obj, get_path
from pykueue.api.quantity import parse_quantity

PODS = "pods"
Requests = Mapping[str, int]
"""By resource name, in thousandths of units."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one pod needs.

    Attributes:
        requests: with one of the resource `pods`.
        node_selector: labels the node must have.
        node_terms: required node affinity, any of these; None for no rule.
        tolerations: of taints.
        affinity: required terms of pod affinity.
        anti_affinity: required terms of pod anti-affinity.
        shape: equal for pods with equal needs, in one namespace, with equal labels where pod affinity is at play.
    """

    requests: Requests
    node_selector: Mapping[str, str]
    node_terms: Sequence[Mapping[str, Any]] | None
    tolerations: Sequence[Mapping[str, Any]]
    affinity: Sequence[Mapping[str, Any]]
    anti_affinity: Sequence[Mapping[str, Any]]
    shape: str


def needs_of(pod: Obj) -> Needs:
    """Read a pod's needs."""
    spec = pod.get("spec") or {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    node_affinity = get_path(spec, "affinity", "nodeAffinity", required)
    affinity = get_path(spec, "affinity", "podAffinity", required) or ()
    anti_affinity = get_path(spec, "affinity", "podAntiAffinity", required) or ()
    requests = requests_of(spec)
    fields = ("nodeSelector", "affinity", "tolerations")
    labels = objects.labels(pod) if affinity or anti_affinity else None
    content = [requests, [spec.get(f) for f in fields], objects.namespace(pod), labels]
    return Needs(
        requests,
        spec.get("nodeSelector") or {},
        None if node_affinity is None else node_affinity.get("nodeSelectorTerms") or (),
        spec.get("tolerations") or (),
        affinity,
        anti_affinity,
        json.dumps(content, sort_keys=True),
    )


def requests_of(spec: Mapping[str, Any]) -> dict[str, int]:
    """Requests of a pod: containers and sidecars together, or an init container (with the sidecars before it) if larger."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _container(container))
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        own = _container(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            _add(total, own)
            _raise(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise(peak, own)
    _raise(total, peak)
    whole = get_path(spec, "resources", "requests") or {}
    total |= {name: parse_quantity(value).milli for name, value in whole.items()}
    _add(total, {name: parse_quantity(value).milli for name, value in (spec.get("overhead") or {}).items()})
    return {**{name: amount for name, amount in total.items() if amount}, PODS: 1000}


def _container(container: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: parse_quantity(value).milli
        for name, value in (get_path(container, "resources", "requests") or {}).items()
    }


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, int], other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, 0), amount)
