"""What is left in each leaf: the tree's free capacity less what a ledger holds of it.

A `Room` is one array of amounts, [resource][leaf]. It computes anew the leaves that the tree or the ledger noted as changed, from the exact
amounts that these keep; so a trial that was undone leaves no trace, and nothing has to be undone here. There is a room for
each ledger and each way in which flavors enter their domains there: flavors on the same hosts share one.

Rooms belong to their tree and go with it. The real ledger's tells what is left beside everybody; that of an empty one, what there would be
without the Workloads that have topology (`Ledger.blank`).

Source: tas.md §4.1, §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pykueue.core.tas.changes import Changes, Recent
from pykueue.core.tas.counts import Counts
from pykueue.core.tas.demand import PodDemand
from pykueue.core.tas.ledger import Ledger, Places, Spot
from pykueue.core.tas.request import Layout
from pykueue.core.tas.tree import Ints, Tree

_COUNTS_MAX = 32
_MOST = 1 << 62
"""The largest amount, and debt, that arrays know."""


class Room:
    """What is left in the leaves of a tree.

    Attributes:
        tree: whose leaves.
        ledger: what is held.
        flavor: that the leaves are entered under there.
        left: [resource][leaf], amounts; negative where more is held than there is.
        changes: leaves whose amounts, or nodes, changed.
    """

    def __init__(self, tree: Tree, ledger: Ledger, flavor: str) -> None:
        self.tree = tree
        self.left: Ints = np.zeros((len(tree.resources), len(tree.nodes)), dtype=np.int64)
        self._free = self.left.copy()
        self.changes: Changes[int] = Changes()
        self.ledger = ledger
        self.flavor = flavor
        self._seen_tree = self._seen_ledger = -1
        self._counts: Recent[tuple[object, ...], Counts] = Recent(_COUNTS_MAX)

    def refresh(self) -> None:
        """Catch up with the tree and the ledger."""
        tree, changes = self.tree, self.ledger.changes
        if self._seen_tree == tree.changes.end and self._seen_ledger == changes.end:
            return
        leaves, spots = tree.changes.since(self._seen_tree), changes.since(self._seen_ledger)
        self._seen_tree, self._seen_ledger = tree.changes.end, changes.end
        if leaves is None or spots is None:
            leaves, spots = list(range(len(tree.nodes))), []
        flavor, leaf_of, stored = self.flavor, tree.leaf_of, tree.stored
        dirty = {leaf: Spot(flavor, stored[leaf]) for leaf in leaves}
        if dirty:
            which = list(dirty)
            self._free[:, which] = self._array([tree.free[leaf] for leaf in which])
        for spot in spots:
            if spot[0] == flavor:
                leaf = leaf_of.get(spot[1])
                if leaf is not None:
                    dirty[leaf] = spot
        if dirty:
            which = list(dirty)
            held_in = self.ledger.held
            holding = {leaf: held for leaf, spot in dirty.items() if (held := held_in(spot))}
            self.left[:, which] = self._free[:, which]
            if holding:
                self.left[:, list(holding)] -= self._array(list(holding.values()))
            self.changes.note(*which)

    def _array(self, columns: Sequence[Mapping[str, int]]) -> Ints:
        """[resource][column] of exact amounts, as far as two of them can be subtracted."""
        names = self.tree.resources
        rows = [[column.get(name, 0) for name in names] for column in columns]
        try:
            found = np.array(rows, dtype=np.int64)
        except OverflowError:
            found = np.array([[max(-_MOST, min(amount, _MOST)) for amount in row] for row in rows], dtype=np.int64)
        np.maximum(found, -_MOST, out=found)
        return np.minimum(found, _MOST, out=found).T

    def holds(self, places: Places) -> bool:
        """Whether each of the domains has room for its pods."""
        self.refresh()
        leaf_of = self.tree.leaf_of
        leaves = [leaf_of.get(domain.values, -1) for domain in places.domains]
        if -1 in leaves:
            return False
        left = self.left[:, np.array(leaves, dtype=np.int64)]
        n_pods = np.array([domain.n_pods for domain in places.domains])
        rows = {name: row for row, name in enumerate(self.tree.resources)}
        asked = [(rows.get(name), amount) for name, amount in places.per_pod.items() if amount > 0]
        return all(row is not None and bool((left[row] // amount >= n_pods).all()) for row, amount in asked)

    def counts(
        self, layout: Layout, workers: PodDemand, leader: PodDemand | None, inside: Iterable[range] | None = None
    ) -> Counts:
        """How many of these pods each domain takes, up to date.

        Args:
            layout: which slices are counted.
            workers: the pods that are many.
            leader: the single pod to place with them.
            inside: the leaves that may be used at all; None for all.
        """
        if inside is not None:
            found = Counts(self, layout, workers, leader, inside)
        else:
            head = leader.shape if leader is not None else None
            key = (workers.shape, head, layout.slice_level, layout.slice_size, *layout.inner.items())
            found = self._counts.get(key, lambda: Counts(self, layout, workers, leader))
        found.refresh()
        return found


def room_of(tree: Tree, ledger: Ledger, flavor: str) -> Room:
    """The room of a tree beside a ledger, up to date; `flavor` is the one that the tree is of."""
    entered = ledger.spot(flavor, tree.stored_levels, ()).flavor
    room = tree.rooms.get((ledger, entered))
    if room is None:
        room = tree.rooms[ledger, entered] = Room(tree, ledger, entered)
    room.refresh()
    return room
