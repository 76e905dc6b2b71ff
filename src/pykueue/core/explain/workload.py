"""Why one Workload is where it is.

Source: scheduling.md §5.3, §6.5, §10, §13.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import msgspec

from pykueue.api.constants import Annotation, Reason, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.v1beta2 import Workload
from pykueue.core.cache.clusterqueue import ClusterQueueState
from pykueue.core.explain.amounts import attempt_facts
from pykueue.core.explain.facts import LastTried, WorkloadExplanation
from pykueue.core.explain.places import place_facts
from pykueue.core.explain.remedies import find_remedies
from pykueue.core.explain.victims import considered
from pykueue.core.explain.what_if import Answer, WhatIf
from pykueue.core.features import Features, Gate
from pykueue.core.queue.heads import Pending, PendingQueue
from pykueue.core.scheduler.assignment import Mode
from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.tas.scheduling import NodeTopologies
from pykueue.core.views import Admissibility, Blocker
from pykueue.core.workload.lifecycle import has_quota, is_finished, second_pass_need, waits_for_replacement
from pykueue.core.workload.requeue import is_backoff_over

AHEAD_MAX = 10


@dataclass(frozen=True, slots=True)
class Scene:
    """What an explanation is made from.

    Attributes:
        make_cycle: the scheduler; a new one for each question.
        features: gates in force.
        cluster_queue: that the Workload's LocalQueue leads to; empty if it leads nowhere.
        waiting: the queue of the ClusterQueue; None if there is none.
        order: everybody in it, in order; empty if the Workload is not one of them.
        topologies: nodes and what is held of them.
        not_ready: admitted Workloads whose pods are awaited before anybody else is admitted.
        now: Instant (µs).
    """

    make_cycle: Callable[[], Cycle]
    features: Features
    cluster_queue: str
    waiting: PendingQueue | None
    order: Sequence[Pending]
    topologies: NodeTopologies
    not_ready: Sequence[str]
    now: Instant


def explain_workload(workload: Workload, facts: Admissibility, scene: Scene) -> WorkloadExplanation:
    """Tell why a Workload is where it is."""
    told = WorkloadExplanation(
        workload=str(workload.key),
        local_queue=f"{workload.metadata.namespace}/{workload.spec.queue_name}",
        cluster_queue=scene.cluster_queue,
        state="",
        reason="",
        message="",
        last_tried=_last_tried(workload),
        preempted=_times_preempted(workload),
        preempted_by=_last_preemption(workload),
    )
    settled = _settled(workload, told)
    if settled is not None:
        return _explain_places(workload, settled, scene)
    item = scene.waiting.get(workload.key) if scene.waiting is not None else None
    if facts.blocked is not None:
        by, rule, text = facts.blocked
        wakes = (_unblocked_by(by, text, workload, scene),)
        return msgspec.structs.replace(told, state="Blocked", reason=rule.value, message=text, wakes_on=wakes)
    if scene.waiting is None or item is None:
        reason, message, wakes_on = _gate(workload, scene.features)
        return msgspec.structs.replace(told, state="Gated", reason=reason, message=message, wakes_on=(wakes_on,))
    is_parked = scene.waiting.is_parked(workload.key)
    return _explain_waiting(item, msgspec.structs.replace(told, state="Parked" if is_parked else "Pending"), scene)


def _unblocked_by(by: Blocker, message: str, workload: Workload, scene: Scene) -> str:
    """What must change before the Workload may wait at all."""
    namespace, name, cluster_queue = workload.metadata.namespace, workload.spec.queue_name, scene.cluster_queue
    match by:
        case Blocker.LOCAL_QUEUE_MISSING:
            return f"a LocalQueue {name} in namespace {namespace}"
        case Blocker.LOCAL_QUEUE_STOPPED:
            return f"stopPolicy None for LocalQueue {namespace}/{name}"
        case Blocker.CLUSTER_QUEUE_MISSING:
            return f"a ClusterQueue {cluster_queue}"
        case Blocker.CLUSTER_QUEUE_INACTIVE:
            return _activated_by(scene)
        case Blocker.NAMESPACE:
            return (
                f"labels of namespace {namespace}, or a namespaceSelector of ClusterQueue {cluster_queue}, that match"
            )
        case Blocker.POD_SETS:
            return f"the end of this: {message}"
        case _:
            assert_never(by)


def _activated_by(scene: Scene) -> str:
    """What must change before the ClusterQueue of a Workload admits anybody."""
    queue = scene.make_cycle().nominator.cache.queue(scene.cluster_queue)
    assert queue is not None
    if queue.is_active:
        return f"a change of the cohorts above ClusterQueue {queue.name}, which form a cycle"
    why = [problem for _, problem in queue.problems] or ["is being deleted"]
    return f"the end of what makes ClusterQueue {queue.name} inactive: {', '.join(why)}"


def _explain_places(workload: Workload, told: WorkloadExplanation, scene: Scene) -> WorkloadExplanation:
    """Of a Workload that has quota and lacks places: what the next second pass would say (§3.8)."""
    cycle = scene.make_cycle()
    cache = cycle.nominator.cache
    info = cache.workloads.get(workload.key)
    nodes = cache.ledger.leaves(workload.key)
    queue = cache.queue(info.cluster_queue) if info is not None else None
    if info is None or queue is None or second_pass_need(workload, nodes) is None or cache.is_delegating(queue):
        return told
    entry = Entry(info, Pending(info), queue, is_second_pass=True)
    with cache.trial(queue.node.tree):
        cycle.nominator.nominate(entry)
    missing = entry.assignment.message() if entry.assignment is not None else entry.message
    lost = ",".join(node.name for node in workload.status.unhealthy_nodes if node.name in nodes)
    what = f"pods on {lost} need other places" if lost else "pods have no places yet"
    return msgspec.structs.replace(
        told,
        reason=Reason.TOPOLOGY_PLACEMENT_FAILED.value if missing else Reason.PENDING_DELAYED_TOPOLOGY_REQUESTS.value,
        message=f"{what}: {missing}" if missing else f"{what}; there is room for them",
        wakes_on=("the next second pass of the scheduler, at most 30 s after the last",),
    )


def _explain_waiting(item: Pending, told: WorkloadExplanation, scene: Scene) -> WorkloadExplanation:
    position = scene.order.index(item)
    ahead = scene.order[:position]
    cycle = scene.make_cycle()
    cache = cycle.nominator.cache
    queue = cache.queue(item.info.cluster_queue)
    told = msgspec.structs.replace(
        told,
        position=position + 1,
        waiting=len(scene.order),
        ahead=tuple(str(other.info.key) for other in ahead[:AHEAD_MAX]),
    )
    if queue is None:
        return told
    what_if = WhatIf(item, queue, ahead, scene.make_cycle, now=scene.now)
    answer = what_if.ask()
    entry = answer.entry
    # Alone it may fit; then it matters what those ahead leave.
    in_order = what_if.ask(with_ahead=True) if answer.is_admitted and what_if.has_ahead else answer
    reason, message = _backoff(item.info.workload, scene.now) or _verdict(
        answer, in_order, is_strict=queue.spec.spec.queueing_strategy == "StrictFIFO"
    )
    told = msgspec.structs.replace(
        told,
        reason=reason,
        message=message,
        wakes_on=_wakes(item, queue, in_order, scene, has_topology=bool(cache.topologies_of(queue))),
    )
    if entry.assignment is None:
        return told
    who = considered(entry, cycle)
    places = place_facts(entry, scene.topologies) if not answer.is_admitted else None
    return msgspec.structs.replace(
        told,
        attempts=attempt_facts(entry.assignment, queue, cache),
        places=places,
        victims=who.victims,
        victims_note=who.note,
        # Nothing admits it before its backoff is over.
        remedies=find_remedies(what_if, in_order, cache, places)
        if is_backoff_over(item.info.workload, scene.now)
        else (),
    )


def _last_tried(workload: Workload) -> LastTried | None:
    """The last word of the scheduler, as far as the condition tells; its time moves with the status alone."""
    reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    if reserved is None:
        return None
    return LastTried(reserved.last_transition_time, reserved.reason, reserved.message, "condition")


def _times_preempted(workload: Workload) -> int:
    stats = workload.status.scheduling_stats
    return sum(entry.count for entry in stats.evictions if entry.reason == Reason.PREEMPTED) if stats is not None else 0


def _last_preemption(workload: Workload) -> str:
    preempted = workload.condition(WorkloadCondition.PREEMPTED)
    return preempted.message.removeprefix("Previously: ") if preempted is not None else ""


def _settled(workload: Workload, told: WorkloadExplanation) -> WorkloadExplanation | None:
    """Of a Workload that is over, or has quota."""
    if is_finished(workload):
        state = WorkloadCondition.FINISHED
    elif workload.is_true(WorkloadCondition.ADMITTED):
        state = WorkloadCondition.ADMITTED
    elif has_quota(workload):
        state = WorkloadCondition.QUOTA_RESERVED
    else:
        return None
    admission = workload.status.admission
    condition = workload.condition(state)
    told = msgspec.structs.replace(
        told,
        state=state.value,
        cluster_queue=admission.cluster_queue if admission is not None else told.cluster_queue,
        reason=condition.reason if condition is not None else "",
        message=condition.message if condition is not None else "",
    )
    if state is WorkloadCondition.FINISHED:
        return told
    evicted = workload.condition(WorkloadCondition.EVICTED)
    if evicted is not None and evicted.status == "True":
        message = f"{evicted.message}; it is evicted, and holds its quota until its pods are gone"
        return msgspec.structs.replace(told, reason=evicted.reason, message=message, wakes_on=("the end of its pods",))
    if state is WorkloadCondition.ADMITTED:
        ready = workload.condition(WorkloadCondition.PODS_READY)
        if ready is not None and ready.status == "False":
            return msgspec.structs.replace(told, pods=ready.message)
        return told
    waiting = [check for check in workload.status.admission_checks if check.state != "Ready"]
    return msgspec.structs.replace(
        told, wakes_on=tuple(f"admission check {check.name}, which is {check.state}" for check in waiting)
    )


def _gate(workload: Workload, features: Features) -> tuple[str, str, str]:
    """Reason, message, and what lets the Workload queue, of one that does not though its queue is there."""
    gated_by = workload.metadata.annotations.get(Annotation.ADMISSION_GATED_BY)
    reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    if not workload.spec.active:
        return "Deactivated", "spec.active is false", "spec.active set to true"
    if features[Gate.ADMISSION_GATED_BY] and gated_by:
        annotation = Annotation.ADMISSION_GATED_BY.value
        return "AdmissionGated", f"it is gated by {gated_by}", f"the annotation {annotation} taken away"
    if reserved is not None and reserved.reason == Reason.ON_HOLD:
        return "OnHold", reserved.message, "its job wanting pods again"
    if waits_for_replacement(workload):
        return "WaitingForReplacementPods", "pods of its group have failed", "new pods in their place"
    return "AdmissionGated", "it is not queued", "a change of the Workload itself"


def _backoff(workload: Workload, now: Instant) -> tuple[str, str] | None:
    """Why it is not tried although it waits: it was evicted, and its time has not come; None if it may be tried."""
    if is_backoff_over(workload, now):
        return None
    evicted = workload.condition(WorkloadCondition.EVICTED)
    if evicted is None or evicted.status != "True":
        return "", "it backs off"
    return evicted.reason, f"{evicted.message}; it backs off"


def _verdict(alone: Answer, in_order: Answer, *, is_strict: bool) -> tuple[str, str]:
    """The rule that says no and what it says, or that only the order does."""
    if in_order.is_admitted:
        return "", "it fits now, and waits for its turn"
    if not alone.is_admitted:
        return alone.entry.reason.value, alone.entry.message
    first, blocker = in_order.goes_first, in_order.entry.info.key
    if in_order.is_blocked and is_strict:
        return "", f"it fits, but {blocker}, which is ahead in the StrictFIFO queue, does not"
    rest = f" and {len(first) - 1} more" if len(first) > 1 else ""
    return (
        "",
        f"it fits, but those ahead are served first, as {first[0]}{rest}" if first else "it fits, but many are ahead",
    )


def _wakes(
    item: Pending, queue: ClusterQueueState, answer: Answer, scene: Scene, *, has_topology: bool
) -> tuple[str, ...]:
    """What makes the scheduler look again."""
    if not is_backoff_over(item.info.workload, scene.now):
        return (_end_of_backoff(item.info.workload),)
    if waits_for_replacement(item.info.workload):
        return ("new pods in the place of those that failed",)
    if answer.is_admitted:
        return ("its turn: each cycle looks at the head of every ClusterQueue",)
    if answer.entry.status is Status.BLOCKED:
        return tuple(f"the pods of {key} being ready" for key in scene.not_ready)
    tree = queue.node.tree.root
    where = f"cohort {tree.name}" if tree.is_cohort else f"ClusterQueue {queue.name}"
    own = ("a change of the Workload itself",)
    assignment = answer.entry.assignment
    if assignment is not None and assignment.mode is Mode.NO_FIT and assignment.no_fit_reason in _BY_QUOTA_ALONE:
        return (f"a change of quota or flavors in {where}", *own)
    places = ("a node that comes, changes or gets free",) if has_topology else ()
    return (
        f"a Workload of {where} finishing, shrinking or losing its quota",
        f"a change of quota, flavors or checks in {where}",
        *places,
        *own,
    )


def _end_of_backoff(workload: Workload) -> str:
    state = workload.status.requeue_state
    requeued = workload.condition(WorkloadCondition.REQUEUED)
    if state is not None and state.requeue_at:
        return f"the end of its backoff, at {state.requeue_at}"
    why = f", which is False for {requeued.reason}" if requeued is not None else ""
    return f"its condition Requeued{why}, turning True"


_BY_QUOTA_ALONE = (Reason.EXCEEDS_MAX_QUOTA, Reason.NO_MATCHING_FLAVOR)
