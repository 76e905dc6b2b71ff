"""Victims without fair sharing: own queue by priority, the cohort by who borrows.

From the ClusterQueue up to the root, every ancestor adds the candidates of its other branches. Where the preemptor's request is covered
by quota on its own side of the tree, they are *hierarchical*: the quota is being taken back. Where it is not, preempting them means
borrowing, which `borrowWithinCohort` may allow for low priorities.

Source: scheduling.md §8.3–§8.5.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pykueue.api.constants import Reason
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.resources import sub
from pykueue.core.scheduler.preemption.candidates import Demand, Target, fill_back
from pykueue.core.workload.info import Info


class _Class(enum.Enum):
    OWN = enum.auto()
    HIERARCHICAL = enum.auto()
    WHILE_BORROWING = enum.auto()
    ONLY_WITHOUT_BORROWING = enum.auto()


_REASONS = {
    _Class.OWN: Reason.IN_CLUSTER_QUEUE,
    _Class.HIERARCHICAL: Reason.IN_COHORT_RECLAMATION,
    _Class.WHILE_BORROWING: Reason.IN_COHORT_RECLAIM_WHILE_BORROWING,
    _Class.ONLY_WITHOUT_BORROWING: Reason.IN_COHORT_RECLAMATION,
}


@dataclass(slots=True)
class _Candidates:
    """Candidates by class, each list in the order of trying."""

    hierarchical: list[tuple[Info, _Class]] = field(default_factory=list)
    priority: list[tuple[Info, _Class]] = field(default_factory=list)
    own: list[tuple[Info, _Class]] = field(default_factory=list)

    def ordered(self) -> list[tuple[Info, _Class]]:
        """Evicted ones of all classes first, then the others."""
        lists = (self.hierarchical, self.priority, self.own)
        evicted = [c for part in lists for c in part if c[0].is_evicted]
        return evicted + [c for part in lists for c in part if not c[0].is_evicted]


def classical_targets(demand: Demand) -> list[Target]:
    """The victims that make room for the demand; empty if none do."""
    candidates = _collect(demand)
    if candidates is None:
        return []
    ordered = candidates.ordered()
    for may_borrow in _attempts(demand, candidates):
        found = _attempt(demand, ordered, may_borrow=may_borrow)
        if found:
            return found
    return []


def _attempts(demand: Demand, candidates: _Candidates) -> tuple[bool, ...]:
    """Whether borrowing is allowed in each attempt (§8.4)."""
    if not candidates.hierarchical and not candidates.priority:
        return (True,)
    borrow = demand.queue.spec.spec.preemption.borrow_within_cohort
    if borrow is None or borrow.policy == "Never":
        node = demand.queue.node
        if any(node.usage[i] >= node.subtree[i] for i in demand.needed):
            return (True,)
        if not candidates.hierarchical:
            return (False, True)
    return (True, False)


def _attempt(demand: Demand, ordered: list[tuple[Info, _Class]], *, may_borrow: bool) -> list[Target]:
    """Take candidates one by one until the demand fits; the trial undoes everything."""
    targets: list[Target] = []
    ours = set(demand.queue.node.lineage())
    with demand.cache.trial(demand.queue.node.tree):
        for candidate, class_ in ordered:
            if may_borrow and class_ is _Class.ONLY_WITHOUT_BORROWING:
                continue
            if class_ is not _Class.OWN and first_within_nominal(demand, candidate, ours) is not None:
                continue
            demand.remove(candidate)
            targets.append(Target(candidate, _REASONS[class_]))
            if demand.fits(may_borrow=may_borrow):
                return fill_back(demand, targets, may_borrow=may_borrow)
    return []


def first_within_nominal(demand: Demand, candidate: Info, ours: Collection[QuotaNode]) -> QuotaNode | None:
    """Who keeps a Workload of another queue from being preempted: a queue or cohort that uses no more than its own quota.

    Args:
        demand: of the preemptor.
        candidate: of another ClusterQueue.
        ours: the preemptor's queue and the cohorts above it.

    Returns:
        the first such node from the candidate's queue up to `ours`; None if all use more, as they must to be candidates.
    """
    for node in demand.node_of(candidate).lineage():
        if node in ours:
            return None
        if node.is_within_nominal(demand.needed):
            return node
    return None


def _collect(demand: Demand) -> _Candidates | None:
    """All candidates; None if they cannot make room together."""
    own = demand.candidates(demand.queue)
    hierarchical: list[Info] = []
    priority: list[Info] = []
    if demand.queue.spec.spec.preemption.reclaim_within_cohort != "Never":
        _collect_others(demand, hierarchical, priority)
    if not demand.may_suffice(chain(own, hierarchical, priority)):
        return None
    return _Candidates(
        hierarchical=[(info, _Class.HIERARCHICAL) for info in demand.sort(hierarchical)],
        priority=[(info, _priority_class(demand, info)) for info in demand.sort(priority)],
        own=[(info, _Class.OWN) for info in demand.sort(own)],
    )


def _collect_others(demand: Demand, hierarchical: list[Info], priority: list[Info]) -> None:
    """Fill in the candidates of the other ClusterQueues, from near to far."""
    node, rest = demand.queue.node, dict(demand.requests)
    has_advantage = False
    while node.parent is not None:
        has_advantage = has_advantage or not any(node.borrows_with(i, amount) for i, amount in rest.items() if amount)
        rest = {i: max(0, sub(amount, node.local_available(i))) for i, amount in rest.items()}
        others = [info for leaf in _other_leaves(node, demand) for info in _of_leaf(leaf, demand)]
        (hierarchical if has_advantage else priority).extend(others)
        node = node.parent


def _other_leaves(visited: QuotaNode, demand: Demand) -> Iterator[QuotaNode]:
    """ClusterQueues below the parent that use more than their own quota, as do all cohorts on the way to them."""
    assert visited.parent is not None
    stack = [child for child in _over(visited.parent.children, demand.needed) if child is not visited]
    for node in stack:
        if node.is_cohort:
            stack.extend(_over(node.children, demand.needed))
        else:
            yield node


def _over(nodes: Sequence[QuotaNode], needed: Collection[int]) -> list[QuotaNode]:
    """Those that use more than their own quota of something that is needed."""
    if len(needed) == 1:
        (i,) = needed
        return [node for node in nodes if node.usage[i] > node.subtree[i]]
    return [node for node in nodes if not node.is_within_nominal(needed)]


def _of_leaf(leaf: QuotaNode, demand: Demand) -> list[Info]:
    queue = demand.cache.queue(leaf.name)
    assert queue is not None
    return demand.candidates(queue)


def _priority_class(demand: Demand, candidate: Info) -> _Class:
    borrow = demand.queue.spec.spec.preemption.borrow_within_cohort
    if borrow is not None and borrow.policy == "LowerPriority" and candidate.priority < demand.info.priority:
        threshold = borrow.max_priority_threshold
        if threshold is None or candidate.priority <= threshold:
            return _Class.WHILE_BORROWING
    return _Class.ONLY_WITHOUT_BORROWING
