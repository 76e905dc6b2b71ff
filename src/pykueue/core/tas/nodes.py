"""Nodes, and the pods beside topologies that use them, as placement sees them.

Plain values, read from raw objects. What is made of them is `topology.py`'s; what pods ask of them is `demand.py`'s.

Source: tas.md §4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.api.constants import Annotation
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Topology
from pykueue.core.resources import PODS, parse_amount
from pykueue.core.workload.requests import Requests, pod_requests

Path: TypeAlias = tuple[str, ...]
"""Values of the levels, from the widest down."""

_TOPOLOGY_ANNOTATIONS = (
    Annotation.POD_SET_REQUIRED_TOPOLOGY,
    Annotation.POD_SET_PREFERRED_TOPOLOGY,
    Annotation.POD_SET_UNCONSTRAINED_TOPOLOGY,
    Annotation.POD_SET_SLICE_REQUIRED_TOPOLOGY,
    Annotation.POD_SET_SLICE_CONSTRAINTS,
)


@dataclass(frozen=True, slots=True)
class Node:
    """What placement needs of a Kubernetes Node.

    Attributes:
        name: of the Node.
        labels: all labels.
        allocatable: amounts.
        taints: as in `spec.taints`.
        is_usable: ready and not cordoned.
    """

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int]
    taints: tuple[Mapping[str, Any], ...]
    is_usable: bool


def levels_of(topology: Topology) -> tuple[str, ...]:
    """Node labels of a topology's levels, from the widest down."""
    return tuple(level.node_label for level in topology.spec.levels)


def read_node(obj: Obj) -> Node:
    """A Node object as placement sees it."""
    meta, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return Node(
        name=meta.get("name", ""),
        labels=dict(meta.get("labels") or {}),
        allocatable={name: parse_amount(name, text) for name, text in (status.get("allocatable") or {}).items()},
        taints=tuple(spec.get("taints") or ()),
        is_usable=is_ready and not spec.get("unschedulable"),
    )


def read_foreign_pod(obj: Obj) -> tuple[str, Requests] | None:
    """Node and requests of a pod that takes capacity from placement; None if it takes none, or is placed itself."""
    spec, meta = obj.get("spec") or {}, obj.get("metadata") or {}
    node = spec.get("nodeName")
    if not node or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return None
    annotations = meta.get("annotations") or {}
    if any(name in annotations for name in _TOPOLOGY_ANNOTATIONS):
        return None
    requests = pod_requests(spec)
    requests[PODS] = requests.get(PODS, 0) + 1
    return node, requests
