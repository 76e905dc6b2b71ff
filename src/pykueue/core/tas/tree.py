"""The domains of one topology as flat arrays.

One array per level, each sorted by the full path of level values. So the children of a domain are neighbours, the leaves below any domain are
a range, and every order that ends in "level values" is the order of indexes. A leaf is one host where the topology ends in
`kubernetes.io/hostname`, else all nodes with the same path.

Whatever is derived from a tree (`capacity.py`: what is left in each leaf; `counts.py`: pods that fit; `Eligibility` here: leaves that pods may
use) reads `changes` and computes anew only the leaves that are named there. A node that goes leaves its domain behind, `live` says so; it
takes no pods and is not told of. Amounts are kept exactly, as Python's integers; arrays are made of them.

To extend: what pods say about single nodes belongs into `Wishes` (`demand.py`), with an array beside `Eligibility.mask`.

Source: tas.md §4.1, §4.2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pykueue.api.conversion.topology import HOSTNAME
from pykueue.core.tas.changes import Changes, Recent
from pykueue.core.tas.demand import Wishes
from pykueue.core.tas.nodes import Node, Path
from pykueue.core.workload.requests import Requests

if TYPE_CHECKING:
    from pykueue.core.tas.affinity import Scores
    from pykueue.core.tas.capacity import Room
    from pykueue.core.tas.ledger import Ledger

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
_ELIGIBILITIES_MAX = 64


@dataclass(slots=True, eq=False)
class Tree:
    """Domains of one topology among the nodes of one flavor.

    Attributes:
        levels: node labels, the widest first.
        paths: [level][domain], ascending.
        parents: [level][domain], index in the level above; level 0 has -1.
        starts: [level][domain], where its children begin in the level below, with the end of the last one's; not for the last level.
        resources: names that its nodes can allocate, ascending.
        nodes: [leaf], the nodes of a leaf by name.
        free: [leaf], allocatable less what pods without topology use.
        stored: [leaf], values that an assignment stores: a host says all (§6.4).
        live: [leaf], whether it has nodes.
        leaf_of: live leaf by stored values.
        leaf_of_node: leaf by node name.
        changes: leaves whose nodes or capacity changed.
        rooms: what is left in the leaves, by ledger and flavor; see `capacity.py`.
        scores: what pods think of the leaves, by their preferences; see `affinity.py`.
    """

    levels: tuple[str, ...]
    paths: list[list[Path]]
    parents: list[Ints]
    starts: list[Ints]
    resources: tuple[str, ...]
    nodes: list[tuple[Node, ...]]
    free: list[Requests]
    stored: list[Path]
    live: Bools
    leaf_of: dict[Path, int]
    leaf_of_node: dict[str, int]
    changes: Changes[int] = field(default_factory=Changes)
    rooms: dict[tuple[Ledger, str], Room] = field(default_factory=dict)
    scores: Recent[bytes, Scores] = field(default_factory=lambda: Recent(_ELIGIBILITIES_MAX))
    _eligibilities: Recent[bytes, Eligibility] = field(default_factory=lambda: Recent(_ELIGIBILITIES_MAX))

    @property
    def has_hosts(self) -> bool:
        """Whether leaves are hosts."""
        return bool(self.levels) and self.levels[-1] == HOSTNAME

    @property
    def stored_levels(self) -> tuple[str, ...]:
        """Levels that an assignment stores."""
        return self.levels[-1:] if self.has_hosts else self.levels

    @property
    def n_live(self) -> int:
        """Leaves that have nodes."""
        return len(self.leaf_of)

    def live_domains(self, level: int) -> Bools:
        """[domain] of a level: whether any leaf below has nodes."""
        found = self.live
        for k in range(len(self.levels) - 2, level - 1, -1):
            found = np.logical_or.reduceat(found, self.starts[k][:-1])
        return found

    def leaves_below(self, level: int, domain: int) -> range:
        """The leaves of a domain."""
        start, end = domain, domain + 1
        for k in range(level, len(self.levels) - 1):
            start, end = int(self.starts[k][start]), int(self.starts[k][end])
        return range(start, end)

    def ancestor(self, leaf: int, level: int) -> int:
        """The domain of a level that a leaf is in."""
        domain = leaf
        for k in range(len(self.levels) - 1, level, -1):
            domain = int(self.parents[k][domain])
        return domain

    def ancestors(self, level: int) -> Ints:
        """[leaf], the domain of a level that it is in."""
        found: Ints = np.arange(len(self.nodes))
        for k in range(len(self.levels) - 1, level, -1):
            found = self.parents[k][found]
        return found

    def eligibility(self, wishes: Wishes) -> Eligibility:
        """The leaves that pods with these wishes may use, up to date."""
        found = self._eligibilities.get(wishes.key, lambda: Eligibility(self, wishes))
        found.refresh()
        return found

    def change_free(self, node: str, amounts: Mapping[str, int], sign: int) -> None:
        """More or less of a node is used by pods without topology."""
        leaf = self.leaf_of_node.get(node)
        if leaf is not None:
            _add(self.free[leaf], amounts, sign)
            self.changes.note(leaf)

    def change_node(self, old: Node | None, new: Node | None, foreign: Mapping[str, int]) -> bool:
        """A node changed, came (no old) or went (no new).

        Args:
            old: as it was in the tree.
            new: as it is.
            foreign: what pods without topology use on it.

        Returns:
            False if the tree must be built anew.
        """
        leaf = self._find(new) if new is not None else 0
        if leaf is None or (new is not None and not new.allocatable.keys() <= set(self.resources)):
            return False
        if old is not None:
            was = self.leaf_of_node.pop(old.name)
            self.nodes[was] = tuple(node for node in self.nodes[was] if node.name != old.name)
            _add(self.free[was], old.allocatable, -1)
            _add(self.free[was], foreign, 1)
            self._note(was)
        if new is not None:
            self.leaf_of_node[new.name] = leaf
            self.nodes[leaf] = tuple(sorted((*self.nodes[leaf], new), key=lambda node: node.name))
            _add(self.free[leaf], new.allocatable, 1)
            _add(self.free[leaf], foreign, -1)
            self._note(leaf)
        # What lies about of nodes that are gone must not outweigh those that are there.
        return 2 * self.n_live > len(self.nodes)

    def _find(self, node: Node) -> int | None:
        path = tuple(node.labels[level] for level in self.levels)
        leaf = bisect_left(self.paths[-1], path)
        return leaf if leaf < len(self.nodes) and self.paths[-1][leaf] == path else None

    def _note(self, leaf: int) -> None:
        if self.nodes[leaf]:
            self.leaf_of[self.stored[leaf]] = leaf
        else:
            self.leaf_of.pop(self.stored[leaf], None)
        self.live[leaf] = bool(self.nodes[leaf])
        self.changes.note(leaf)


class Eligibility:
    """The leaves that pods may use, as far as taints, node selector and required affinity say; all live ones where leaves are not hosts.

    Attributes:
        mask: [leaf], whether pods may go there.
    """

    def __init__(self, tree: Tree, wishes: Wishes) -> None:
        self._tree = tree
        self._wishes = wishes
        self._obstacles: dict[int, str] = {}
        self._seen = tree.changes.end
        self.mask: Bools = tree.live.copy()
        if tree.has_hosts:
            self._judge(range(len(tree.nodes)))

    def refresh(self) -> None:
        """Catch up with the tree."""
        changes = self._tree.changes
        if self._seen != changes.end:
            dirty = changes.since(self._seen)
            self._seen = changes.end
            self._judge(range(len(self._tree.nodes)) if dirty is None else set(dirty))

    def tally(self) -> dict[str, int]:
        """Obstacle to leaves that have it."""
        return dict(Counter(self._obstacles.values()))

    def _judge(self, leaves: Iterable[int]) -> None:
        tree, wishes, obstacles = self._tree, self._wishes, self._obstacles
        looks_at_all = bool(wishes.selector) or wishes.terms is not None
        for leaf in leaves:
            nodes = tree.nodes[leaf]
            obstacle = None
            if nodes and tree.has_hosts and (looks_at_all or nodes[0].taints):
                obstacle = wishes.obstacle(nodes[0])
            if obstacle is not None:
                obstacles[leaf] = obstacle
            elif obstacles:
                obstacles.pop(leaf, None)
            self.mask[leaf] = bool(nodes) and obstacle is None


def build_tree(levels: tuple[str, ...], nodes: Iterable[Node], foreign: Mapping[str, Mapping[str, int]]) -> Tree:
    """The tree of nodes that all have a label for each level.

    Args:
        levels: at least one.
        nodes: usable ones, in any order.
        foreign: what pods without topology use, by node.
    """
    by_path: dict[Path, list[Node]] = {}
    for node in sorted(nodes, key=lambda n: n.name):
        by_path.setdefault(tuple([node.labels[level] for level in levels]), []).append(node)
    leaves = sorted(by_path)
    grouped = [tuple(by_path[path]) for path in leaves]
    paths, parents, starts = _shape(leaves, len(levels))
    free = []
    for group in grouped:
        total: Requests = dict(group[0].allocatable)
        for node in group[1:]:
            _add(total, node.allocatable, 1)
        for node in group:
            if node.name in foreign:
                _add(total, foreign[node.name], -1)
        free.append(total)
    stored = [path[-1:] for path in leaves] if levels[-1:] == (HOSTNAME,) else leaves
    return Tree(
        levels=levels,
        paths=paths,
        parents=parents,
        starts=starts,
        resources=tuple(sorted({name for group in grouped for node in group for name in node.allocatable})),
        nodes=grouped,
        free=free,
        stored=stored,
        live=np.ones(len(leaves), dtype=np.bool_),
        leaf_of={values: i for i, values in enumerate(stored)},
        leaf_of_node={node.name: i for i, group in enumerate(grouped) for node in group},
    )


def _shape(leaves: Sequence[Path], n_levels: int) -> tuple[list[list[Path]], list[Ints], list[Ints]]:
    """Paths, parents and starts of all levels, from the leaves' paths."""
    paths = [list(leaves)]
    parents: list[Ints] = []
    starts: list[Ints] = []
    for k in range(n_levels - 2, -1, -1):
        above: list[Path] = []
        parent_of, start_of = [], []
        for i, path in enumerate(paths[0]):
            if not above or above[-1] != path[: k + 1]:
                above.append(path[: k + 1])
                start_of.append(i)
            parent_of.append(len(above) - 1)
        start_of.append(len(paths[0]))
        paths.insert(0, above)
        parents.insert(0, np.array(parent_of, dtype=np.int64))
        starts.insert(0, np.array(start_of, dtype=np.int64))
    parents.insert(0, np.full(len(paths[0]), -1, dtype=np.int64))
    return paths, parents, starts


def _add(total: Requests, part: Mapping[str, int], sign: int) -> None:
    for name, amount in part.items():
        total[name] = total.get(name, 0) + sign * amount
