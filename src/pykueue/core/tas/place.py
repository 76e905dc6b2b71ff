"""Find places for the pods of one pod set, or of a leader with its workers, in one topology.

Two steps, on counts of what every domain takes (`counts.py`). `_search` chooses domains on one level: the main level of the request, or one
above it where a preference gives way. `_descend` goes from there to the leaves, always with the fewest domains that do. `take` is the
one rule of choosing that the greedy search and the descent share.

Two orders: best fit (full domains first, then the smallest that suffices) keeps large domains whole; least free capacity (for pods that
may be anywhere) fills up remains.

Everything works on index arrays of one level, in the order of paths. On a wide level only the domains that can be taken at all are sorted.

What it does not know: Workloads, quota, who used the capacity; a "no" is a text that becomes part of the pending message.

Balanced placement (`balanced.py`) is tried before `_search`, where it is on. Where preferred affinity counts, its scores (`affinity.py`) come
first in every order, and best fits are looked for only among domains that are liked as much.

To extend: another algorithm returns a level and its `Shares`, after which `_descend` goes on; another key of the order goes into `_keys`.

Source: tas.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.affinity import scores_of
from pykueue.core.tas.balanced import balance
from pykueue.core.tas.capacity import Room
from pykueue.core.tas.counts import Counts
from pykueue.core.tas.demand import PodDemand, Preferences
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.tree import Ints

_NOBODY = -1
_WIDE = 1024
"""Domains of a level from which on it pays to sort only those that can be taken."""


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


class Shares(NamedTuple):
    """What chosen domains get.

    Attributes:
        domains: indexes of one level, each once.
        units: slices, layers or pods for each.
        host: the one that has the leader; -1 if none has.
    """

    domains: Ints
    units: Ints
    host: int = _NOBODY


class Offers(NamedTuple):
    """What domains take, each array by domain.

    Attributes:
        units: without a leader.
        beside_leader: with the leader in the domain.
        leaders: 1 where the leader fits.
    """

    units: Ints
    beside_leader: Ints
    leaders: Ints


def place(
    topology: str,
    room: Room,
    layout: Layout,
    workers: PodDemand,
    leader: PodDemand | None,
    *,
    is_mixed: bool,
    is_balanced: bool = False,
    inside: Iterable[range] | None = None,
) -> Placement | str:
    """Place pods, or say why they do not fit.

    Args:
        topology: its name, for messages.
        room: what is left in the leaves.
        layout: of the request.
        workers: pods to place; pods that do not fill a slice are never placed.
        leader: one more pod, which goes into the same domain where the request binds.
        is_mixed: unconstrained requests take the least free capacity first (gate TASProfileMixed).
        is_balanced: preferring requests fill domains equally where they can (gate TASBalancedPlacement).
        inside: leaves that may be used; None for all.

    Returns:
        The placement; its counts sum up to `workers.count` in whole slices. Or the not-fit text (§6.5).
    """
    placer = make_placer(
        topology, room, layout, workers, leader, is_mixed=is_mixed, is_balanced=is_balanced, inside=inside
    )
    return placer if isinstance(placer, str) else placer.run()


def make_placer(
    topology: str,
    room: Room,
    layout: Layout,
    workers: PodDemand,
    leader: PodDemand | None,
    *,
    is_mixed: bool,
    is_balanced: bool = False,
    inside: Iterable[range] | None = None,
) -> Placer | str:
    """What answers for this request as often as it is asked, while the room changes; or why nothing can."""
    if not room.tree.n_live:
        return f"no topology domains at level: {room.tree.levels[layout.main]}"
    counts = room.counts(layout, workers, leader, inside)
    is_best_fit = not (is_mixed and layout.strictness is Strictness.UNCONSTRAINED)
    placer = Placer(topology, layout, counts, workers.count, has_leader=leader is not None, is_best_fit=is_best_fit)
    placer.is_balanced = is_balanced and layout.strictness is Strictness.PREFERRED
    placer.preferences = workers.preferences
    return placer


def take(
    order: Ints, offers: Offers, needed: int, *, needs_leader: bool, is_best_fit: bool, scores: Ints | None = None
) -> Shares | None:
    """Take domains in order until all units, and the leader, have a place (§6.2); None if they do not suffice.

    The domain that could take all that is left is replaced by the smallest later one that could, and is liked as much, if fits are to
    be best.
    """
    if not needs_leader:
        liked = scores[order] if scores is not None else None
        return _fill(order, offers.units[order], needed, is_best_fit=is_best_fit, liked=liked)
    order = promote_leader(order, offers, needed)
    able = offers.leaders[order] > 0
    if not able.any():
        return None
    first = int(np.argmax(able))
    beside = offers.beside_leader[order]
    # Until the leader has a place every domain counts as if it were there; those before the first that can host it only fill up.
    filled = np.minimum(np.cumsum(beside[:first]), needed)
    left = needed - (int(filled[-1]) if first else 0)
    before = Shares(order[:first], np.diff(filled, prepend=0))
    if beside[first] >= left:
        at = first
        if is_best_fit:
            suits = able[first:] & (beside[first:] >= left)
            if scores is not None:
                suits &= scores[order[first:]] == scores[order[first]]
            later = np.flatnonzero(suits) + first
            at = int(later[np.argmin(beside[later])])
        return _join(before, _one(int(order[at]), left), host=int(order[at]))
    host = _one(int(order[first]), int(beside[first]))
    rest = order[first + 1 :]
    liked = scores[rest] if scores is not None else None
    more = _fill(rest, offers.units[rest], left - int(beside[first]), is_best_fit=is_best_fit, liked=liked)
    return None if more is None else _join(before, host, more, host=int(order[first]))


def promote_leader(order: Ints, offers: Offers, needed: int) -> Ints:
    """Put the first domain in front that can host the leader without costing a unit that is needed (§6.1)."""
    units = offers.units[order]
    spare = int(units.sum()) - needed
    able = (offers.leaders[order] > 0) & (units - offers.beside_leader[order] <= spare)
    if not able.any():
        return order
    first = int(np.argmax(able))
    return np.concatenate((order[first : first + 1], order[:first], order[first + 1 :]))


class Placer:
    """One request; holds what the steps share."""

    def __init__(
        self, topology: str, layout: Layout, counts: Counts, count: int, *, has_leader: bool, is_best_fit: bool
    ) -> None:
        self.topology = topology
        self.tree = counts.tree
        self.layout = layout
        self.counts = counts
        self.count = count
        self.needed = count // layout.slice_size
        self.has_leader = has_leader
        self.is_best_fit = is_best_fit
        self.is_balanced = False
        self.preferences: Preferences = ()
        self._scores: list[Ints] | None = None

    def run(self) -> Placement | str:
        """The placement, or the not-fit text."""
        self.counts.refresh()
        if self.preferences:
            self._scores = scores_of(self.tree, self.preferences).by_level(self.counts.allowed())
        balanced = self._balanced() if self.is_balanced else None
        if balanced is not None:
            return balanced
        found = self._search()
        if isinstance(found, int):
            return self._not_fit(found)
        level, shares = found
        return self._descend(level, shares)

    def fits(self) -> bool:
        """Whether there is a placement now."""
        self.counts.refresh()
        if self.has_leader:
            return not isinstance(self.run(), str)
        if not self.tree.n_live:
            return False
        slices = self.counts.slices[self.layout.main]
        if self.layout.strictness is Strictness.REQUIRED:
            return int(slices.max()) >= self.needed
        return int(slices.sum()) >= self.needed

    def _balanced(self) -> Placement | None:
        """The balanced placement, if there is one: below its domains each distributes its own (§6.6 step 9)."""
        found = balance(self.counts, self.layout, self.needed, has_leader=self.has_leader, scores=self._scores)
        if found is None:
            return None
        level, shares = found.level, Shares(np.array(found.domains), np.array(found.slices), found.host)
        while level < self.layout.slice_level:
            level += 1
            shares = self._each(level, shares, 1, self._offered_slices)
        return self._to_leaves(level, shares)

    # --- search ------------------------------------------------------------------------------------------------------

    def _search(self) -> tuple[int, Shares] | int:
        """The level and its domains to descend from; else how many slices could have been placed (§6.1)."""
        level = self.layout.main
        while True:
            single = self._single(level)
            if single is not None:
                return level, Shares(*_one(single, self.needed)[:2], single if self.has_leader else _NOBODY)
            if self.layout.strictness is Strictness.REQUIRED:
                every = np.arange(len(self.tree.paths[level]))
                return int(self.counts.slices[level][self._first(level, every)])
            if self.layout.strictness is Strictness.UNCONSTRAINED or level == 0:
                return self._greedy(level)
            level -= 1

    def _single(self, level: int) -> int | None:
        """The one domain that holds everything: in either order, the one with the least that suffices.

        Where domains are liked differently, it is one that is liked most; only who insists on one domain takes a lesser one.
        """
        slices = self.counts.slices_beside_leader[level]
        able = slices >= self.needed
        if self.has_leader:
            able &= self.counts.leaders[level] > 0
        if self.needed == 0:
            able &= self.tree.live_domains(level)
        if self._scores is not None and able.any():
            scores = self._scores[level]
            is_bound = self.is_best_fit and self.layout.strictness is not Strictness.REQUIRED
            every = np.arange(len(scores))
            able &= scores == (scores[self._first(level, every)] if is_bound else scores[able].max())
        domains = np.flatnonzero(able)
        return _least(domains, slices, self.counts.pods_beside_leader[level]) if len(domains) else None

    def _greedy(self, level: int) -> tuple[int, Shares] | int:
        """Several domains; a number where they do not suffice."""
        offers = self._offers(level)
        every = np.arange(len(offers.units))
        if not self.has_leader:
            found = self._choose(level, every, self.needed)
            return (level, found) if found is not None else int(offers.units.sum())
        hosts = np.flatnonzero(offers.leaders)
        if not len(hosts):
            return 0
        spare = int(offers.units.sum()) - self.needed
        cheap = hosts[(offers.units - offers.beside_leader)[hosts] <= spare]
        host = self._first(level, cheap if len(cheap) else hosts)
        # The host holds a part only: a domain that takes everything with the leader was looked for before (`_single`).
        part = min(int(offers.beside_leader[host]), self.needed)
        left, rest = self.needed - part, np.delete(every, host)
        more = self._choose(level, rest, left)
        if more is None:
            return part + int(offers.units[rest].sum())
        return level, _join(_one(host, part), more, host=host)

    def _offers(self, level: int) -> Offers:
        """Slices that the domains of a level take."""
        counts = self.counts
        return Offers(counts.slices[level], counts.slices_beside_leader[level], counts.leaders[level])

    # --- descent -----------------------------------------------------------------------------------------------------

    def _descend(self, level: int, shares: Shares) -> Placement:
        """From domains of a level to leaves (§6.2); the counts say that there is room, so every step succeeds."""
        layout = self.layout
        while level < layout.slice_level:
            children = self._children(level, np.sort(shares.domains))
            level += 1
            if self.has_leader:
                order = children[self._sorted(level, children)]
                scores = self._scores[level] if self._scores is not None else None
                found = self._take(order, self._offers(level), self.needed, needs_leader=True, scores=scores)
                shares = self._must(found)
            else:
                shares = self._must(self._choose(level, children, self.needed))
        return self._to_leaves(level, shares)

    def _to_leaves(self, level: int, shares: Shares) -> Placement:
        """From slices on their level to pods in leaves."""
        shares = shares._replace(units=shares.units * self.layout.slice_size)
        while level < len(self.tree.levels) - 1:
            level += 1
            shares = self._each(level, shares, self.layout.inner.get(level, 1), self._offered_pods)
        return self._placement(shares)

    def _each(
        self, below: int, shares: Shares, size: int, offered: Callable[[int, slice, int], tuple[Ints, Offers]]
    ) -> Shares:
        """Each domain's own units among its children, in portions of a size; `offered` tells their order, and portions."""
        parts = []
        host = _NOBODY
        starts = self.tree.starts[below - 1]
        for domain, units in zip(shares.domains.tolist(), shares.units.tolist(), strict=True):
            which = slice(int(starts[domain]), int(starts[domain + 1]))
            order, offers = offered(below, which, size)
            scores = self._scores[below][which] if self._scores is not None else None
            part = self._must(
                self._take(order, offers, units // size, needs_leader=domain == shares.host, scores=scores)
            )
            parts.append(Shares(part.domains + which.start, part.units * size))
            if part.host != _NOBODY:
                host = int(part.host + which.start)
        return _join(*parts, host=host) if parts else shares

    def _offered_pods(self, level: int, which: slice, size: int) -> tuple[Ints, Offers]:
        """Below the slices' level the order is that of pods alone, the fewest first (§6.3)."""
        counts = self.counts
        pods, beside = counts.pods[level][which], counts.pods_beside_leader[level][which]
        order = np.argsort(pods, kind="stable")
        if self._scores is not None:
            order = np.lexsort((pods, -self._scores[level][which]))
        return order, Offers(pods // size, beside // size, counts.leaders[level][which])

    def _offered_slices(self, level: int, which: slice, _size: int) -> tuple[Ints, Offers]:
        offers = self._offers(level)
        order = self._sorted(level, np.arange(which.start, which.stop))
        return order, Offers(offers.units[which], offers.beside_leader[which], offers.leaders[which])

    def _children(self, level: int, domains: Ints) -> Ints:
        """The children of domains, ascending as these are."""
        starts = self.tree.starts[level]
        if len(domains) == 1:
            return np.arange(starts[domains[0]], starts[domains[0] + 1])
        begin, n = starts[domains], starts[domains + 1] - starts[domains]
        children: Ints = np.arange(n.sum()) + np.repeat(begin - (np.cumsum(n) - n), n)
        return children

    def _take(
        self, order: Ints, offers: Offers, needed: int, *, needs_leader: bool, scores: Ints | None = None
    ) -> Shares | None:
        return take(order, offers, needed, needs_leader=needs_leader, is_best_fit=self.is_best_fit, scores=scores)

    def _must(self, shares: Shares | None) -> Shares:
        assert shares is not None, f"counts of topology {self.topology} promise more than its children hold"
        return shares

    def _placement(self, shares: Shares) -> Placement:
        stored = self.tree.stored
        ascending = np.argsort(shares.domains)
        leaves, n_pods = shares.domains[ascending].tolist(), shares.units[ascending].tolist()
        workers = tuple([Domain(stored[leaf], n) for leaf, n in zip(leaves, n_pods, strict=True) if n])
        leader = Domain(stored[shares.host], 1) if shares.host != _NOBODY else None
        return Placement(self.tree.stored_levels, workers, leader)

    # --- order -------------------------------------------------------------------------------------------------------

    def _keys(self, level: int, *, beside_leader: bool = False) -> tuple[Ints, ...]:
        """Arrays of a level to sort by, the more important first; ties go by index, which is by path (§6.3)."""
        counts = self.counts
        slices = (counts.slices_beside_leader if beside_leader else counts.slices)[level]
        pods = (counts.pods_beside_leader if beside_leader else counts.pods)[level]
        keys = (-slices if self.is_best_fit else slices), pods
        return keys if self._scores is None else (-self._scores[level], *keys)

    def _sorted(self, level: int, domains: Ints) -> Ints:
        """Positions of ascending domains in their order."""
        order: Ints = np.lexsort([key[domains] for key in reversed(self._keys(level))])
        return order

    def _first(self, level: int, domains: Ints) -> int:
        """Of ascending domains the first in the order that looks at leaders."""
        return _least(domains, -self.counts.leaders[level], *self._keys(level, beside_leader=True))

    def _choose(self, level: int, domains: Ints, needed: int) -> Shares | None:
        """`take` without a leader, among ascending domains of the slices' level or above."""
        slices, pods = self.counts.slices[level], self.counts.pods[level]
        if len(domains) <= _WIDE or self._scores is not None:
            units = slices[domains]
            order = self._sorted(level, domains)
            liked = self._scores[level][domains][order] if self._scores is not None else None
            found = _fill(order, units[order], needed, is_best_fit=self.is_best_fit, liked=liked)
            return None if found is None else Shares(domains[found.domains], found.units)
        # Those that take nothing get nothing, wherever they are in the order.
        domains = np.flatnonzero(slices) if len(domains) == len(slices) else domains[slices[domains] > 0]
        units = slices[domains]
        pods = units if slices is pods else pods[domains]
        first = _front(-units if self.is_best_fit else units, None if pods is units else pods, needed)
        found = _fill(first, units[first], needed, is_best_fit=False)
        if found is None:
            return None
        if self.is_best_fit and len(found.domains):
            # The last one may be any that was not taken, also behind those that were sorted.
            taken, left = found.domains[:-1], int(found.units[-1])
            able = units >= left
            able[taken] = False
            found.domains[-1] = _least(np.flatnonzero(able), units, pods)
        return Shares(domains[found.domains], found.units)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _not_fit(self, n_slices: int) -> str:
        """The not-fit text (§6.5)."""
        ending = self.counts.excluded_text()
        if self.layout.inner:
            return f'topology "{self.topology}" doesn\'t allow to fit; {self._layers_text()}{ending}'
        unit = "slice(s)" if self.layout.slice_size != 1 else "pod(s)"
        if n_slices == 0:
            return f'topology "{self.topology}" doesn\'t allow to fit any of {self.needed} {unit}{ending}'
        return f'topology "{self.topology}" allows to fit only {n_slices} out of {self.needed} {unit}{ending}'

    def _layers_text(self) -> str:
        """Slices of each layer inside of the main level's domain with most slices."""
        main = self.layout.main
        live = np.flatnonzero(self.tree.live_domains(main))
        best = _least(live, -self.counts.slices[main])
        texts = []
        for level, size in self.layout.layers:
            domains = np.array([best])
            for k in range(main, level):
                domains = self._children(k, domains)
            fits = int((self.counts.pods[level][domains] // size).sum())
            texts.append(f"{fits}/{self.count // size} slice(s) fit on level {self.tree.levels[level]}")
        return "; ".join(texts)


def _fill(order: Ints, units: Ints, needed: int, *, is_best_fit: bool, liked: Ints | None = None) -> Shares | None:
    """`take` without a leader; `units` and `liked` (scores) are in the order."""
    if needed == 0:
        return Shares(order[:0], units[:0])
    filled = np.cumsum(units)
    last = int(np.searchsorted(filled, needed))
    if last == len(order):
        return None
    left = needed - (int(filled[last - 1]) if last else 0)
    at = last
    if is_best_fit:
        suits = units[last:] >= left
        if liked is not None:
            suits &= liked[last:] == liked[last]
        later = np.flatnonzero(suits) + last
        at = int(later[np.argmin(units[later])])
    domains, taken = order[: last + 1].copy(), units[: last + 1].copy()
    domains[last], taken[last] = order[at], left
    return Shares(domains, taken)


def _front(key: Ints, pods: Ints | None, n_first: int) -> Ints:
    """Positions of the `n_first` least by key, then pods (None: the same as by key), then position, in that order; perhaps of more."""
    n = len(key)
    if n == 0:
        return np.arange(0)
    key = key - key.min()
    n_bits, pods_bits = n.bit_length(), int(pods.max()).bit_length() if pods is not None else 0
    if int(key.max()).bit_length() + pods_bits + n_bits > 62:
        order: Ints = np.lexsort((key,) if pods is None else (pods, key))
        return order
    packed = (key << pods_bits | pods if pods is not None else key) << n_bits
    packed |= np.arange(n)
    if 4 * n_first < n:
        packed = np.partition(packed, n_first)[:n_first]
    packed.sort()
    positions: Ints = packed & ((1 << n_bits) - 1)
    return positions


def _least(domains: Ints, *keys: Ints) -> int:
    """Of ascending domains, the first with the least keys."""
    for key in keys:
        values = key[domains]
        domains = domains[values == values.min()]
    return int(domains[0])


def _one(domain: int, units: int) -> Shares:
    return Shares(np.array([domain]), np.array([units]))


def _join(*parts: Shares, host: int) -> Shares:
    return Shares(np.concatenate([p.domains for p in parts]), np.concatenate([p.units for p in parts]), host)
