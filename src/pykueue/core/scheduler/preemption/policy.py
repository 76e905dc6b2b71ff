"""The search for victims as the scheduler asks for it, and what victims are told.

`Preemptor` picks the classical or the fair search, answers the flavor search's question about a single flavor-resource, and
makes the texts.

Source: scheduling.md §8, §8.6, §9.5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from pykueue.api.constants import Label, Reason
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.features import Features
from pykueue.core.scheduler.assignment import Assignment, Mode
from pykueue.core.scheduler.flavor_assigner import Topologies
from pykueue.core.scheduler.preemption.candidates import Demand, Refusal, Target
from pykueue.core.scheduler.preemption.classical import classical_targets, first_within_nominal
from pykueue.core.scheduler.preemption.fair_sharing import fair_targets, leaf_within_nominal
from pykueue.core.workload.info import Info

TEXTS: Mapping[Reason, str] = {
    Reason.IN_CLUSTER_QUEUE: "prioritization in the ClusterQueue",
    Reason.IN_COHORT_RECLAMATION: "reclamation within the cohort",
    Reason.IN_COHORT_FAIR_SHARING: "Fair Sharing within the cohort",
    Reason.IN_COHORT_RECLAIM_WHILE_BORROWING: "reclamation within the cohort while borrowing",
}


@dataclass(frozen=True, slots=True)
class Preemptor:
    """Finds victims.

    Attributes:
        cache: what holds quota.
        features: gates in force.
        strategies: of fair sharing; None if it is off.
        usage_of: admission fair sharing of LocalQueues in a ClusterQueue, or None.
        gone: Workloads that are as good as removed: they leave for somebody else.
        spared: Workloads that a preemptor may not choose again.
        topologies: asked whether the pods find places; None where topology plays no part.
    """

    cache: Cache
    features: Features
    strategies: tuple[str, ...] | None
    usage_of: Callable[[ClusterQueueState], Callable[[ObjectKey], float] | None] = lambda _: None
    gone: frozenset[ObjectKey] = frozenset()
    spared: Callable[[ObjectKey], Collection[ObjectKey]] = lambda _: ()
    topologies: Topologies | None = None
    _simulated: list[tuple[Info, dict[int, int], list[Target]]] = field(default_factory=list, init=False)
    """The last simulation: Workload, the amount of one flavor-resource that it asked for, and the victims. At most one."""

    def targets(self, info: Info, queue: ClusterQueueState, assignment: Assignment) -> list[Target]:
        """Victims for an assignment in mode Preempt; empty if there are none that help."""
        needed = assignment.needs_preemption()
        if not assignment.places:
            # Often the whole question is the one that the flavor search has just asked, in the same state.
            for asker, asked, found in self._simulated:
                if asker is info and asked == assignment.usage and needed == list(asked):
                    return list(found)
        demand = self.demand(info, queue, assignment.usage, needed)
        topologies = self.topologies
        if topologies is None:
            return self._search(demand)
        demand = msgspec.structs.replace(demand, has_places=topologies.fitter(info, assignment))
        targets = self._search(demand)
        if targets:
            with self.cache.trial(queue.node.tree):
                for target in targets:
                    demand.remove(target.info)
                topologies.place_beside(info, assignment)
        return targets

    def simulate(self, info: Info, queue: ClusterQueueState, item: int, amount: int) -> tuple[Mode, int]:
        """What preemption could do for one flavor-resource (§9.5)."""
        demand = self.demand(info, queue, {item: amount}, [item])
        targets = self._search(demand)
        self._simulated[:] = [(info, {item: amount}, targets)]
        if not targets:
            return Mode.NO_CANDIDATES, queue.node.borrowing_level(item, amount)[0]
        with self.cache.trial(queue.node.tree):
            for target in targets:
                demand.remove(target.info)
            level, _ = queue.node.borrowing_level(item, amount)
        is_reclaim = all(target.info.cluster_queue != queue.name for target in targets)
        return (Mode.RECLAIM if is_reclaim else Mode.PREEMPT), level

    def demand(self, info: Info, queue: ClusterQueueState, requests: Mapping[int, int], needed: list[int]) -> Demand:
        """What victims are searched for.

        Args:
            info: the preemptor.
            queue: its ClusterQueue.
            requests: all quota it needs, per number of flavor-resource.
            needed: the numbers that are short.
        """
        spared = self.spared(info.key)
        barred = self.gone.union(spared) if spared else self.gone
        return Demand(info, queue, requests, needed, self.cache, barred, self.usage_of(queue))

    def refusal(self, demand: Demand, info: Info) -> Refusal | QuotaNode | None:
        """Why a Workload that holds some of what is needed is no candidate of the search; None if it is one.

        Returns:
            what the policy says, or the queue or cohort that keeps it by using no more than its own quota.
        """
        if info.cluster_queue != demand.queue.name and demand.policy(info.cluster_queue) != "Never":
            if self.strategies is not None:
                keeper = leaf_within_nominal(demand, info)
            else:
                keeper = first_within_nominal(demand, info, set(demand.queue.node.lineage()))
            if keeper is not None:
                return keeper
        return demand.refusal(info)

    def _search(self, demand: Demand) -> list[Target]:
        if self.strategies is not None:
            return fair_targets(demand, self.strategies, self.features)
        return classical_targets(demand)


def preemption_message(preemptor: Info, preemptor_path: str, victim_path: str, reason: Reason) -> str:
    """What a victim's conditions tell (§8.6)."""
    return (
        f"Preempted to accommodate a workload ({uids(preemptor.workload)}) due to {TEXTS[reason]}; "
        f"preemptor path: {preemptor_path}; preemptee path: {victim_path}"
    )


def uids(workload: Workload) -> str:
    """For whom another one made room, as messages name it."""
    job_uid = workload.metadata.labels.get(Label.JOB_UID) or "UNKNOWN"
    return f"UID: {workload.uid or 'UNKNOWN'}, JobUID: {job_uid}"


def priorities_note(preemptor: Info, victim: Info) -> str:
    """The priorities as the events add them."""
    return (
        f"; preemptor effective priority: {preemptor.priority} (base: {preemptor.base_priority}, boost: {preemptor.boost})"
        f"; preemptee effective priority: {victim.priority} (base: {victim.base_priority}, boost: {victim.boost})"
    )
