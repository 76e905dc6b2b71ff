"""Find places for the pods of one pod set, or of a leader with its workers, in one topology.

Three steps. `_roll_up` counts bottom-up what every domain takes: pods, slices, the same with the leader inside. `_search` chooses domains
on one level: the main level of the request, or one above it where a preference gives way. `_descend` goes from there to the leaves, always
with the fewest domains that do. `take` is the one rule of choosing that the greedy search and the descent share.

Two orders: best fit (full domains first, then the smallest that suffices) keeps large domains whole; least free capacity (for pods that
may be anywhere) fills up remains.

What it does not know: Workloads, quota, who used the capacity; a "no" is a text that becomes part of the pending message.

Source: tas.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.capacity import LeafCounts, PodDemand, Taken, count_leaves, excluded_text
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.topology import Tree


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pods go.

    Attributes:
        levels: node labels that the domains have values for.
        workers: ascending by path, none empty.
        leader: its single domain; None if none was asked for.
    """

    levels: tuple[str, ...]
    workers: tuple[Domain, ...]
    leader: Domain | None


class Share(NamedTuple):
    """What one domain gets: units (slices, layers or pods), and whether the leader."""

    domain: int
    units: int
    has_leader: bool


@dataclass(slots=True)
class _Counts:
    """What domains take; all [level][domain]."""

    pods: list[list[int]]
    pods_beside_leader: list[list[int]]
    slices: list[list[int]]
    slices_beside_leader: list[list[int]]
    leaders: list[list[int]]


def place(
    topology: str,
    tree: Tree,
    layout: Layout,
    workers: PodDemand,
    leader: PodDemand | None,
    *,
    taken: Taken,
    is_mixed: bool,
    is_inside: Callable[[int], bool] | None = None,
) -> Placement | str:
    """Place pods, or say why they do not fit.

    Args:
        topology: its name, for messages.
        tree: of the flavor.
        layout: of the request.
        workers: pods to place; pods that do not fill a slice are never placed.
        leader: one more pod, which goes into the same domain where the request binds.
        taken: what is in use in each leaf.
        is_mixed: unconstrained requests take the least free capacity first (gate TASProfileMixed).
        is_inside: leaves that may be used; None for all.

    Returns:
        The placement; its counts sum up to `workers.count` in whole slices. Or the not-fit text (§6.5).
    """
    if not tree.paths or not tree.paths[layout.main]:
        return f"no topology domains at level: {tree.levels[layout.main]}"
    leaves = count_leaves(tree, workers, leader, taken, is_inside)
    is_best_fit = not (is_mixed and layout.strictness is Strictness.UNCONSTRAINED)
    return _Placer(
        topology, tree, layout, leaves, count=workers.count, has_leader=leader is not None, is_best_fit=is_best_fit
    ).run()


@dataclass(frozen=True, slots=True)
class Offers:
    """What domains take, each list by domain.

    Attributes:
        units: without a leader.
        beside_leader: with the leader in the domain.
        leaders: 1 where the leader fits.
    """

    units: Sequence[int]
    beside_leader: Sequence[int]
    leaders: Sequence[int]


def take(
    order: Sequence[int], offers: Offers, needed: int, *, needs_leader: bool, is_best_fit: bool
) -> list[Share] | None:
    """Take domains in order until all units, and the leader, have a place (§6.2); None if they do not suffice.

    The domain that could take all that is left is replaced by the smallest later one that could, if fits are to be best.
    """
    order = promote_leader(order, offers, needed) if needs_leader else order
    shares: list[Share] = []
    left, wants_leader = needed, needs_leader
    for i, domain in enumerate(order):
        if left == 0 and not wants_leader:
            break
        offered = offers.beside_leader if wants_leader else offers.units
        can_host = bool(offers.leaders[domain])
        if offered[domain] >= left and (can_host or not wants_leader):
            if is_best_fit:
                able = [d for d in order[i:] if offered[d] >= left and (offers.leaders[d] or not wants_leader)]
                domain = min(able, key=offered.__getitem__)
            return [*shares, Share(domain, left, wants_leader)]
        n = min(offered[domain], left)
        shares.append(Share(domain, n, wants_leader and can_host))
        left -= n
        wants_leader = wants_leader and not can_host
    return shares if left == 0 and not wants_leader else None


def promote_leader(order: Sequence[int], offers: Offers, needed: int) -> Sequence[int]:
    """Put the first domain in front that can host the leader without costing a unit that is needed (§6.1)."""
    total = sum(offers.units[d] for d in order)
    for domain in order:
        loss = offers.units[domain] - offers.beside_leader[domain]
        if offers.leaders[domain] and total - loss >= needed:
            return [domain, *(d for d in order if d != domain)]
    return order


