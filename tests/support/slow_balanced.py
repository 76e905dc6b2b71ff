"""Balanced placement once more, as the text of tas.md §6.6 reads it: dictionaries and loops over everything.

The twin of `pykueue.core.tas.balanced`. Every choice of members is looked at, so the least surplus is what it is called.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pykueue.core.tas.request import Layout, Strictness
from support.slow_placement import Amounts, Path, Placer, Share, make_placer


@dataclass
class Domain:
    """What one domain takes; a copy."""

    index: int
    slices: int
    beside: int
    can_host: bool
    pods: int
    pods_beside: int
    score: int


def place_balanced_slowly(
    left: Mapping[Path, Amounts],
    layout: Layout,
    count: int,
    worker: Amounts,
    leader: Amounts | None,
    *,
    liked: Mapping[Path, int] | None = None,
) -> tuple[list[tuple[Path, int]], Path | None] | int:
    """See `place_slowly`."""
    placer = make_placer(left, layout, count, worker, leader, is_mixed=True, liked=liked)
    found = Balancer(placer, layout).run() if layout.strictness is Strictness.PREFERRED and placer.needed else None
    if found is None:
        return placer.run()
    level, shares = found
    while level < layout.slice_level:
        level += 1
        shares = [part for share in shares for part in placer.deal(level, share)]
    return placer.to_leaves(level, shares)


class Balancer:
    def __init__(self, placer: Placer, layout: Layout) -> None:
        self.placer, self.layout = placer, layout
        self.needed, self.has_leader = placer.needed, placer.has_leader
        self.is_deep = layout.main < layout.slice_level

    def run(self) -> tuple[int, list[Share]] | None:
        level, tree = self.layout.main, self.placer.tree
        sets = [range(len(tree.paths[0]))] if level == 0 else tree.children[level - 1]
        best: tuple[int, int, list[Domain], dict[int, list[Domain]]] | None = None
        for siblings in sets:
            plan = self.plan(list(siblings), best[0] if best else 1)
            if plan is not None and (best is None or (-plan[0], plan[1]) < (-best[0], best[1])):
                best = plan
        if best is None:
            return None
        threshold, n_members, members, children = best
        if not self.is_deep:
            return self.spread(level, members, threshold)
        order = sorted(
            members, key=lambda m: (not m.can_host, -m.beside, -round(entropy(children[m.index]), 9), m.index)
        )
        chosen = self.choose(order, n_members)
        if chosen is None:
            return None
        below = [child for member in sorted(chosen, key=lambda m: m.index) for child in children[member.index]]
        return self.spread(level + 1, below, threshold)

    def domain(self, level: int, d: int) -> Domain:
        counts = self.placer.counts
        score = self.placer.scores[level][d] if self.placer.scores is not None else 0
        return Domain(
            d, counts.slices[level][d], counts.slices_beside_leader[level][d], bool(counts.leaders[level][d]),
            counts.pods[level][d], counts.pods_beside_leader[level][d], score,
        )  # fmt: skip

    def plan(self, siblings: list[int], least: int) -> tuple[int, int, list[Domain], dict[int, list[Domain]]] | None:
        level = self.layout.main

        def fresh() -> tuple[list[Domain], dict[int, list[Domain]]]:
            below = {d: [self.domain(level + 1, c) for c in self.placer.tree.children[level][d]] for d in siblings}
            return [self.domain(level, d) for d in siblings], below if self.is_deep else {}

        members, children = fresh()
        working = [c for d in siblings for c in children[d]] if self.is_deep else members
        taken = self.greedy(working)
        if taken is None:
            return None
        last = taken[-1]
        threshold = min(self.needed // len(taken), last.slices)
        if self.has_leader:
            threshold = min(threshold, taken[0].beside)
        for limit in (threshold, min(threshold, last.beside)):
            if limit < least:
                return None
            members, children = fresh()
            if self.is_deep:
                for member in members:
                    for child in children[member.index]:
                        prune(child, limit)
                    self.sum_up(member, children[member.index])
            for member in members:
                prune(member, limit)
            used = self.greedy(members)
            if used is not None:
                return limit, len(used), members, children
        return None

    def greedy(self, domains: Sequence[Domain]) -> list[Domain] | None:
        """The leader's host is the first."""
        taken: list[Domain] = []
        left = self.needed
        if self.has_leader:
            host = min(domains, key=lambda d: (not d.can_host, -d.score, -d.beside, d.pods_beside, d.index))
            if not host.can_host:
                return None
            taken.append(host)
            left -= host.beside
        for domain in sorted(domains, key=lambda d: (-d.score, -d.slices, d.pods, d.index)):
            if left <= 0:
                break
            if domain not in taken:
                taken.append(domain)
                left -= domain.slices
        return taken if left <= 0 else None

    def sum_up(self, member: Domain, children: Sequence[Domain]) -> None:
        size = self.layout.inner.get(self.layout.main + 1, 1)
        member.slices = sum(c.slices for c in children)
        member.pods = sum(c.pods // size * size for c in children)
        hosts = [c for c in children if c.can_host]
        member.can_host = bool(hosts)
        if not self.has_leader:
            member.beside, member.pods_beside = member.slices, member.pods
            return
        member.beside = member.slices - min((c.slices - c.beside for c in hosts), default=member.slices)
        losses = (c.pods // size * size - c.pods_beside // size * size for c in hosts)
        member.pods_beside = member.pods - min(losses, default=member.pods)

    def choose(self, order: Sequence[Domain], n: int) -> list[Domain] | None:
        """Exactly so many with the least surplus: of equal sums, the one that is reached first."""
        reached: dict[tuple[int, bool, int], list[Domain]] = {(0, False, 0): []}
        for domain in order:
            if domain.slices == 0:
                continue
            for (k, has_host, total), chosen in list(reached.items()):
                if k < n and self.has_leader and domain.can_host and not has_host:
                    reached.setdefault((k + 1, True, total + domain.beside), [*chosen, domain])
            for (k, has_host, total), chosen in list(reached.items()):
                if k < n and domain not in chosen:
                    reached.setdefault((k + 1, has_host, total + domain.slices), [*chosen, domain])
        sums = [t for k, has_host, t in reached if k == n and has_host == self.has_leader and t >= self.needed]
        assert min(sums, default=None) == self.least_sum(order, n)
        return reached[n, self.has_leader, min(sums)] if sums else None

    def least_sum(self, domains: Sequence[Domain], n: int) -> int | None:
        """By looking at every choice, and every host in it."""
        sums = []
        for some in itertools.combinations([d for d in domains if d.slices], n):
            total = sum(d.slices for d in some)
            losses = [d.slices - d.beside for d in some if d.can_host] if self.has_leader else [0]
            sums += [total - loss for loss in losses if total - loss >= self.needed]
        return min(sums, default=None)

    def spread(self, level: int, domains: Sequence[Domain], threshold: int) -> tuple[int, list[Share]] | None:
        taken = self.greedy(domains)
        chosen = self.choose(domains, len(taken)) if taken is not None else None
        if taken is None or chosen is None or self.needed < len(taken) * threshold:
            return None
        extras = self.needed - len(chosen) * threshold
        shares: list[Share] = []
        wants_leader = self.has_leader
        for domain in sorted(chosen, key=lambda d: (not d.can_host, -d.score, -d.beside, d.pods_beside, d.index)):
            is_host = wants_leader and domain.can_host
            more = min(extras, (domain.beside if is_host else domain.slices) - threshold)
            extras -= more
            shares.append(Share(domain.index, threshold + more, is_host))
            wants_leader = wants_leader and not is_host
        return None if extras or wants_leader else (level, shares)


def prune(domain: Domain, threshold: int) -> None:
    if domain.slices < threshold:
        domain.slices = domain.beside = domain.pods = domain.pods_beside = 0
        domain.can_host = False
    elif domain.beside < threshold:
        domain.can_host = False


def entropy(children: Sequence[Domain]) -> float:
    total = sum(c.pods for c in children)
    return -sum(c.pods / total * math.log2(c.pods / total) for c in children if c.pods)
