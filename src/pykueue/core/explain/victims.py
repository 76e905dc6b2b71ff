"""Who was considered for preemption, and why each was or was not taken.

Every Workload that holds some of what is missing is asked about: first, the search for victims (`scheduler/preemption`) says whether it may be a
candidate, or why not; then, whether the search took it. Here are only the words.

Source: scheduling.md §8, §9.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import assert_never

from pykueue.core.cache.clusterqueue import ClusterQueueState
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.explain.facts import VictimFacts
from pykueue.core.scheduler.assignment import Assignment, Mode
from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.scheduler.entry import Entry
from pykueue.core.scheduler.preemption.candidates import Demand, Refusal
from pykueue.core.scheduler.preemption.policy import TEXTS, Preemptor
from pykueue.core.workload.info import Info

VICTIMS_MAX = 20


@dataclass(frozen=True, slots=True)
class Considered:
    """Victims, and why there are none."""

    victims: tuple[VictimFacts, ...] = ()
    note: str = ""


def considered(entry: Entry, cycle: Cycle) -> Considered:
    """Who was considered for an entry that does not fit.

    Args:
        entry: after a cycle.
        cycle: that judged it; the state must still be the same.
    """
    assignment, queue = entry.assignment, entry.queue
    if assignment is None or queue is None or assignment.mode is Mode.FIT:
        return Considered()
    wanted = _wanted(assignment, queue)
    if not wanted:
        return Considered()
    if assignment.mode is Mode.NO_FIT and not any(a.is_simulated for ps in assignment.pod_sets for a in ps.attempts):
        return Considered(note=_unsearched(queue))
    preemptor = cycle.nominator.without(frozenset(cycle.seats.leaving)).preemptor
    demand = preemptor.demand(entry.info, queue, {**assignment.usage, **wanted}, list(wanted))
    holders = _holders(demand)
    refusals = [_refusal(entry, preemptor, demand, info) for info in holders]
    spared = _spared(entry, demand, [info for info, no in zip(holders, refusals, strict=True) if no is None], cycle)
    taken = {target.info.key: TEXTS[target.reason] for target in entry.targets}
    judged = [
        (info.key not in taken, no is not None, demand.order(info), info, taken.get(info.key) or no or spared)
        for info, no in zip(holders, refusals, strict=True)
    ]
    return Considered(
        tuple(
            VictimFacts(str(info.key), info.cluster_queue, info.priority, not is_spared, why)
            for is_spared, _, _, info, why in nsmallest(VICTIMS_MAX, judged, key=lambda row: row[:3])
        )
    )


def _refusal(entry: Entry, preemptor: Preemptor, demand: Demand, info: Info) -> str | None:
    """Why a Workload that holds some of what is needed is no candidate, in words; None if it is one."""
    refused = preemptor.refusal(demand, info)
    name = "withinClusterQueue" if info.cluster_queue == demand.queue.name else "reclaimWithinCohort"
    policy = demand.policy(info.cluster_queue)
    match refused:
        case None:
            return "it would preempt it in turn, and is spared" if info.key in entry.spared else None
        case QuotaNode():
            return f"{'cohort' if refused.is_cohort else 'ClusterQueue'} {refused.name} uses no more than its own quota"
        case Refusal.POLICY_IS_NEVER:
            return f"{name} is Never"
        case Refusal.PRIORITY_NOT_LOWER:
            return f"{name} is {policy}: its priority {info.priority} is not below {demand.info.priority}"
        case Refusal.NOT_NEWER:
            return f"{name} is {policy}: its priority is equal, and it is not newer"
        case Refusal.BARRED if info.key in preemptor.gone:
            return "it leaves already, for another Workload"
        case Refusal.BARRED:
            return "it was preempted by it again and again, and is spared"
        case _:
            assert_never(refused)


def _wanted(assignment: Assignment, queue: ClusterQueueState) -> dict[int, int]:
    """Numbers of the flavor-resources that somebody would have to give up, and how much the Workload needs of each."""
    number = queue.node.tree.number
    wanted: dict[int, int] = {}
    for pod_set in assignment.pod_sets:
        for attempt in pod_set.attempts:
            for facts in attempt.facts:
                needed = facts.assumed + facts.asked
                if facts.free < needed <= facts.potential:
                    wanted[number(facts.item)] = max(needed, wanted.get(number(facts.item), 0))
    for item in assignment.needs_preemption():
        wanted.setdefault(item, assignment.usage.get(item, 0))
    return wanted


def _unsearched(queue: ClusterQueueState) -> str:
    borrow = queue.spec.spec.preemption.borrow_within_cohort
    policy = "Never" if borrow is None else borrow.policy
    return f"nobody is preempted for quota that would be borrowed, as borrowWithinCohort is {policy}"


def _holders(demand: Demand) -> list[Info]:
    """Everybody in the cohort tree that holds some of what is needed."""
    tree = demand.queue.node.tree
    items = [tree.items[i] for i in demand.needed]
    found = []
    for leaf in tree.root.leaves():
        queue = demand.cache.queue(leaf.name)
        found += [
            info
            for info in (queue.workloads.values() if queue is not None else ())
            if info.key != demand.info.key and any(info.usage.get(item, 0) > 0 for item in items)
        ]
    return found


def _spared(entry: Entry, demand: Demand, candidates: list[Info], cycle: Cycle) -> str:
    """Why a candidate was not taken."""
    if entry.targets:
        return "not needed: those that are taken suffice"
    if not demand.may_suffice(candidates):
        return "all candidates together do not free enough"
    if cycle.nominator.preemptor.strategies is not None:
        return "fair sharing does not allow to take as much as would be needed"
    return "taking every candidate that may be taken would still not make room"
