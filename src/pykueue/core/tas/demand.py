"""What pods ask of nodes: amounts, and which hosts they may use at all.

Source: tas.md §4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from pykueue.core.resources import PODS
from pykueue.core.scheduler.affinity import tolerates
from pykueue.core.tas.nodes import Node

_EFFECTS = ("NoSchedule", "NoExecute")
Preferences: TypeAlias = Sequence[Mapping[str, Any]]
"""`preferredDuringSchedulingIgnoredDuringExecution` of a PodSpec."""


@dataclass(frozen=True, slots=True)
class PodDemand:
    """Equal pods to place.

    Attributes:
        name: of the pod set.
        count: pods.
        per_pod: amounts that one pod takes of a node, with 1 of `pods`.
        spec: PodSpec, for node selector, affinity and tolerations.
        tolerations: more of them, of the flavor.
        preferences: preferred node affinity, where it counts.
    """

    name: str
    count: int
    per_pod: Mapping[str, int]
    spec: Mapping[str, Any]
    tolerations: Sequence[Mapping[str, Any]] = ()
    preferences: Preferences = ()

    @property
    def wishes(self) -> Wishes:
        """What the pods say about hosts."""
        spec = self.spec
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        return Wishes(
            (*(spec.get("tolerations") or ()), *self.tolerations),
            spec.get("nodeSelector") or {},
            None if required is None else required.get("nodeSelectorTerms") or (),
        )

    @property
    def shape(self) -> bytes:
        """Equal for pods that the same leaves take, in the same numbers."""
        return self.wishes.key + msgspec.json.encode(self.per_pod)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What pods say about hosts.

    Attributes:
        tolerations: of the pods and their flavor.
        selector: node selector.
        terms: of the required node affinity; None if there is none.
    """

    tolerations: Sequence[Mapping[str, Any]]
    selector: Mapping[str, str]
    terms: Sequence[Mapping[str, Any]] | None

    @property
    def key(self) -> bytes:
        """Equal for equal wishes."""
        if not self.tolerations and not self.selector and self.terms is None:
            return b""
        return msgspec.json.encode((self.tolerations, self.selector, self.terms))

    def obstacle(self, node: Node) -> str | None:
        """Why the pods may not run on a host at all; None if they may."""
        taint = untolerated(node, self.tolerations) if node.taints else None
        if taint is not None:
            value = f"={taint['value']}" if taint.get("value") else ""
            return f'taint "{taint.get("key", "")}{value}:{taint.get("effect", "")}"'
        if self.selector and any(node.labels.get(key) != value for key, value in self.selector.items()):
            return "nodeSelector"
        if self.terms is not None and not any(matches_term(node, term) for term in self.terms):
            return "affinity"
        return None


def demand_of_pod(requests: Mapping[str, int]) -> dict[str, int]:
    """What one pod takes of a node, from its requests."""
    return {**requests, PODS: requests.get(PODS, 0) + 1}


def preferences_of(spec: Mapping[str, Any]) -> Preferences:
    """The preferred node affinity of a PodSpec."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()


def untolerated(node: Node, tolerations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first taint of the node that keeps a pod with these tolerations away."""
    for taint in node.taints:
        if taint.get("effect") in _EFFECTS and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None


def matches_term(node: Node, term: Mapping[str, Any]) -> bool:
    """Kubernetes' rule for one node selector term; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_matches(e, node.labels) for e in expressions) and all(
        _matches(e, {"metadata.name": node.name}) for e in fields
    )


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.get("key", ""))
    values: Sequence[str] = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or len(values) != 1 or not _is_int(value) or not _is_int(values[0]):
                return False
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
        case _:
            return False


def _is_int(text: str) -> bool:
    return text.lstrip("+-").isdecimal()
