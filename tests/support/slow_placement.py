"""Placement once more, as the text of tas.md §6 reads it: lists, loops and full sorts, nothing kept from one call to the next.

The twin of `pykueue.core.tas.place` and `counts`: it must find the same domains with the same counts in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pykueue.core.tas.request import Layout, Strictness

Path = tuple[str, ...]
Amounts = Mapping[str, int]


class Share(NamedTuple):
    """What one domain gets: units (slices, layers or pods), and whether the leader."""

    domain: int
    units: int
    has_leader: bool


class PlainTree:
    """Domains by level, as paths and ranges of children."""

    def __init__(self, leaves: Sequence[Path]) -> None:
        n_levels = len(leaves[0])
        self.paths = [sorted({path[: k + 1] for path in leaves}) for k in range(n_levels)]
        self.children = [
            [
                [i for i, path in enumerate(self.paths[k + 1]) if path[: k + 1] == above] if k + 1 < n_levels else []
                for above in self.paths[k]
            ]
            for k in range(n_levels)
        ]


@dataclass
class Leaves:
    """What each leaf takes."""

    pods: list[int]
    pods_beside_leader: list[int]
    leaders: list[int]


@dataclass
class Counts:
    """What domains take; all [level][domain]."""

    pods: list[list[int]]
    pods_beside_leader: list[list[int]]
    slices: list[list[int]]
    slices_beside_leader: list[list[int]]
    leaders: list[list[int]]


def place_slowly(
    left: Mapping[Path, Amounts],
    layout: Layout,
    count: int,
    worker: Amounts,
    leader: Amounts | None,
    *,
    is_mixed: bool,
    liked: Mapping[Path, int] | None = None,
) -> tuple[list[tuple[Path, int]], Path | None] | int:
    """Leaves with counts in order, and the leader's; or how many slices could have been placed; `liked` are scores of leaves."""
    return make_placer(left, layout, count, worker, leader, is_mixed=is_mixed, liked=liked).run()


def make_placer(
    left: Mapping[Path, Amounts],
    layout: Layout,
    count: int,
    worker: Amounts,
    leader: Amounts | None,
    *,
    is_mixed: bool,
    liked: Mapping[Path, int] | None = None,
) -> Placer:
    tree = PlainTree(list(left))
    leaves = count_leaves([left[path] for path in tree.paths[-1]], worker, leader)
    is_best_fit = not (is_mixed and layout.strictness is Strictness.UNCONSTRAINED)
    placer = Placer(tree, layout, leaves, count, leader is not None, is_best_fit)
    if liked is not None:
        placer.scores = [
            [sum(score for leaf, score in liked.items() if leaf[: len(path)] == path) for path in paths]
            for paths in tree.paths
        ]
    return placer


def count_leaves(left: Sequence[Amounts], worker: Amounts, leader: Amounts | None) -> Leaves:
    pods = [fit(amounts, worker) for amounts in left]
    if leader is None:
        return Leaves(pods, list(pods), [0] * len(pods))
    leaders = [int(fit(amounts, leader) > 0) for amounts in left]
    beside = [
        fit({name: amount - leader.get(name, 0) for name, amount in amounts.items()}, worker) if can else n
        for amounts, can, n in zip(left, leaders, pods, strict=True)
    ]
    return Leaves(pods, beside, leaders)


