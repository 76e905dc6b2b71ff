"""Victims with fair sharing: take from whoever has the highest share, as long as that is fair.

The preemptor's request counts as its usage during the whole search. From the root, the search descends to the ClusterQueue with
the highest share that still has candidates, judges its next candidate, and starts again, for every removal changes the shares.

Source: scheduling.md §9.2–§9.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pykueue.api.constants import Reason
from pykueue.core.cache.cohort import QuotaNode, Share
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.preemption.candidates import Demand, Target, fill_back
from pykueue.core.workload.info import Info

FINAL_SHARE = "LessThanOrEqualToFinalShare"
INITIAL_SHARE = "LessThanInitialShare"


def fair_targets(demand: Demand, strategies: Sequence[str], features: Features) -> list[Target]:
    """The victims that make room for the demand; empty if none do.

    Args:
        demand: who asks for what.
        strategies: one or two names, in order of use.
        features: gates in force.
    """
    if not strategies:
        strategies = (FINAL_SHARE, INITIAL_SHARE)
    candidates = _collect(demand)
    if not candidates:
        return []
    with demand.cache.trial(demand.queue.node.tree):
        _use(demand, 1)
        search = _Search(demand, features)
        if not search.first(candidates, strategies[0]) and not (
            len(strategies) > 1 and search.second(search.refused, strategies[1])
        ):
            return []
        _use(demand, -1)
        return fill_back(demand, search.targets, may_borrow=True)


def _collect(demand: Demand) -> list[Info]:
    found = demand.candidates(demand.queue)
    own = demand.queue.node
    if own.parent is None or demand.queue.spec.spec.preemption.reclaim_within_cohort == "Never":
        return found
    for leaf in own.tree.root.leaves():
        if leaf is not own and not leaf.is_within_nominal(demand.needed):
            queue = demand.cache.queue(leaf.name)
            assert queue is not None
            found += demand.candidates(queue)
    return found


def leaf_within_nominal(demand: Demand, candidate: Info) -> QuotaNode | None:
    """The candidate's queue, if it uses no more than its own quota and so keeps what it has; cohorts are judged by their shares."""
    leaf = demand.node_of(candidate)
    return leaf if leaf.is_within_nominal(demand.needed) else None


def _use(demand: Demand, sign: int) -> None:
    node = demand.queue.node
    for i, amount in demand.requests.items():
        (node.add_usage if sign > 0 else node.remove_usage)(i, amount)


class _Search:
    """One search; runs inside the trial of `fair_targets`."""

    def __init__(self, demand: Demand, features: Features) -> None:
        self.demand = demand
        self.targets: list[Target] = []
        self.refused: list[Info] = []
        # The preemptor's usage already contains the request here, so "within nominal" asks about usage alone.
        self._is_within_nominal = features[
            Gate.FAIR_SHARING_PREEMPT_WITHIN_NOMINAL
        ] and demand.queue.node.is_within_nominal(demand.needed)

    def first(self, candidates: list[Info], strategy: str) -> bool:
        """Try all candidates; the refused ones are set aside. Whether the demand fits."""
        order = _Order(self.demand, candidates)
        for node in order:
            if node is self.demand.queue.node:
                if self._take(order.pop(node), Reason.IN_CLUSTER_QUEUE):
                    return True
                continue
            if self._is_within_nominal:
                if self._take(order.pop(node), Reason.IN_COHORT_RECLAMATION):
                    return True
                continue
            ours, theirs = _almost_lowest_common(self.demand.queue.node, node)
            preemptor, before = ours.share()[0], theirs.share()[0]
            while order.has(node):
                candidate = order.pop(node)
                if _accepts(strategy, preemptor, before, self._after(candidate, theirs)):
                    if self._take(candidate, Reason.IN_COHORT_FAIR_SHARING):
                        return True
                    break
                self.refused.append(candidate)
        return False

    def second(self, candidates: list[Info], strategy: str) -> bool:
        """Give each queue of the refused one more chance by another rule. Whether the demand fits."""
        order = _Order(self.demand, candidates)
        for node in order:
            ours, theirs = _almost_lowest_common(self.demand.queue.node, node)
            preemptor, before = ours.share()[0], theirs.share()[0]
            candidate = order.pop(node)
            if not _accepts(strategy, preemptor, before, self._after(candidate, theirs)):
                order.drop(node)
            elif self._take(candidate, Reason.IN_COHORT_FAIR_SHARING):
                return True
        return False

    def _after(self, candidate: Info, theirs: QuotaNode) -> Share:
        with self.demand.cache.trial(theirs.tree):
            self.demand.remove(candidate)
            return theirs.share()[0]

    def _take(self, candidate: Info, reason: Reason) -> bool:
        self.demand.remove(candidate)
        self.targets.append(Target(candidate, reason))
        with self.demand.queue.node.tree.trial():
            _use(self.demand, -1)
            return self.demand.fits(may_borrow=True)


