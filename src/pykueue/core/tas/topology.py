"""Nodes as they come and go, and the trees that are made of them.

A `NodeBook` takes in nodes and pods one by one, in any order, and answers with the `Tree` of a topology (`tree.py`). Trees are kept between
calls. A pod changes one leaf of them, and so does a node that changes, goes or comes back; a heartbeat changes nothing. Only a node on a
path that was never there makes the tree be built anew, at the next call.

The free capacity of a leaf is what its nodes can allocate less what pods without topology use. What Workloads with topology use is
not known here: it is held from their reservation on (`ledger.py`) and subtracted by whoever places (`capacity.py`).

`tree.py` and all that works on its arrays is imported with the first tree: a cluster without topologies does without them.

Source: tas.md §4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pykueue.api.objects import Obj, ObjectKey
from pykueue.core.tas.nodes import Node, read_foreign_pod, read_node
from pykueue.core.workload.requests import Requests

if TYPE_CHECKING:
    from pykueue.core.tas.tree import Tree

_TreeKey: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Levels, and labels of the nodes."""

_NOTHING: Mapping[str, int] = {}


class NodeBook:
    """The latest nodes, and what pods without topology use on each."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._pods: dict[ObjectKey, tuple[str, Requests]] = {}
        self._foreign: dict[str, Requests] = {}
        self._trees: dict[_TreeKey, Tree] = {}

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
        for key, tree in list(self._trees.items()):
            was = old if old is not None and _belongs(old, *key) else None
            is_now = new if new is not None and _belongs(new, *key) else None
            if (was or is_now) and not tree.change_node(was, is_now, self._foreign.get(name, _NOTHING)):
                del self._trees[key]
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
        from pykueue.core.tas.tree import build_tree

        key = _tree_key(levels, node_labels)
        tree = self._trees.get(key)
        if tree is None:
            chosen = [n for n in self._nodes.values() if _belongs(n, *key)]
            tree = self._trees[key] = build_tree(key[0], chosen, self._foreign)
        return tree

    def keep_trees(self, wanted: Iterable[tuple[Sequence[str], Mapping[str, str]]]) -> None:
        """Drop all trees but these; their rooms are made anew, for the flavors that they were of may be gone.

        Args:
            wanted: levels and labels of nodes, as of `tree`.
        """
        keys = {_tree_key(*each) for each in wanted}
        self._trees = {key: tree for key, tree in self._trees.items() if key in keys}
        for tree in self._trees.values():
            tree.rooms.clear()

    def left_out(self, levels: Sequence[str], node_labels: Mapping[str, str]) -> list[str]:
        """Names of the nodes with these labels that are in no domain: not usable, or without a label of each level."""
        labels = tuple(node_labels.items())
        return sorted(
            node.name
            for node in self._nodes.values()
            if not _belongs(node, levels, labels) and all(node.labels.get(key) == value for key, value in labels)
        )

    def _shift(self, node: str, requests: Requests, *, sign: int) -> None:
        total = self._foreign.setdefault(node, {})
        for name, amount in requests.items():
            total[name] = total.get(name, 0) + sign * amount
        if not any(total.values()):
            del self._foreign[node]
        for tree in self._trees.values():
            tree.change_free(node, requests, -sign)


def _tree_key(levels: Sequence[str], node_labels: Mapping[str, str]) -> _TreeKey:
    return tuple(levels), tuple(sorted(node_labels.items()))


def _belongs(node: Node, levels: Sequence[str], node_labels: Sequence[tuple[str, str]]) -> bool:
    return (
        node.is_usable
        and all(node.labels.get(key) == value for key, value in node_labels)
        and all(level in node.labels for level in levels)
    )
