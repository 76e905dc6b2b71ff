"""Why a Workload waits, in facts: for people, the dashboard and the command line.

Nothing is computed in another way than the scheduler does: the Workload is nominated against the present state inside a trial, and the facts
that decided are written down. The smallest change of quota that would admit it is proved: the nomination is repeated with it.

Source: scheduling.md §5.3, §6.5, §13.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykueue.api.instant import Instant, format_time
from pykueue.api.v1beta2 import Workload
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.queue.heads import Pending, PendingQueue
from pykueue.core.resources import FlavorResource, format_amount
from pykueue.core.scheduler.assignment import Assignment, Mode, QuotaFacts
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.nominate import Nominator
from pykueue.core.views import Admissibility
from pykueue.core.workload.lifecycle import has_quota, is_finished
from pykueue.core.workload.requeue import backoff_until

AHEAD_MAX = 10
HOLDERS_MAX = 10


@dataclass(frozen=True, slots=True)
class Explanation:
    """Facts about one Workload, all of them JSON.

    Attributes:
        state: `Finished`, `Admitted`, `QuotaReserved`, `Pending`, `Parked`, `Blocked` or `Gated`.
        reason: the rule that says no, as the condition names it; empty if nothing does.
        message: what it says.
        position: place in the queue, from 1; None if it does not wait.
        ahead: who comes before it, at most ten.
        attempts: per flavor and resource: asked, free, borrowable, at most possible, and who holds it.
        wakes_on: what makes the scheduler look again.
        remedy: the smallest additional quota that admits it, proved; None if quota is not what is missing.
    """

    state: str
    reason: str
    message: str
    position: int | None
    ahead: tuple[str, ...]
    attempts: tuple[dict[str, Any], ...]
    wakes_on: tuple[str, ...]
    remedy: tuple[dict[str, str], ...] | None


def explain(
    workload: Workload,
    facts: Admissibility,
    cache: Cache,
    waiting: PendingQueue | None,
    nominator: Nominator,
    *,
    now: Instant,
) -> Explanation:
    """Tell why a Workload is where it is."""
    settled = _settled(workload)
    if settled is not None:
        return settled
    item = waiting.get(workload.key) if waiting is not None else None
    if waiting is None or item is None:
        reason, message = facts.blocked or ("AdmissionGated", "the Workload is gated, deactivated or on hold")
        return Explanation("Blocked" if facts.blocked else "Gated", reason, message, None, (), (), (message,), None)
    ahead = [str(other.info.key) for other in waiting.ordered()]
    position = ahead.index(str(workload.key))
    is_parked = waiting.is_parked(workload.key)
    queue = cache.queue(item.info.cluster_queue)
    entry = _judge(item, queue, nominator)
    assignment = entry.assignment
    reason, message = entry.reason.value, entry.message
    if assignment is not None:
        reason, message = _verdict(assignment, entry)
    return Explanation(
        state="Parked" if is_parked else "Pending",
        reason=reason,
        message=message,
        position=position + 1,
        ahead=tuple(ahead[:position][:AHEAD_MAX]),
        attempts=_attempts(assignment, queue, cache) if assignment is not None and queue is not None else (),
        wakes_on=_wakes(item, queue, now),
        remedy=_remedy(item, queue, nominator, assignment) if assignment is not None and queue is not None else None,
    )


def _settled(workload: Workload) -> Explanation | None:
    if is_finished(workload):
        state = "Finished"
    elif workload.is_true("Admitted"):
        state = "Admitted"
    elif has_quota(workload):
        state = "QuotaReserved"
    else:
        return None
    condition = workload.condition(state)
    reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
    return Explanation(state, reason, message, None, (), (), (), None)


def _judge(item: Pending, queue: ClusterQueueState | None, nominator: Nominator) -> Entry:
    """Nominate a copy of its place in the queue, so that nothing remembers the question."""
    entry = Entry(item.info, Pending(item.info), queue)
    nominator.nominate(entry)
    return entry


def _verdict(assignment: Assignment, entry: Entry) -> tuple[str, str]:
    if assignment.mode is Mode.NO_FIT:
        return assignment.no_fit_reason.value, assignment.message()
    if assignment.mode is Mode.FIT:
        return "", "it fits now, and waits for its turn"
    if entry.targets:
        return (
            "WaitingForPreemptedWorkloads",
            f"{assignment.message()}; {len(entry.targets)} workload(s) can be preempted",
        )
    return "WaitingForQuota", assignment.message()


def _attempts(assignment: Assignment, queue: ClusterQueueState, cache: Cache) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "podSet": pod_set.name,
            "flavor": attempt.flavor,
            "mode": attempt.mode.name,
            "borrowingLevel": attempt.borrowing,
            "reasons": list(attempt.reasons),
            "resources": [_resource(facts, queue, cache) for facts in attempt.facts],
        }
        for pod_set in assignment.pod_sets
        for attempt in pod_set.attempts
    )


def _resource(facts: QuotaFacts, queue: ClusterQueueState, cache: Cache) -> dict[str, Any]:
    name = facts.item.resource
    node = queue.node
    i = node.tree.number(facts.item)
    own = max(0, node.nominal[i] - node.usage[i])
    return {
        "resource": name,
        "asked": format_amount(name, facts.asked),
        "askedByEarlierPodSets": format_amount(name, facts.assumed),
        "free": format_amount(name, facts.free),
        "borrowable": format_amount(name, max(0, facts.free - own)),
        "atMost": format_amount(name, facts.potential),
        "holders": _holders(facts.item, queue, cache),
    }


def _holders(item: FlavorResource, queue: ClusterQueueState, cache: Cache) -> list[dict[str, str]]:
    holders = []
    for leaf in queue.node.tree.root.leaves():
        other = cache.queue(leaf.name)
        for info in other.workloads.values() if other is not None else ():
            amount = info.usage.get(item, 0)
            if amount:
                holders.append((-amount, str(info.key), leaf.name))
    return [
        {"workload": key, "clusterQueue": name, "amount": format_amount(item.resource, -amount)}
        for amount, key, name in sorted(holders)[:HOLDERS_MAX]
    ]


def _wakes(item: Pending, queue: ClusterQueueState | None, now: Instant) -> tuple[str, ...]:
    until = backoff_until(item.info.workload)
    if until is None:
        return ("the end of its backoff (condition Requeued)",)
    if until > now:
        return (f"its backoff, at {format_time(until)}",)
    tree = queue.node.tree.root if queue is not None else None
    where = f"cohort {tree.name}" if tree is not None and tree.is_cohort else f"ClusterQueue {item.info.cluster_queue}"
    return (
        f"a Workload of {where} finishing, shrinking or losing its quota",
        f"a change of quota, flavors or checks in {where}",
        "a change of the Workload itself",
    )


def _remedy(
    item: Pending, queue: ClusterQueueState, nominator: Nominator, assignment: Assignment
) -> tuple[dict[str, str], ...] | None:
    """The least nominal quota to add for the first flavor that only lacks quota, shown to admit."""
    if assignment.mode is Mode.FIT:
        return None
    for name in dict.fromkeys(a.flavor for ps in assignment.pod_sets for a in ps.attempts):
        missing = _missing(assignment, name)
        if missing and _would_fit(item, queue, nominator, missing):
            return tuple(
                {"flavor": fr.flavor, "resource": fr.resource, "add": format_amount(fr.resource, amount)}
                for fr, amount in sorted(missing.items())
            )
    return None


def _missing(assignment: Assignment, flavor: str) -> dict[FlavorResource, int]:
    missing: dict[FlavorResource, int] = {}
    for pod_set in assignment.pod_sets:
        for attempt in pod_set.attempts:
            for facts in attempt.facts if attempt.flavor == flavor else ():
                over = facts.assumed + facts.asked - min(facts.free, facts.potential)
                if over > 0:
                    missing[facts.item] = max(missing.get(facts.item, 0), over)
    return missing


def _would_fit(
    item: Pending, queue: ClusterQueueState, nominator: Nominator, missing: dict[FlavorResource, int]
) -> bool:
    """Repeat the nomination with more nominal quota."""
    node = queue.node
    with node.tree.trial():
        for item_, amount in missing.items():
            node.tree.raise_nominal(node, node.tree.number(item_), amount)
        entry = _judge(item, queue, nominator)
    return entry.status is Status.NOMINATED and entry.assignment is not None and entry.assignment.mode is Mode.FIT
