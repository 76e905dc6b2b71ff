"""Balanced placement: as few domains as the greedy search takes, but all of them about equally full.

It is for requests that prefer a level. Among the siblings on that level (all domains where it is the widest; else the children of one domain
above), it finds the largest number of slices that every domain taken can have: the threshold. What has less is left out; then the members are
chosen, and below them the domains, so that as little as possible of what is chosen is left over. Where anything fails there is no balance,
and the ordinary search goes on as if this had not been tried.

Sets of siblings are judged one by one, each on copies of the counts. Choosing an exact number of domains with the least surplus is a sum over
subsets, computed for all sums at once (`_least_surplus`).

Neighbours: `counts.py` (what domains take), `place.py` (who asks, and goes on from here to the leaves).

Source: tas.md §6.6.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pykueue.core.tas.counts import Counts
from pykueue.core.tas.request import Layout
from pykueue.core.tas.tree import Bools, Ints

_NOBODY = -1
_NEVER = 1 << 62
_ENTROPY_DIGITS = 9


class Balance(NamedTuple):
    """What domains of one level get.

    Attributes:
        level: theirs.
        domains: indexes.
        slices: for each.
        host: the domain that has the leader; -1 if none was asked for.
    """

    level: int
    domains: list[int]
    slices: list[int]
    host: int


@dataclass(frozen=True, slots=True)
class _Domains:
    """Neighbours on one level, and private copies of what they take; arrays by position.

    Attributes:
        first: index of the first in its level.
        slices: without a leader.
        beside: slices with the leader there; the same without one.
        leaders: 1 where the leader may be.
        pods: without a leader.
        pods_beside: with it.
        scores: of preferred affinity; 0 without.
    """

    first: int
    slices: Ints
    beside: Ints
    leaders: Ints
    pods: Ints
    pods_beside: Ints
    scores: Ints


@dataclass(frozen=True, slots=True)
class _Set:
    """Siblings on the preferred level.

    Attributes:
        members: the siblings.
        children: theirs, if slices are on a level below; else None.
        starts: where each member's children begin, with the end.
    """

    members: _Domains
    children: _Domains | None
    starts: Ints

    @property
    def working(self) -> _Domains:
        """The domains whose fill is balanced."""
        return self.members if self.children is None else self.children


class _Taken(NamedTuple):
    """What a greedy search took: positions in order, and which hosts the leader."""

    positions: list[int]
    host: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """A set that can be balanced: with what has less than the threshold left out, and how many members it needs."""

    siblings: _Set
    threshold: int
    n_members: int


def balance(
    counts: Counts, layout: Layout, needed: int, *, has_leader: bool, scores: Sequence[Ints] | None = None
) -> Balance | None:
    """Balance slices over domains; None if that cannot be.

    Args:
        counts: up to date; not changed.
        layout: of a request that prefers its main level.
        needed: slices.
        has_leader: whether a leader is placed with them.
        scores: [level][domain], of preferred affinity; None without.

    Returns:
        Domains of the preferred level, or of the one below where slices are wanted further down.
    """
    if needed <= 0:
        return None
    return _Balancer(counts, layout, needed, has_leader, scores).run()


class _Balancer:
    """One run; holds what the steps share."""

    def __init__(
        self, counts: Counts, layout: Layout, needed: int, has_leader: bool, scores: Sequence[Ints] | None
    ) -> None:
        self.counts = counts
        self.layout = layout
        self.needed = needed
        self.has_leader = has_leader
        self.scores = scores

    def run(self) -> Balance | None:
        best: _Plan | None = None
        for siblings in self._sets():
            plan = self._plan(siblings, best.threshold if best is not None else 1)
            if plan is not None and (best is None or _rank(plan) < _rank(best)):
                best = plan
        return self._carry_out(best) if best is not None else None

    # --- sets --------------------------------------------------------------------------------------------------------

    def _sets(self) -> list[_Set]:
        level, tree = self.layout.main, self.counts.tree
        if level == 0:
            return [self._set(0, len(tree.paths[0]))]
        starts = tree.starts[level - 1].tolist()
        return [self._set(start, end) for start, end in itertools.pairwise(starts)]

    def _set(self, start: int, end: int) -> _Set:
        level = self.layout.main
        members = self._domains(level, start, end)
        if level >= self.layout.slice_level:
            return _Set(members, None, np.arange(0))
        starts = self.counts.tree.starts[level][start : end + 1]
        return _Set(members, self._domains(level + 1, int(starts[0]), int(starts[-1])), starts - starts[0])

    def _domains(self, level: int, start: int, end: int) -> _Domains:
        counts, which = self.counts, slice(start, end)
        scores = self.scores[level][which] if self.scores is not None else np.zeros(end - start, dtype=np.int64)
        return _Domains(
            first=start,
            slices=counts.slices[level][which].copy(),
            beside=counts.slices_beside_leader[level][which].copy(),
            leaders=counts.leaders[level][which].copy(),
            pods=counts.pods[level][which].copy(),
            pods_beside=counts.pods_beside_leader[level][which].copy(),
            scores=scores,
        )

    # --- thresholds --------------------------------------------------------------------------------------------------

    def _plan(self, siblings: _Set, least: int) -> _Plan | None:
        """The set with its threshold, if that is at least so much (steps 3 to 5)."""
        working = siblings.working
        taken = self._greedy(working)
        if taken is None:
            return None
        last = taken.positions[-1]
        threshold = min(self.needed // len(taken.positions), int(working.slices[last]))
        if self.has_leader:
            threshold = min(threshold, int(working.beside[taken.host]))
        for limit in (threshold, min(threshold, int(working.beside[last]))):
            if limit < least:
                return None
            pruned = self._prune(siblings, limit)
            members = self._greedy(pruned.members)
            if members is not None:
                return _Plan(pruned, limit, len(members.positions))
        return None

    def _greedy(self, domains: _Domains) -> _Taken | None:
        """Where the leader is first, then the largest, until all slices have a place."""
        taken: list[int] = []
        left, host = self.needed, _NOBODY
        if self.has_leader:
            host = int(_leader_order(domains)[0])
            if not domains.leaders[host]:
                return None
            taken.append(host)
            left -= int(domains.beside[host])
        if left > 0:
            order = np.lexsort((domains.pods, -domains.slices, -domains.scores))
            order = order[order != host]
            filled = np.cumsum(domains.slices[order])
            n = int(np.searchsorted(filled, left)) + 1
            if n > len(order):
                return None
            taken += order[:n].tolist()
        return _Taken(taken, host)

    def _prune(self, siblings: _Set, threshold: int) -> _Set:
        """Leave out what has less than the threshold: children, then members with what is left of theirs."""
        if siblings.children is None:
            return replace(siblings, members=_pruned(siblings.members, threshold))
        children = _pruned(siblings.children, threshold)
        members = self._summed(siblings.members, children, siblings.starts)
        return replace(siblings, members=_pruned(members, threshold), children=children)

    def _summed(self, members: _Domains, children: _Domains, starts: Ints) -> _Domains:
        """The members with the sums of their children (§4.3)."""
        size = self.layout.inner.get(self.layout.main + 1, 1)
        cuts = starts[:-1]
        slices = np.add.reduceat(children.slices, cuts)
        pods = np.add.reduceat(children.pods // size * size, cuts)
        if not self.has_leader:
            return replace(members, slices=slices, beside=slices, pods=pods, pods_beside=pods)
        can_host = children.leaders > 0
        beside = slices - _least_loss(children.slices - children.beside, can_host, cuts)
        rest = children.pods // size * size - children.pods_beside // size * size
        pods_beside = pods - _least_loss(rest, can_host, cuts)
        leaders = np.maximum.reduceat(children.leaders, cuts)
        return replace(
            members,
            slices=slices,
            beside=np.where(leaders > 0, beside, 0),
            leaders=leaders,
            pods=pods,
            pods_beside=np.where(leaders > 0, pods_beside, 0),
        )

    # --- choice ------------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: _Plan) -> Balance | None:
        """Choose members and spread the slices over the working domains (steps 7, 8)."""
        siblings, level = plan.siblings, self.layout.main
        if siblings.children is None:
            return self._spread(level, siblings.members, np.arange(len(siblings.members.slices)), plan.threshold)
        order = _diverse_order(siblings)
        chosen = _least_surplus(siblings.members, order, plan.n_members, self.needed, has_leader=self.has_leader)
        if chosen is None:
            return None
        starts = siblings.starts
        positions = np.concatenate([np.arange(starts[p], starts[p + 1]) for p in sorted(chosen)])
        return self._spread(level + 1, siblings.children, positions, plan.threshold)

    def _spread(self, level: int, domains: _Domains, positions: Ints, threshold: int) -> Balance | None:
        """The threshold for each of the domains that leave least over, and what more there is in their order (step 8)."""
        offered = _Domains(
            0,
            domains.slices[positions],
            domains.beside[positions],
            domains.leaders[positions],
            domains.pods[positions],
            domains.pods_beside[positions],
            domains.scores[positions],
        )
        taken = self._greedy(offered)
        n = len(taken.positions) if taken is not None else 0
        extras = self.needed - n * threshold
        by_value = range(len(positions))
        chosen = _least_surplus(offered, by_value, n, self.needed, has_leader=self.has_leader) if n else None
        if chosen is None or extras < 0:
            return None
        units: dict[int, int] = {}
        host = _NOBODY
        for p in (p for p in _leader_order(offered).tolist() if p in chosen):
            is_host = self.has_leader and host == _NOBODY and bool(offered.leaders[p])
            if is_host:
                host = p
            room = int((offered.beside if is_host else offered.slices)[p]) - threshold
            more = min(extras, room)
            units[p] = threshold + more
            extras -= more
        if extras or (self.has_leader and host == _NOBODY):
            return None
        indexes = (positions + domains.first).tolist()
        at = indexes[host] if host != _NOBODY else _NOBODY
        return Balance(level, [indexes[p] for p in units], list(units.values()), at)


def _rank(plan: _Plan) -> tuple[int, int]:
    """The highest threshold first, then the fewest members."""
    return -plan.threshold, plan.n_members


def _leader_order(domains: _Domains) -> Ints:
    """Positions in the order that looks at leaders (§6.3)."""
    order: Ints = np.lexsort((domains.pods_beside, -domains.beside, -domains.scores, -domains.leaders))
    return order


def _pruned(domains: _Domains, threshold: int) -> _Domains:
    """Domains with less than the threshold take nothing; those with less beside a leader do not host it."""
    enough = domains.slices >= threshold
    return replace(
        domains,
        slices=domains.slices * enough,
        beside=domains.beside * enough,
        leaders=domains.leaders * (enough & (domains.beside >= threshold)),
        pods=domains.pods * enough,
        pods_beside=domains.pods_beside * enough,
    )


def _least_loss(losses: Ints, can_host: Bools, cuts: Ints) -> Ints:
    """[parent], what it loses by the leader in the child that loses least."""
    found: Ints = np.minimum.reduceat(np.where(can_host, losses, _NEVER), cuts)
    return found


def _diverse_order(siblings: _Set) -> list[int]:
    """Members in the order in which they are tried: leaders, slices beside one, and how evenly their children are filled."""
    members, children = siblings.members, siblings.children
    assert children is not None
    starts = siblings.starts.tolist()
    entropies = [_entropy(children.pods[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    leaders, beside = members.leaders.tolist(), members.beside.tolist()
    return sorted(range(len(beside)), key=lambda p: (-leaders[p], -beside[p], -entropies[p], p))


def _entropy(amounts: Sequence[int]) -> float:
    """Shannon's, base 2; rounded, so that the order of the amounts does not show."""
    total = sum(amounts)
    shares = [amount / total for amount in sorted(amounts) if amount]
    return round(-sum(share * math.log2(share) for share in shares), _ENTROPY_DIGITS)


