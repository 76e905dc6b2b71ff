"""Nodes as trees of domains, and what is free in each leaf.

A `NodeBook` takes in nodes and pods one by one, in any order, and answers with the `Tree` of a topology: one array per level, each sorted
by the full path of level values, so that the children of a domain are neighbours and every order that ends in "level values" is the order
of indexes. A leaf is one host where the topology ends in `kubernetes.io/hostname`, else all nodes with the same path.

The free capacity of a leaf is what its nodes can allocate less what pods without topology use. What Workloads with topology use is
not known here: it is held from their reservation on (`usage.py`) and subtracted by whoever places (`place.py`).

Trees are kept between calls. A pod changes one number of them; a node that really changed (a heartbeat does not) drops them.

Source: tas.md §4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api.constants import Annotation
from pykueue.api.objects import Obj, ObjectKey
from pykueue.core.resources import PODS, parse_amount
from pykueue.core.workload.requests import Requests, pod_requests

HOSTNAME = "kubernetes.io/hostname"
Path = tuple[str, ...]
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


@dataclass(slots=True, eq=False)
class Tree:
    """Domains of one topology among the nodes of one flavor.

    Attributes:
        levels: node labels, the widest first.
        paths: [level][domain], ascending.
        parents: [level][domain], index in the level above; level 0 has -1.
        children: [level][domain], indexes in the level below; the last level has empty ranges.
        nodes: [leaf], the nodes of a leaf by name.
        free: [leaf], allocatable less what pods without topology use.
        leaf_of: leaf by the values that an assignment stores (`stored_values`).
        leaf_of_node: leaf by node name.
    """

    levels: tuple[str, ...]
    paths: list[list[Path]]
    parents: list[list[int]]
    children: list[list[range]]
    nodes: list[tuple[Node, ...]]
    free: list[Requests]
    leaf_of: dict[Path, int] = field(default_factory=dict)
    leaf_of_node: dict[str, int] = field(default_factory=dict)

    @property
    def has_hosts(self) -> bool:
        """Whether leaves are hosts."""
        return bool(self.levels) and self.levels[-1] == HOSTNAME

    @property
    def stored_levels(self) -> tuple[str, ...]:
        """Levels that an assignment stores: a host says all (§6.4)."""
        return self.levels[-1:] if self.has_hosts else self.levels

    def stored_values(self, leaf: int) -> Path:
        """Values that an assignment stores for a leaf."""
        path = self.paths[-1][leaf]
        return path[-1:] if self.has_hosts else path


class NodeBook:
    """The latest nodes, and what pods without topology use on each."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._pods: dict[ObjectKey, tuple[str, Requests]] = {}
        self._foreign: dict[str, Requests] = {}
        self._trees: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Tree] = {}

    def set_node(self, name: str, obj: Obj | None) -> list[Node]:
        """Take in the latest version of a Node, None if it is gone; returns what it was and is, nothing without a change."""
        old = self._nodes.get(name)
        new = read_node(obj) if obj is not None else None
        if old == new:
            return []
        if new is None:
            del self._nodes[name]
        else:
            self._nodes[name] = new
        self._trees.clear()
        return [node for node in (old, new) if node is not None]

    def set_pod(self, key: ObjectKey, obj: Obj | None) -> Node | None:
        """Take in the latest version of a Pod, None if it is gone; returns the node where capacity became free."""
        new = read_foreign_pod(obj) if obj is not None else None
        old = self._pods.get(key)
        if old == new:
            return None
        if old is not None:
            del self._pods[key]
            self._shift(*old, sign=-1)
        if new is not None:
            self._pods[key] = new
            self._shift(*new, sign=1)
        return self._nodes.get(old[0]) if old is not None else None

    def tree(self, levels: Sequence[str], node_labels: Mapping[str, str]) -> Tree:
        """The domains of the usable nodes with these labels that have all levels."""
        key = (tuple(levels), tuple(sorted(node_labels.items())))
        tree = self._trees.get(key)
        if tree is None:
            chosen = [n for n in self._nodes.values() if _belongs(n, key[0], node_labels)]
            tree = self._trees[key] = build_tree(key[0], chosen)
            for name, leaf in tree.leaf_of_node.items():
                _add(tree.free[leaf], self._foreign.get(name, {}), sign=-1)
        return tree

    def _shift(self, node: str, requests: Requests, *, sign: int) -> None:
        _add(self._foreign.setdefault(node, {}), requests, sign=sign)
        for tree in self._trees.values():
            leaf = tree.leaf_of_node.get(node)
            if leaf is not None:
                _add(tree.free[leaf], requests, sign=-sign)


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


def build_tree(levels: tuple[str, ...], nodes: Sequence[Node]) -> Tree:
    """The tree of nodes that all have a label for each level; `free` is what they can allocate."""
    by_path: dict[Path, list[Node]] = {}
    for node in sorted(nodes, key=lambda n: n.name):
        by_path.setdefault(tuple(node.labels[level] for level in levels), []).append(node)
    leaves = sorted(by_path)
    paths = [sorted({path[: k + 1] for path in leaves}) for k in range(len(levels))]
    parents: list[list[int]] = [[-1] * len(paths[0])] if levels else []
    children: list[list[range]] = []
    for k in range(1, len(levels)):
        index = {path: i for i, path in enumerate(paths[k - 1])}
        parents.append([index[path[:k]] for path in paths[k]])
        starts = [0] * (len(paths[k - 1]) + 1)
        for parent in parents[k]:
            starts[parent + 1] += 1
        for i in range(1, len(starts)):
            starts[i] += starts[i - 1]
        children.append([range(starts[i], starts[i + 1]) for i in range(len(paths[k - 1]))])
    children.append([range(0)] * len(leaves))
    grouped = [tuple(by_path[path]) for path in leaves]
    free: list[Requests] = []
    for group in grouped:
        total: Requests = {}
        for node in group:
            _add(total, node.allocatable, sign=1)
        free.append(total)
    tree = Tree(levels, paths, parents, children, grouped, free)
    tree.leaf_of = {tree.stored_values(i): i for i in range(len(leaves))}
    tree.leaf_of_node = {node.name: i for i, group in enumerate(grouped) for node in group}
    return tree


def _belongs(node: Node, levels: tuple[str, ...], node_labels: Mapping[str, str]) -> bool:
    return (
        node.is_usable
        and all(node.labels.get(key) == value for key, value in node_labels.items())
        and all(level in node.labels for level in levels)
    )


def _add(total: Requests, part: Mapping[str, int], *, sign: int) -> None:
    for name, amount in part.items():
        total[name] = total.get(name, 0) + sign * amount
