"""How many pods each leaf takes: which nodes a pod may use at all, and what fits beside everything counted so far.

Leaves that take nothing are tallied by reason, for people who ask why. Where leaves are not hosts, only resources count: a leaf is then
many nodes, and no node's taints or labels speak for it.

Source: tas.md §4.2, §4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.core.resources import PODS
from pykueue.core.scheduler.affinity import tolerates
from pykueue.core.tas.topology import Node, Tree

_EFFECTS = ("NoSchedule", "NoExecute")
_MANY = 1 << 63
"""More pods than any node takes."""
Taken = Callable[[int], Mapping[str, int]]
"""Amounts in use in a leaf by Workloads with topology, and by pod sets placed before in the same Workload."""


@dataclass(frozen=True, slots=True)
class PodDemand:
    """Equal pods to place.

    Attributes:
        name: of the pod set.
        count: pods.
        per_pod: amounts that one pod takes of a node, with 1 of `pods`.
        spec: PodSpec, for node selector, affinity and tolerations.
        tolerations: more of them, of the flavor.
    """

    name: str
    count: int
    per_pod: Mapping[str, int]
    spec: Mapping[str, Any]
    tolerations: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class LeafCounts:
    """What each leaf takes.

    Attributes:
        pods: [leaf], pods.
        pods_beside_leader: [leaf], pods once a leader is there too (the same as `pods` where none fits).
        leaders: [leaf], 1 where a leader fits.
        excluded: reason to leaves that take no pod.
    """

    pods: list[int]
    pods_beside_leader: list[int]
    leaders: list[int]
    excluded: dict[str, int] = field(default_factory=dict)


def count_leaves(
    tree: Tree,
    workers: PodDemand,
    leader: PodDemand | None,
    taken: Taken,
    is_inside: Callable[[int], bool] | None = None,
) -> LeafCounts:
    """Count for every leaf.

    Args:
        tree: of the flavor.
        workers: the pods that are many.
        leader: the single pod to place with them.
        taken: what is in use.
        is_inside: leaves outside are `topologyDomain` exclusions (replacement of a node); None allows all.
    """
    n = len(tree.nodes)
    counts = LeafCounts([0] * n, [0] * n, [0] * n)
    excluded = counts.excluded
    crowd, head = _wishes(tree, workers), _wishes(tree, leader)
    for leaf in range(n):
        reason = _obstacle(tree, leaf, crowd) if crowd is not None else None
        if reason is None and is_inside is not None and not is_inside(leaf):
            reason = "topologyDomain"
        if reason is not None:
            excluded[reason] = excluded.get(reason, 0) + 1
            continue
        used = taken(leaf)
        left = (
            {name: amount - used.get(name, 0) for name, amount in tree.free[leaf].items()} if used else tree.free[leaf]
        )
        n_pods = counts.pods[leaf] = counts.pods_beside_leader[leaf] = fit(left, workers.per_pod)
        if n_pods == 0:
            reason = f'resource "{scarcest(left, workers.per_pod)}"'
            excluded[reason] = excluded.get(reason, 0) + 1
        if (
            leader is not None
            and fit(left, leader.per_pod) > 0
            and (head is None or _obstacle(tree, leaf, head) is None)
        ):
            counts.leaders[leaf] = 1
            beside = {name: amount - leader.per_pod.get(name, 0) for name, amount in left.items()}
            counts.pods_beside_leader[leaf] = fit(beside, workers.per_pod)
    return counts


def fit(left: Mapping[str, int], per_pod: Mapping[str, int]) -> int:
    """Pods that fit into what is left; a pod asks for something, at least for a place among the `pods`."""
    fewest = _MANY
    for name, amount in per_pod.items():
        if amount > 0:
            n_pods = left.get(name, 0) // amount
            if n_pods <= 0:
                return 0
            fewest = min(fewest, n_pods)
    return fewest


def scarcest(left: Mapping[str, int], per_pod: Mapping[str, int]) -> str:
    """The resource that lets the fewest pods fit; the first by name among equals."""
    asked = [(max(0, left.get(name, 0)) // amount, name) for name, amount in per_pod.items() if amount > 0]
    return min(asked)[1]


def demand_of_pod(requests: Mapping[str, int]) -> dict[str, int]:
    """What one pod takes of a node, from its requests."""
    return {**requests, PODS: requests.get(PODS, 0) + 1}


def excluded_text(counts: LeafCounts) -> str:
    """The end of a message that says why nodes were left out; empty if none was."""
    if not counts.excluded:
        return ""
    entries = ", ".join(f"{reason}: {n}" for reason, n in sorted(counts.excluded.items()))
    return f". Total nodes: {len(counts.pods)}; excluded: {entries}"


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What pods say about nodes."""

    tolerations: Sequence[Mapping[str, Any]]
    selector: Mapping[str, str]
    terms: Sequence[Mapping[str, Any]] | None


def _wishes(tree: Tree, pods: PodDemand | None) -> _Wishes | None:
    """What pods say about hosts; None where no host is asked."""
    if pods is None or not tree.has_hosts:
        return None
    affinity = (pods.spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return _Wishes(
        (*(pods.spec.get("tolerations") or ()), *pods.tolerations),
        pods.spec.get("nodeSelector") or {},
        None if required is None else required.get("nodeSelectorTerms") or (),
    )


def _obstacle(tree: Tree, leaf: int, wishes: _Wishes) -> str | None:
    """Why the pods may not run on a host at all."""
    node = tree.nodes[leaf][0]
    taint = untolerated(node, wishes.tolerations) if node.taints else None
    if taint is not None:
        value = f"={taint['value']}" if taint.get("value") else ""
        return f'taint "{taint.get("key", "")}{value}:{taint.get("effect", "")}"'
    if wishes.selector and any(node.labels.get(key) != value for key, value in wishes.selector.items()):
        return "nodeSelector"
    if wishes.terms is not None and not any(matches_term(node, term) for term in wishes.terms):
        return "affinity"
    return None


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