def _least_surplus(
    domains: _Domains, order: Sequence[int], n: int, needed: int, *, has_leader: bool
) -> frozenset[int] | None:
    """Exactly `n` domains that take what is needed, with the leader in one of them, and least beyond it.

    Of equal ones, the first that is reached when the domains are added in this order, each with the leader before without. For
    every number of domains and every sum, `reached` keeps the domain that made it; so the choice is read off backwards.

    Cost: domains × n × the most that `n` of them take, as operations on arrays.
    """
    size = int(np.sort(domains.slices)[-n:].sum()) + 1
    start = len(domains.slices)
    reached = np.full((n + 1, 2, size), _NOBODY, dtype=np.int64)
    hosting = np.zeros(reached.shape, dtype=np.bool_)
    reached[0, 0, 0] = start
    copies: dict[tuple[int, int, int], int] = {}
    for p in order:
        kind = int(domains.slices[p]), int(domains.beside[p]), int(domains.leaders[p])
        copies[kind] = copies.get(kind, 0) + 1
        if kind[0] == 0 or copies[kind] > n:
            # More equal ones than can be chosen reach nothing new.
            continue
        before = reached[:-1] != _NOBODY
        if has_leader and kind[2]:
            _reach(reached[1:, 1:], hosting[1:, 1:], before[:, :1], p, kind[1], is_host=True)
        _reach(reached[1:], hosting[1:], before, p, kind[0])
    found = np.flatnonzero(reached[n, int(has_leader), needed:] != _NOBODY)
    if not len(found):
        return None
    chosen: list[int] = []
    k, has_host, total = n, int(has_leader), needed + int(found[0])
    while k:
        p = int(reached[k, has_host, total])
        chosen.append(p)
        is_host = bool(hosting[k, has_host, total])
        total -= int((domains.beside if is_host else domains.slices)[p])
        has_host -= int(is_host)
        k -= 1
    return frozenset(chosen)


def _reach(reached: Ints, hosting: Bools, before: Bools, p: int, amount: int, *, is_host: bool = False) -> None:
    """Note the sums that a domain makes of those before it, where nobody has made them yet."""
    size = reached.shape[-1]
    if amount >= size:
        return
    new = before[..., : size - amount] & (reached[..., amount:] == _NOBODY)
    reached[..., amount:][new] = p
    hosting[..., amount:][new] = is_host