class _Placer:
    """One run; holds what the steps share."""

    def __init__(
        self,
        topology: str,
        tree: Tree,
        layout: Layout,
        leaves: LeafCounts,
        *,
        count: int,
        has_leader: bool,
        is_best_fit: bool,
    ) -> None:
        self.topology = topology
        self.tree = tree
        self.layout = layout
        self.needed = count // layout.slice_size
        self.count = count
        self.has_leader = has_leader
        self.leaves = leaves
        self.is_best_fit = is_best_fit
        self.counts = _roll_up(tree, layout, leaves, has_leader)

    def run(self) -> Placement | str:
        found = self._search()
        if isinstance(found, int):
            return self._not_fit(found)
        level, domains = found
        return self._descend(level, domains)

    # --- search ------------------------------------------------------------------------------------------------------

    def _search(self) -> tuple[int, list[Share]] | int:
        """The level and its domains to descend from; else how many slices could have been placed (§6.1)."""
        level = self.layout.main
        while True:
            order = self._order(level, range(len(self.tree.paths[level])), with_leader=self.has_leader)
            single = self._single(level, order)
            if single is not None:
                return level, [Share(single, self.needed, self.has_leader)]
            if self.layout.strictness is Strictness.REQUIRED:
                return self.counts.slices[level][order[0]]
            if self.layout.strictness is Strictness.UNCONSTRAINED or level == 0:
                return self._greedy(level, order)
            level -= 1

    def _single(self, level: int, order: Sequence[int]) -> int | None:
        """The one domain that holds everything."""
        slices, leaders = self.counts.slices_beside_leader[level], self.counts.leaders[level]
        able = [d for d in order if slices[d] >= self.needed and (leaders[d] or not self.has_leader)]
        if not able:
            return None
        return min(able, key=lambda d: slices[d]) if self.is_best_fit else able[0]

    def _greedy(self, level: int, order: Sequence[int]) -> tuple[int, list[Share]] | int:
        """Several domains; a number where they do not suffice."""
        offers = self._offers(level)
        shares: list[Share] = []
        left = self.needed
        rest = list(order)
        if self.has_leader:
            rest = list(promote_leader(order, offers, self.needed))
            host = rest[0]
            if not offers.leaders[host]:
                return 0
            # The host holds a part only: a domain that takes everything with the leader was looked for before (`_single`).
            shares.append(Share(host, min(offers.beside_leader[host], left), True))
            left -= shares[0].units
            rest = self._order(level, rest[1:], with_leader=False)
        more = take(rest, offers, left, needs_leader=False, is_best_fit=self.is_best_fit) if left else []
        if more is None:
            return self.needed - left + sum(offers.units[d] for d in rest)
        return level, shares + more

    def _offers(self, level: int) -> Offers:
        """Slices that the domains of a level take."""
        counts = self.counts
        return Offers(counts.slices[level], counts.slices_beside_leader[level], counts.leaders[level])

    # --- descent -----------------------------------------------------------------------------------------------------

    def _descend(self, level: int, shares: list[Share]) -> Placement:
        """From domains of a level to leaves (§6.2); the counts say that there is room, so every step succeeds."""
        tree, layout = self.tree, self.layout
        while level < layout.slice_level:
            below = level + 1
            offered = [child for share in sorted(shares) for child in tree.children[level][share.domain]]
            order = self._order(below, offered, with_leader=False)
            shares = self._must(self._take(order, self._offers(below), self.needed, self.has_leader))
            level = below
        pods = [Share(s.domain, s.units * layout.slice_size, s.has_leader) for s in shares]
        while level < len(tree.levels) - 1:
            size = layout.inner.get(level + 1, 1)
            pods = [part for share in pods for part in self._distribute(level + 1, share, size)]
            level += 1
        return self._placement(pods)

    def _distribute(self, below: int, share: Share, size: int) -> list[Share]:
        """One domain's own pods among its children, in units of the layer's size."""
        counts = self.counts
        order = self._order(below, self.tree.children[below - 1][share.domain], with_leader=False)
        offers = Offers(
            [counts.pods[below][d] // size for d in order],
            [counts.pods_beside_leader[below][d] // size for d in order],
            [counts.leaders[below][d] for d in order],
        )
        # Positions in the order stand for the children, so that the lists are as long as the order and not as the level.
        shares = self._must(self._take(range(len(order)), offers, share.units // size, share.has_leader))
        return [Share(order[s.domain], s.units * size, s.has_leader) for s in shares]

    def _take(self, order: Sequence[int], offers: Offers, needed: int, needs_leader: bool) -> list[Share] | None:
        return take(order, offers, needed, needs_leader=needs_leader, is_best_fit=self.is_best_fit)

    def _must(self, shares: list[Share] | None) -> list[Share]:
        assert shares is not None, f"counts of topology {self.topology} promise more than its children hold"
        return shares

    def _placement(self, pods: Sequence[Share]) -> Placement:
        tree = self.tree
        totals: dict[int, int] = {}
        leader = None
        for share in pods:
            totals[share.domain] = totals.get(share.domain, 0) + share.units
            if share.has_leader:
                leader = Domain(tree.stored_values(share.domain), 1)
        workers = tuple(Domain(tree.stored_values(leaf), n) for leaf, n in sorted(totals.items()) if n)
        return Placement(tree.stored_levels, workers, leader)

    # --- order and messages ------------------------------------------------------------------------------------------

    def _order(self, level: int, domains: Sequence[int], *, with_leader: bool) -> list[int]:
        """Sort domains of a level (§6.3); equal ones stay in the order of their paths, which is that of indexes."""
        counts = self.counts
        slices = (counts.slices_beside_leader if with_leader else counts.slices)[level]
        pods = (counts.pods_beside_leader if with_leader else counts.pods)[level]
        leaders = counts.leaders[level]
        sign = -1 if self.is_best_fit else 1
        return sorted(domains, key=lambda d: (-leaders[d] if with_leader else 0, sign * slices[d], pods[d], d))

    def _not_fit(self, n_slices: int) -> str:
        """The not-fit text (§6.5)."""
        ending = excluded_text(self.leaves)
        if self.layout.inner:
            return f'topology "{self.topology}" doesn\'t allow to fit; {self._layers_text()}{ending}'
        unit = "slice(s)" if self.layout.slice_size != 1 else "pod(s)"
        if n_slices == 0:
            return f'topology "{self.topology}" doesn\'t allow to fit any of {self.needed} {unit}{ending}'
        return f'topology "{self.topology}" allows to fit only {n_slices} out of {self.needed} {unit}{ending}'

    def _layers_text(self) -> str:
        """Slices of each layer inside of the main level's domain with most slices."""
        main, slices = self.layout.main, self.counts.slices[self.layout.main]
        best = max(range(len(slices)), key=lambda d: (slices[d], -d))
        texts = []
        for level, size in self.layout.layers:
            domains = [best]
            for k in range(main, level):
                domains = [child for d in domains for child in self.tree.children[k][d]]
            fits = sum(self.counts.pods[level][d] // size for d in domains)
            texts.append(f"{fits}/{self.count // size} slice(s) fit on level {self.tree.levels[level]}")
        return "; ".join(texts)


def _roll_up(tree: Tree, layout: Layout, leaves: LeafCounts, has_leader: bool) -> _Counts:
    """Counts of every domain from those of the leaves (§4.3)."""
    n_levels = len(tree.levels)
    counts = _Counts(*([[0] * len(paths) for paths in tree.paths] for _ in range(5)))
    counts.pods[-1], counts.pods_beside_leader[-1], counts.leaders[-1] = (
        list(leaves.pods), list(leaves.pods_beside_leader), list(leaves.leaders),
    )  # fmt: skip
    for level in range(n_levels - 1, -1, -1):
        if level < n_levels - 1:
            size = layout.inner.get(level + 1, 1)
            for d, children in enumerate(tree.children[level]):
                whole = [counts.pods[level + 1][c] // size * size for c in children]
                beside = [counts.pods_beside_leader[level + 1][c] // size * size for c in children]
                hosts = [bool(counts.leaders[level + 1][c]) for c in children]
                counts.leaders[level][d] = int(any(hosts))
                counts.pods[level][d] = sum(whole)
                counts.pods_beside_leader[level][d] = _beside(whole, beside, hosts, has_leader)
        if level == layout.slice_level:
            size = layout.slice_size
            counts.slices[level] = [n // size for n in counts.pods[level]]
            counts.slices_beside_leader[level] = [n // size for n in counts.pods_beside_leader[level]]
        elif level < layout.slice_level:
            for d, children in enumerate(tree.children[level]):
                whole = [counts.slices[level + 1][c] for c in children]
                beside = [counts.slices_beside_leader[level + 1][c] for c in children]
                hosts = [bool(counts.leaders[level + 1][c]) for c in children]
                counts.slices[level][d] = sum(whole)
                counts.slices_beside_leader[level][d] = _beside(whole, beside, hosts, has_leader)
    return counts


def _beside(whole: Sequence[int], beside: Sequence[int], hosts: Sequence[bool], has_leader: bool) -> int:
    """What all take if one of those that can hosts the leader, the one that loses least."""
    if not has_leader:
        return sum(whole)
    losses = [w - b for w, b, can in zip(whole, beside, hosts, strict=True) if can]
    return sum(whole) - min(losses) if losses else 0
