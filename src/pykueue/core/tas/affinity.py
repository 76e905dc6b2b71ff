"""How much pods would like each domain: their preferred node affinity, as numbers.

A host's score is the sum of the weights of the preferred terms that it matches; a wider domain's, the sum over the hosts below that the pods may
use at all. Scores come first in every order of domains (gate TASRespectNodeAffinityPreferred); what they mean there is `place.py`'s.

Source: tas.md §6.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pykueue.core.tas.demand import Preferences, matches_term

if TYPE_CHECKING:
    from pykueue.core.tas.tree import Bools, Ints, Tree


class Scores:
    """What pods with these preferences think of single hosts.

    Attributes:
        leaves: [leaf], the score; 0 where leaves are not hosts.
    """

    def __init__(self, tree: Tree, preferences: Preferences) -> None:
        self._tree = tree
        self._terms = [(int(p.get("weight") or 0), p.get("preference") or {}) for p in preferences]
        self._seen = tree.changes.end
        self.leaves: Ints = np.zeros(len(tree.nodes), dtype=np.int64)
        self._rate(range(len(tree.nodes)))

    def refresh(self) -> None:
        """Catch up with the tree."""
        changes = self._tree.changes
        if self._seen != changes.end:
            dirty = changes.since(self._seen)
            self._seen = changes.end
            self._rate(range(len(self._tree.nodes)) if dirty is None else set(dirty))

    def by_level(self, allowed: Bools) -> list[Ints]:
        """[level][domain], the scores of the leaves that are allowed, summed up."""
        found = [self.leaves * allowed]
        for starts in reversed(self._tree.starts):
            found.insert(0, np.add.reduceat(found[0], starts[:-1]))
        return found

    def _rate(self, leaves: Iterable[int]) -> None:
        if not self._tree.has_hosts:
            return
        for leaf in leaves:
            nodes = self._tree.nodes[leaf]
            self.leaves[leaf] = sum(weight for weight, term in self._terms if nodes and matches_term(nodes[0], term))


def scores_of(tree: Tree, preferences: Preferences) -> Scores:
    """The scores of a tree's hosts, up to date."""
    found = tree.scores.get(msgspec.json.encode(preferences), lambda: Scores(tree, preferences))
    found.refresh()
    return found