class _Order:
    """ClusterQueues that still have candidates, the one to take from next first (§9.3)."""

    def __init__(self, demand: Demand, candidates: list[Info]) -> None:
        self._demand = demand
        self._root = demand.queue.node.tree.root
        self._path = {id(node) for node in demand.queue.node.lineage()}
        self._pruned: set[int] = set()
        self._left: dict[str, list[Info]] = {}
        for candidate in reversed(demand.sort(candidates)):
            self._left.setdefault(candidate.cluster_queue, []).append(candidate)

    def __iter__(self) -> Iterator[QuotaNode]:
        if not self._root.is_cohort:
            while self.has(self._root):
                yield self._root
            return
        while id(self._root) not in self._pruned:
            node = self._next(self._root)
            if node is not None:
                yield node

    def has(self, node: QuotaNode) -> bool:
        """Whether the queue has candidates left."""
        return bool(self._left.get(node.name))

    def pop(self, node: QuotaNode) -> Info:
        """Its next candidate."""
        return self._left[node.name].pop()

    def drop(self, node: QuotaNode) -> None:
        """Pass the queue over from now on."""
        self._pruned.add(id(node))

    def _next(self, cohort: QuotaNode) -> QuotaNode | None:
        best_queue: QuotaNode | None = None
        best_cohort: QuotaNode | None = None
        queue_share = cohort_share = (0, -1.0)
        for child in cohort.children:
            if id(child) in self._pruned:
                continue
            ratio, _ = child.unweighted_share()
            if (ratio == 0 and id(child) not in self._path) or (not child.is_cohort and not self.has(child)):
                self.drop(child)
                continue
            share, _ = child.share()
            if child.is_cohort:
                if share > cohort_share:
                    best_cohort, cohort_share = child, share
            elif share > queue_share or (share == queue_share and self._is_before(child, best_queue)):
                best_queue, queue_share = child, share
        if best_cohort is not None and cohort_share >= queue_share:
            return self._next(best_cohort)
        if best_queue is None:
            self.drop(cohort)
        return best_queue

    def _is_before(self, a: QuotaNode, b: QuotaNode | None) -> bool:
        if b is None:
            return True
        return self._demand.order(self._left[a.name][-1]) < self._demand.order(self._left[b.name][-1])


def _accepts(strategy: str, preemptor: Share, before: Share, after: Share) -> bool:
    return preemptor < before if strategy == INITIAL_SHARE else preemptor <= after


def _almost_lowest_common(a: QuotaNode, b: QuotaNode) -> tuple[QuotaNode, QuotaNode]:
    """The children of the lowest common ancestor on the way to `a` and to `b`."""
    above = list(a.lineage())
    seen = {id(node): i for i, node in enumerate(above)}
    below = b
    for node in b.lineage():
        if id(node) in seen:
            return above[seen[id(node)] - 1], below
        below = node
    return above[-1], below
