"""Who may be preempted, and in which order they are tried.

A candidate holds some quota that the preemptor lacks, and the preemptor's policies allow it. The order is total: it ends in the uid.

Source: scheduling.md §8.1, §8.2.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

import msgspec

from pykueue.api.constants import Reason
from pykueue.api.objects import ObjectKey
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.resources import FlavorResource, sub
from pykueue.core.workload.info import Info

CandidateKey: TypeAlias = tuple[bool, bool, float, int, int, str, str, str]


class Target(msgspec.Struct, frozen=True):
    """A victim and why it is one."""

    info: Info
    reason: Reason


class Refusal(enum.Enum):
    """Why a Workload that holds what is missing is no candidate by the preemptor's policy."""

    POLICY_IS_NEVER = enum.auto()
    BARRED = enum.auto()
    PRIORITY_NOT_LOWER = enum.auto()
    NOT_NEWER = enum.auto()


class Demand(msgspec.Struct, frozen=True):
    """What somebody wants others to make room for.

    Attributes:
        info: the preemptor.
        queue: its ClusterQueue.
        requests: all quota it needs, per number of flavor-resource.
        needed: the numbers that are short.
        cache: everything that holds quota.
        barred: Workloads that are no candidates: they leave for somebody else, or are spared.
        usage_of: admission fair sharing of LocalQueues, where it orders the queue.
        has_places: whether the pods find places in their topologies now.
    """

    info: Info
    queue: ClusterQueueState
    requests: Mapping[int, int]
    needed: Collection[int]
    cache: Cache
    barred: Collection[ObjectKey] = ()
    usage_of: Callable[[ObjectKey], float] | None = None
    has_places: Callable[[], bool] = lambda: True

    def fits(self, *, may_borrow: bool) -> bool:
        """Whether there is room now."""
        node = self.queue.node
        for i, amount in self.requests.items():
            if amount and (amount > node.free(i) or (not may_borrow and node.borrows_with(i, amount))):
                return False
        return self.has_places()

    def candidates(self, queue: ClusterQueueState) -> list[Info]:
        """Candidates of a ClusterQueue, unsorted."""
        policy = self.policy(queue.name)
        if policy == "Never":
            return []
        items = [self.queue.node.tree.items[i] for i in self.needed]
        return [
            info
            for key, info in queue.workloads.items()
            if _holds(info, items)
            and key != self.info.key
            and key not in self.barred
            and _refusal(policy, self.info, info) is None
        ]

    def refusal(self, info: Info) -> Refusal | None:
        """Why a Workload that holds some of what is needed is none of the `candidates`; None if it is."""
        policy = self.policy(info.cluster_queue)
        if policy == "Never":
            return Refusal.POLICY_IS_NEVER
        return Refusal.BARRED if info.key in self.barred else _refusal(policy, self.info, info)

    def policy(self, cluster_queue: str) -> str:
        """The preemptor's policy for the Workloads of a ClusterQueue: its own, or another."""
        preemption = self.queue.spec.spec.preemption
        is_own = cluster_queue == self.queue.name
        return preemption.within_cluster_queue if is_own else preemption.reclaim_within_cohort

    def sort(self, candidates: Iterable[Info]) -> list[Info]:
        """Candidates in the order in which they are tried (§8.2)."""
        return sorted(candidates, key=self.order)

    def order(self, candidate: Info) -> CandidateKey:
        """Sort key of a candidate."""
        is_own = candidate.cluster_queue == self.queue.name
        usage = 0.0
        if is_own and self.usage_of is not None:
            usage = -self.usage_of(candidate.local_queue)
        return (
            not candidate.is_evicted, is_own, usage, candidate.priority, -candidate.reserved_at, candidate.uid,
            candidate.key.namespace, candidate.key.name,
        )  # fmt: skip

    def remove(self, candidate: Info) -> None:
        """Take a candidate's usage away; call it inside a trial."""
        self.node_of(candidate).give_back(candidate.usage)
        self.cache.ledger.lift(candidate.key)

    def restore(self, candidate: Info) -> None:
        """Put a candidate's usage back; call it inside a trial."""
        self.node_of(candidate).hold(candidate.usage)
        self.cache.ledger.put_back(candidate.key)

    def node_of(self, candidate: Info) -> QuotaNode:
        """Leaf of a candidate's ClusterQueue."""
        queue = self.cache.queue(candidate.cluster_queue)
        assert queue is not None
        return queue.node

    def may_suffice(self, candidates: Iterable[Info]) -> bool:
        """Whether there could be room if all of them were gone: a bound, for nothing frees more than it holds."""
        node, items = self.queue.node, self.queue.node.tree.items
        missing = {items[i]: sub(amount, node.available(i)) for i, amount in self.requests.items() if amount}
        missing = {item: amount for item, amount in missing.items() if amount > 0}
        for candidate in candidates:
            for item in missing:
                missing[item] = sub(missing[item], candidate.usage.get(item, 0))
            if all(amount <= 0 for amount in missing.values()):
                return True
        return not missing


def fill_back(demand: Demand, targets: list[Target], *, may_borrow: bool) -> list[Target]:
    """Spare the victims that turn out not to be needed; the last one found always is (§8.5)."""
    spared = set()
    for i in range(len(targets) - 2, -1, -1):
        demand.restore(targets[i].info)
        if demand.fits(may_borrow=may_borrow):
            spared.add(i)
        else:
            demand.remove(targets[i].info)
    return [target for i, target in enumerate(targets) if i not in spared]


def _holds(info: Info, items: Iterable[FlavorResource]) -> bool:
    """Whether a Workload holds some of one of them."""
    for item in items:  # noqa: SIM110 (asked of every Workload in every search; a generator costs three times as much)
        if info.usage.get(item, 0) > 0:
            return True
    return False


def _refusal(policy: str, preemptor: Info, candidate: Info) -> Refusal | None:
    if policy == "Any" or preemptor.priority > candidate.priority:
        return None
    if policy == "LowerPriority" or preemptor.priority < candidate.priority:
        return Refusal.PRIORITY_NOT_LOWER
    return None if preemptor.queued_at < candidate.queued_at else Refusal.NOT_NEWER
