"""Whether a pod may run on a node, and if not, why, in kube-scheduler's words.

`NodeRoom` is a node during one pass: what is allocatable, what its pods take. The filters run in kube-scheduler's order, and the first
that says no gives the reason; resources alone give one reason for each that is short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api import objects
from pykueue.api.objects import Obj, get_path, matches_labels
from pykueue.api.quantity import parse_quantity
from pykueue.emulation.pod_scheduler.needs import PODS, Needs, Requests

_HARD = ("NoSchedule", "NoExecute")


@dataclass(slots=True)
class NodeRoom:
    """A node with what is taken of it.

    Attributes:
        node: the object.
        allocatable: in thousandths of units.
        used: the same, of the pods that are bound to it.
        pods: those pods; only filled where pod affinity asks.
    """

    node: Obj
    allocatable: Requests
    used: dict[str, int] = field(default_factory=dict)
    pods: list[Obj] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The node's name."""
        return objects.name(self.node)

    def take(self, requests: Requests) -> None:
        """Count a pod."""
        for resource, amount in requests.items():
            self.used[resource] = self.used.get(resource, 0) + amount

    def free_share(self, requests: Requests) -> float:
        """Mean free share of cpu and memory with the pod on the node: the least allocated node has most."""
        shares = [
            (total - self.used.get(resource, 0) - requests.get(resource, 0)) / total
            for resource in ("cpu", "memory")
            if (total := self.allocatable.get(resource, 0)) > 0
        ]
        return sum(shares) / len(shares) if shares else 0.0


def room_of(node: Obj) -> NodeRoom:
    """An empty node."""
    values = get_path(node, "status", "allocatable") or get_path(node, "status", "capacity") or {}
    return NodeRoom(node, {name: parse_quantity(value).milli for name, value in values.items()})


def node_faults(needs: Needs, room: NodeRoom) -> list[str]:
    """Why the pod cannot run on the node, whatever the other nodes hold; empty if it can."""
    node, spec = room.node, room.node.get("spec") or {}
    unschedulable = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if spec.get("unschedulable") and not _is_tolerated(needs.tolerations, unschedulable):
        return ["node(s) were unschedulable"]
    for taint in spec.get("taints") or ():
        if taint.get("effect") in _HARD and not _is_tolerated(needs.tolerations, taint):
            value = taint.get("value") or ""
            return [f"node(s) had untolerated taint(s) {{{taint.get('key')}: {value}}}"]
    if not _selects(needs, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    return list(_shortages(needs, room))


def affinity_fault(pod: Obj, needs: Needs, room: NodeRoom, rooms: Sequence[NodeRoom]) -> str:
    """Why pods elsewhere keep the pod off this node; empty if they do not."""
    for term in needs.affinity:
        domain = _domain(term, room)
        same = [p for r in rooms if domain is not None and _domain(term, r) == domain for p in r.pods]
        if any(_term_selects(term, pod, other) for other in same):
            continue
        # The first of a group that asks for its own company would never start otherwise.
        is_first = _term_selects(term, pod, pod) and not any(_term_selects(term, pod, p) for r in rooms for p in r.pods)
        if domain is None or not is_first:
            return "node(s) didn't match pod affinity rules"
    for term in needs.anti_affinity:
        domain = _domain(term, room)
        same = [p for r in rooms if domain is not None and _domain(term, r) == domain for p in r.pods]
        if any(_term_selects(term, pod, other) for other in same):
            return "node(s) didn't match pod anti-affinity rules"
    for other_room in rooms:
        for other in other_room.pods:
            for term in _anti_terms(other):
                domain = _domain(term, room)
                if domain is not None and domain == _domain(term, other_room) and _term_selects(term, other, pod):
                    return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def _anti_terms(pod: Obj) -> Sequence[Mapping[str, Any]]:
    path = ("spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return get_path(pod, *path) or ()


def has_anti_affinity(pod: Obj) -> bool:
    """Whether a pod keeps others away."""
    return bool(_anti_terms(pod))


def _domain(term: Mapping[str, Any], room: NodeRoom) -> str | None:
    return objects.labels(room.node).get(str(term.get("topologyKey") or ""))


def _term_selects(term: Mapping[str, Any], owner: Obj, other: Obj) -> bool:
    """Whether a term of one pod selects another; namespace selectors select all namespaces when empty, else none but the named."""
    namespaces = term.get("namespaces") or [objects.namespace(owner)]
    if term.get("namespaceSelector") != {} and objects.namespace(other) not in namespaces:
        return False
    return matches_labels(term.get("labelSelector"), objects.labels(other))


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a toleration covers a taint."""
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if operator == "Exists":
        return key in {"", taint.get("key")}
    is_same = (toleration.get("value") or "") == (taint.get("value") or "")
    return operator == "Equal" and key == taint.get("key") and is_same


def _is_tolerated(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _selects(needs: Needs, node: Obj) -> bool:
    labels = objects.labels(node)
    if any(labels.get(k) != v for k, v in needs.node_selector.items()):
        return False
    return needs.node_terms is None or any(_node_term(term, node) for term in needs.node_terms)


def _node_term(term: Mapping[str, Any], node: Obj) -> bool:
    expressions, of_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not of_fields:
        return False
    fields = {"metadata.name": objects.name(node)}
    return all(_node_expression(e, objects.labels(node)) for e in expressions) and all(
        _node_expression(e, fields) for e in of_fields
    )


def _node_expression(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    key, operator = expression.get("key", ""), expression.get("operator")
    wanted: Sequence[str] = expression.get("values") or []
    if operator in {"Gt", "Lt"}:
        try:
            has, limit = int(values[key]), int(wanted[0])
        except (KeyError, IndexError, ValueError):
            return False
        return has > limit if operator == "Gt" else has < limit
    return matches_labels({"matchExpressions": [expression]}, values)


def _shortages(needs: Needs, room: NodeRoom) -> Iterator[str]:
    for resource, amount in needs.requests.items():
        if amount > room.allocatable.get(resource, 0) - room.used.get(resource, 0):
            yield "Too many pods" if resource == PODS else f"Insufficient {resource}"
