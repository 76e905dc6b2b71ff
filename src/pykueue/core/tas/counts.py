"""How many pods, and slices of pods, every domain takes.

Numbers of leaves come from what is left there (`capacity.py`); those of wider domains are summed up level by level, for the leaves below a
domain are neighbours. A `Counts` is kept for each kind of pods and slices: after a change of usage only the leaves that changed are
counted again, and the domains above them.

Leaves that take nothing are tallied by reason, for people who ask why; only when they ask.

To extend: add an array per level and compute it in `_count` and `_roll`, from children to parents, for `changed` leaves or for all.
Whoever wants to change numbers to try something out copies the arrays (`balanced.py`).

Source: tas.md §4.2, §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pykueue.core.resources import UNLIMITED
from pykueue.core.tas.demand import PodDemand
from pykueue.core.tas.request import Layout
from pykueue.core.tas.tree import Bools, Eligibility, Ints, Tree

if TYPE_CHECKING:
    from pykueue.core.tas.capacity import Room

_MANY = 1 << 31
"""More pods than any pod set has; so many at most are counted in a leaf, and their sums stay within 64 bits."""
_NEVER = 1 << 62
_PART = 8
"""Where more than one leaf in so many changed, all are counted again."""


class _Ask:
    """One kind of pod, as rows of the tree's resources."""

    def __init__(self, tree: Tree, pods: PodDemand) -> None:
        row_of = {name: row for row, name in enumerate(tree.resources)}
        self.amounts = [
            (name, row_of.get(name), min(amount, UNLIMITED))
            for name, amount in sorted(pods.per_pod.items())
            if amount > 0
        ]
        self.column: Ints = np.array([pods.per_pod.get(name, 0) for name in tree.resources], dtype=np.int64)
        self._wishes = pods.wishes
        self._tree = tree

    def eligibility(self) -> Eligibility:
        """Where the pods may go."""
        return self._tree.eligibility(self._wishes)

    def fit(self, left: Ints) -> Ints:
        """[leaf], pods that fit into amounts [resource][leaf]."""
        found: Ints | None = None
        for _, row, amount in self.amounts:
            n_pods = left[row] // amount if row is not None else np.zeros(left.shape[1], dtype=np.int64)
            found = n_pods if found is None else np.minimum(found, n_pods, out=found)
        if found is None:
            return np.full(left.shape[1], _MANY, dtype=np.int64)
        np.maximum(found, 0, out=found)
        return np.minimum(found, _MANY, out=found)

    def scarcest(self, left: Ints) -> Ints:
        """[leaf], position in `amounts` of the resource that lets the fewest pods fit; the first by name among equals."""
        none = np.zeros(left.shape[1], dtype=np.int64)
        each = [np.maximum(left[row], 0) // amount if row is not None else none for _, row, amount in self.amounts]
        found: Ints = np.argmin(np.stack(each), axis=0)
        return found


class Counts:
    """What domains take; each array is [level][domain].

    Attributes:
        pods: workers.
        pods_beside_leader: workers once a leader is there too.
        slices: whole slices, on the slice level and above; 0 below.
        slices_beside_leader: the same beside a leader.
        leaders: 1 where a leader fits.
        seen: where it stopped reading the room's changes; -1 before the first count.
    """

    def __init__(
        self,
        room: Room,
        layout: Layout,
        workers: PodDemand,
        leader: PodDemand | None,
        inside: Iterable[range] | None = None,
    ) -> None:
        tree = self.tree = room.tree
        self._room = room
        self._layout = layout
        self._workers = _Ask(tree, workers)
        self._leader = _Ask(tree, leader) if leader is not None else None
        self._inside: Bools | None = None
        if inside is not None:
            self._inside = np.zeros(len(tree.nodes), dtype=np.bool_)
            for leaves in inside:
                self._inside[leaves.start : leaves.stop] = True
        self.seen = -1
        empty = [np.zeros(len(paths), dtype=np.int64) for paths in tree.paths]
        self.pods = [array.copy() for array in empty]
        self.pods_beside_leader = [array.copy() for array in empty] if leader is not None else self.pods
        self._are_pods = layout.slice_size == 1 and all(size == 1 for size in layout.inner.values())
        """Slices of one pod are pods, on the slice level and above: the arrays are the same ones."""
        level = layout.slice_level
        self.slices = [(self.pods if self._are_pods and k <= level else empty)[k] for k in range(len(empty))]
        if not self._are_pods:
            self.slices = [array.copy() for array in empty]
        self.slices_beside_leader = self.slices
        if leader is not None:
            beside = self.pods_beside_leader
            self.slices_beside_leader = [
                beside[k] if self._are_pods and k <= level else empty[k].copy() for k in range(len(empty))
            ]
        self.leaders = [array.copy() for array in empty]

    def refresh(self) -> None:
        """Catch up with the room."""
        self._room.refresh()
        changes = self._room.changes
        if self.seen == changes.end:
            return
        dirty = changes.since(self.seen)
        self.seen = changes.end
        if dirty is not None:
            leaves = sorted(set(dirty))
            if len(leaves) * _PART <= len(self.tree.nodes):
                self._count(np.array(leaves, dtype=np.int64))
                return
        self._count(None)

    def allowed(self) -> Bools:
        """[leaf], whether the workers may go there, room or not."""
        mask = self._workers.eligibility().mask
        return mask if self._inside is None else mask & self._inside

    def excluded_text(self) -> str:
        """The end of a message that says why nodes were left out; empty if none was."""
        eligibility = self._workers.eligibility()
        excluded = eligibility.tally()
        rest = eligibility.mask
        if self._inside is not None:
            n_outside = int(np.count_nonzero(rest & ~self._inside))
            if n_outside:
                excluded["topologyDomain"] = n_outside
            rest = rest & self._inside
        leaves = np.flatnonzero(rest & (self.pods[-1] == 0))
        if len(leaves):
            which = self._workers.scarcest(self._room.left[:, leaves])
            for (name, _, _), n in zip(self._workers.amounts, np.bincount(which).tolist(), strict=False):
                if n:
                    excluded[f'resource "{name}"'] = n
        if not excluded:
            return ""
        entries = ", ".join(f"{reason}: {n}" for reason, n in sorted(excluded.items()))
        return f". Total nodes: {self.tree.n_live}; excluded: {entries}"

    def _count(self, leaves: Ints | None) -> None:
        """Count leaves, None for all, and the domains above those that changed."""
        which = slice(None) if leaves is None else leaves
        left = self._room.left[:, which]
        allowed = self._workers.eligibility().mask[which]
        if self._inside is not None:
            allowed = allowed & self._inside[which]
        pods = self._workers.fit(left)
        pods *= allowed
        changed = pods != self.pods[-1][which]
        self.pods[-1][which] = pods
        if self._leader is not None:
            fits = allowed & self._leader.eligibility().mask[which] & (self._leader.fit(left) > 0)
            beside = np.where(fits, self._workers.fit(left - self._leader.column[:, np.newaxis]), pods)
            changed |= (beside != self.pods_beside_leader[-1][which]) | (fits != self.leaders[-1][which])
            self.pods_beside_leader[-1][which] = beside
            self.leaders[-1][which] = fits
        if leaves is None:
            self._roll(None)
        elif changed.any():
            self._roll(leaves[changed])

    def _roll(self, changed: Ints | None) -> None:
        """Sum up, from the leaves to the widest level, above leaves that changed or everywhere (§4.3)."""
        tree, layout = self.tree, self._layout
        lowest = len(tree.levels) - 1
        for level in range(lowest, -1, -1):
            if level < lowest:
                changed = _distinct(tree.parents[level + 1][changed]) if changed is not None else None
                spans = _Spans(tree, level, changed)
                if self._leader is not None:
                    spans.put(self.leaders, np.maximum)
                size = layout.inner.get(level + 1, 1)
                self._sum(spans, self.pods, self.pods_beside_leader, size)
                if level < layout.slice_level and not self._are_pods:
                    self._sum(spans, self.slices, self.slices_beside_leader, 1)
            if level == layout.slice_level and not self._are_pods:
                self._slice(level, slice(None) if changed is None else changed)

    def _slice(self, level: int, which: Ints | slice) -> None:
        size = self._layout.slice_size
        self.slices[level][which] = self.pods[level][which] // size
        if self._leader is not None:
            self.slices_beside_leader[level][which] = self.pods_beside_leader[level][which] // size

    def _sum(self, spans: _Spans, whole: list[Ints], beside: list[Ints], size: int) -> None:
        """What children take in whole units together; beside a leader, if the one that can host it and loses least does."""
        below = spans.level + 1
        units = whole[below] if size == 1 else whole[below] // size * size
        total = spans.reduce(units, np.add)
        whole[spans.level][spans.which] = total
        if self._leader is not None:
            rest = beside[below] if size == 1 else beside[below] // size * size
            least = spans.reduce(np.where(self.leaders[below] > 0, units - rest, _NEVER), np.minimum)
            beside[spans.level][spans.which] = np.where(least < _NEVER, total - least, 0)


class _Spans:
    """The children of some domains of a level, or of all, as ranges of the level below."""

    def __init__(self, tree: Tree, level: int, domains: Ints | None) -> None:
        self.level = level
        starts = tree.starts[level]
        self.which: Ints | slice = slice(None) if domains is None else domains
        self._step = 1 if domains is None else 2
        if domains is None:
            self._cuts = starts[:-1]
            return
        # `reduceat` reduces from each cut to the next: every second result is a gap between two domains, and not looked at.
        cuts = np.empty(2 * len(domains), dtype=np.int64)
        cuts[0::2], cuts[1::2] = starts[domains], starts[domains + 1]
        self._cuts = cuts if cuts[-1] < starts[-1] else cuts[:-1]

    def reduce(self, values: Ints, by: np.ufunc) -> Ints:
        """[domain], its children's values taken together."""
        found: Ints = by.reduceat(values, self._cuts)[:: self._step]
        return found

    def put(self, arrays: list[Ints], by: np.ufunc) -> None:
        """Compute an array of this level from that of the level below."""
        arrays[self.level][self.which] = self.reduce(arrays[self.level + 1], by)


def _distinct(ascending: Ints) -> Ints:
    """The values of an ascending array, each once."""
    if len(ascending) < 2:
        return ascending
    keep = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=keep[1:])
    return ascending[keep]