def fit(left: Amounts, per_pod: Amounts) -> int:
    return max(0, min(left.get(name, 0) // amount for name, amount in per_pod.items() if amount))


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
    order: Sequence[int],
    offers: Offers,
    needed: int,
    *,
    needs_leader: bool,
    is_best_fit: bool,
    scores: Sequence[int] | None = None,
) -> list[Share] | None:
    """Take domains in order until all units, and the leader, have a place (§6.2); None if they do not suffice.

    The domain that could take all that is left is replaced by the smallest later one that could, if fits are to be best; with
    scores, by one of the same score (§6.7).
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
                if scores is not None:
                    able = [d for d in able if scores[d] == scores[domain]]
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


class Placer:
    """One run; holds what the steps share."""

    def __init__(
        self, tree: PlainTree, layout: Layout, leaves: Leaves, count: int, has_leader: bool, is_best_fit: bool
    ) -> None:
        self.tree = tree
        self.layout = layout
        self.needed = count // layout.slice_size
        self.has_leader = has_leader
        self.is_best_fit = is_best_fit
        self.counts = _roll_up(tree, layout, leaves, has_leader)
        self.scores: list[list[int]] | None = None

    def run(self) -> tuple[list[tuple[Path, int]], Path | None] | int:
        found = self._search()
        return found if isinstance(found, int) else self._descend(*found)

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
        if self.scores is not None and able:
            scores = self.scores[level]
            is_bound = self.is_best_fit and self.layout.strictness is not Strictness.REQUIRED
            top = scores[order[0]] if is_bound else max(scores[d] for d in able)
            able = [d for d in able if scores[d] == top]
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
        scores = self.scores[level] if self.scores is not None else None
        more = take(rest, offers, left, needs_leader=False, is_best_fit=self.is_best_fit, scores=scores) if left else []
        if more is None:
            return self.needed - left + sum(offers.units[d] for d in rest)
        return level, shares + more

    def _offers(self, level: int) -> Offers:
        """Slices that the domains of a level take."""
        counts = self.counts
        return Offers(counts.slices[level], counts.slices_beside_leader[level], counts.leaders[level])

    # --- descent -----------------------------------------------------------------------------------------------------

    def _descend(self, level: int, shares: list[Share]) -> tuple[list[tuple[Path, int]], Path | None]:
        """From domains of a level to leaves (§6.2); the counts say that there is room, so every step succeeds."""
        tree, layout = self.tree, self.layout
        while level < layout.slice_level:
            below = level + 1
            offered = [child for share in sorted(shares) for child in tree.children[level][share.domain]]
            order = self._order(below, offered, with_leader=False)
            scores = self.scores[below] if self.scores is not None else None
            shares = self._must(self._take(order, self._offers(below), self.needed, self.has_leader, scores))
            level = below
        return self.to_leaves(level, shares)

    def to_leaves(self, level: int, shares: list[Share]) -> tuple[list[tuple[Path, int]], Path | None]:
        """From slices on their level to pods in leaves."""
        pods = [Share(s.domain, s.units * self.layout.slice_size, s.has_leader) for s in shares]
        while level < len(self.tree.paths) - 1:
            size = self.layout.inner.get(level + 1, 1)
            pods = [part for share in pods for part in self._distribute(level + 1, share, size)]
            level += 1
        return self._placement(pods)

    def deal(self, below: int, share: Share) -> list[Share]:
        """One domain's own slices among its children, above the slices' level."""
        order = self._order(below, self.tree.children[below - 1][share.domain], with_leader=False)
        scores = self.scores[below] if self.scores is not None else None
        return self._must(self._take(order, self._offers(below), share.units, share.has_leader, scores))

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
        scores = [self.scores[below][d] for d in order] if self.scores is not None else None
        shares = self._must(self._take(range(len(order)), offers, share.units // size, share.has_leader, scores))
        return [Share(order[s.domain], s.units * size, s.has_leader) for s in shares]

    def _take(
        self, order: Sequence[int], offers: Offers, needed: int, needs_leader: bool, scores: Sequence[int] | None = None
    ) -> list[Share] | None:
        return take(order, offers, needed, needs_leader=needs_leader, is_best_fit=self.is_best_fit, scores=scores)

    def _must(self, shares: list[Share] | None) -> list[Share]:
        assert shares is not None
        return shares

    def _placement(self, pods: Sequence[Share]) -> tuple[list[tuple[Path, int]], Path | None]:
        paths = self.tree.paths[-1]
        host = next((paths[share.domain] for share in pods if share.has_leader), None)
        return sorted((paths[share.domain], share.units) for share in pods if share.units), host

    def _order(self, level: int, domains: Sequence[int], *, with_leader: bool) -> list[int]:
        """Sort domains of a level (§6.3); equal ones stay in the order of their paths, which is that of indexes."""
        counts = self.counts
        slices = (counts.slices_beside_leader if with_leader else counts.slices)[level]
        pods = (counts.pods_beside_leader if with_leader else counts.pods)[level]
        leaders = counts.leaders[level]
        sign = -1 if self.is_best_fit else 1
        scores = self.scores[level] if self.scores is not None else [0] * len(slices)
        return sorted(
            domains, key=lambda d: (-leaders[d] if with_leader else 0, -scores[d], sign * slices[d], pods[d], d)
        )


def _roll_up(tree: PlainTree, layout: Layout, leaves: Leaves, has_leader: bool) -> Counts:
    """Counts of every domain from those of the leaves (§4.3)."""
    n_levels = len(tree.paths)
    counts = Counts(*([[0] * len(paths) for paths in tree.paths] for _ in range(5)))
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
