"""Whether pods fit, asked while Workloads are thought away and put back one by one.

A search for victims asks after each of hundreds of candidates, and mostly the answer follows from the one before: what is freed lies where it
cannot help yet, or what is put back lies elsewhere. So each domain that could take the pods is kept with a lower and an upper bound of
what it takes. A leaf that was touched since the last count takes something between nothing and what it takes when it is empty of
Workloads with topology. Only where the bounds leave it open is counted.

Bounds are sound where pods add up: without a leader, and without layers inside of slices. The rest asks the placer each time.

Source: tas.md §8 step 3.
"""

from __future__ import annotations

from pykueue.core.tas.capacity import Room
from pykueue.core.tas.counts import Counts
from pykueue.core.tas.place import Placer
from pykueue.core.tas.request import Strictness


class Outlook:
    """The answers of one placer.

    Args:
        placer: of the pods; without a leader or layers inside of slices.
        room: that its counts are of.
        blank: the same counts as if no Workload with topology were there.
    """

    def __init__(self, placer: Placer, room: Room, blank: Counts) -> None:
        self._placer = placer
        self._room = room
        self._blank = blank.pods[-1]
        self._counts = placer.counts
        self._pods = placer.counts.pods[-1]
        self._slices = placer.counts.slices[placer.layout.main]
        self._needed = placer.needed
        self._seen_tree = room.tree.changes.end
        is_required = placer.layout.strictness is Strictness.REQUIRED
        self._domain_of = room.tree.ancestors(placer.layout.main) if is_required else None
        """[leaf], the domain that must hold all; None where all domains together may."""
        self._seen = self._counted = -1
        self._touched: set[int] = set()
        self._bounds: dict[int, tuple[int, int]] = {}
        self._n_able = 0
        """Domains that hold the pods for sure."""
        self._is_open = False
        """Whether some domain may hold the pods and may not."""
        self._look()

    def fits(self) -> bool:
        """Whether the pods find a place now."""
        room, changes = self._room, self._room.ledger.changes
        spots = changes.since(self._seen)
        if spots is None or self._counts.seen != self._counted or room.tree.changes.end != self._seen_tree:
            return self._look()
        self._seen = changes.end
        flavor, leaf_of, touched = room.flavor, room.tree.leaf_of, self._touched
        for entered, values in spots:
            leaf = leaf_of.get(values) if entered == flavor else None
            if leaf is not None and leaf not in touched:
                touched.add(leaf)
                self._touch(leaf)
        if self._n_able:
            return True
        return self._is_open and self._look()

    def _look(self) -> bool:
        """Count, and begin with exact numbers again."""
        found = self._placer.fits()
        self._seen = self._room.ledger.changes.end
        self._counted = self._counts.seen
        self._touched.clear()
        self._bounds.clear()
        self._is_open = False
        self._n_able = int(found)
        if self._domain_of is not None:
            self._n_able = int((self._slices >= self._needed).sum())
        return found

    def _touch(self, leaf: int) -> None:
        """Widen the bounds of the leaf's domain."""
        domain = self._domain_of.item(leaf) if self._domain_of is not None else 0
        bounds = self._bounds.get(domain)
        if bounds is None:
            exact = self._slices.item(domain) if self._domain_of is not None else int(self._slices.sum())
            bounds = (exact, exact)
        least, most = bounds
        pods = self._pods.item(leaf)
        self._n_able -= least >= self._needed > least - pods
        least -= pods
        most += self._blank.item(leaf) - pods
        self._bounds[domain] = (least, most)
        if most >= self._needed:
            self._is_open = True
