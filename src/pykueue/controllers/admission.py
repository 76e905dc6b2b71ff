"""The engine at work: events in, decisions out, decisions as commands.

`AdmissionController` is what the loop drives (`ports.engine.Engine`). It feeds the pure engine with typed objects, turns each decision of a
cycle into status writes and events, and tells the engine how the writes ended, so that what was assumed is forgotten when it
could not be written. It also wakes the reconcilers whose inputs live in the engine: those of the queues' statuses at the pace of
`status_pace.py`, so that a burst of admissions is one write per queue and not one per Workload.

Source: scheduling.md §5.6–§5.8, §8.6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

import msgspec

from pykueue.api import kinds, objects
from pykueue.api.commands import Command, Emit
from pykueue.api.constants import Label, Reason, WorkloadCondition
from pykueue.api.errors import NotFound, PykueueError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import WORKLOAD, Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import (
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    KueueObject,
    LocalQueue,
    ResourceFlavor,
    Topology,
    Workload,
)
from pykueue.controllers.acts import Act, Eviction, OneAtATime, Repeatable, acts, again, subject
from pykueue.controllers.core import clusterqueue, cohort, localqueue, transitions
from pykueue.controllers.core import workload as workload_controller
from pykueue.controllers.status_pace import StatusPace
from pykueue.controllers.words import Words
from pykueue.controllers.workload_status import admission_patch
from pykueue.core.engine import AdmissionEngine
from pykueue.core.faults import fault_of
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.decisions import Admit, CycleResult, Evict, Pending, SecondPassFailed
from pykueue.core.scheduler.preemption.book import Notice
from pykueue.core.scheduler.preemption.policy import uids
from pykueue.ports.engine import EngineEffect, Fault
from pykueue.ports.reader import Reader

EVICTION_TRIES_MAX = 5
OPEN_MAX = 64
"""No further cycle is run while so many decisions are being written: some wait for a request already, and would go stale."""
SLOW_OPEN = 8
"""While so many decisions are being written, words on Workloads that wait are held back (`words.py`)."""
TOLD_US_MAX = SECOND_US
"""How long a cycle waits until what the last one told of Workloads that wait is written."""
NEVER = Instant(0)
_TYPED: dict[Kind, type[KueueObject]] = {
    kinds.CLUSTER_QUEUE: ClusterQueue,
    kinds.COHORT: Cohort,
    kinds.RESOURCE_FLAVOR: ResourceFlavor,
    kinds.ADMISSION_CHECK: AdmissionCheck,
    kinds.TOPOLOGY: Topology,
    kinds.LOCAL_QUEUE: LocalQueue,
    kinds.WORKLOAD: Workload,
}


@dataclass(slots=True)
class AdmissionController:
    """Drives an `AdmissionEngine` on behalf of the loop."""

    engine: AdmissionEngine
    features: Features
    tracks_readiness: bool = False
    """Somebody waits for ready pods: the first word on them goes into the same write as the first word on quota."""
    cycle_result: CycleResult | None = None
    """What the last cycle decided, for those who count."""
    _next_token: int = 1
    _open: dict[int, Act] = field(default_factory=dict)
    _late: list[Repeatable] = field(default_factory=list)
    """Acts to be made as soon as may be, on the Workloads as they are now."""
    _writing: OneAtATime = field(default_factory=OneAtATime)
    _words: Words = field(default_factory=Words)
    _statuses: StatusPace = field(default_factory=StatusPace)
    _woken: dict[ObjectKey, None] = field(default_factory=dict)
    """Workloads that must be looked at, though they did not change."""
    _faults: list[Fault] = field(default_factory=list)
    _last_cycle_at: Instant = NEVER
    _now: Instant = NEVER

    def kinds(self) -> Sequence[Kind]:
        """See `ports.engine.Engine`."""
        placing = (kinds.NODE, kinds.POD) if self.features[Gate.TOPOLOGY_AWARE_SCHEDULING] else ()
        return (*_TYPED, kinds.NAMESPACE, kinds.LIMIT_RANGE, kinds.RUNTIME_CLASS, *placing)

    def apply(self, event: ObjectEvent, reader: Reader, now: Instant) -> None:
        """See `ports.engine.Engine`."""
        self._now = now
        gone = event.change is Change.DELETED
        obj, name = event.new, objects.name(event.new)
        engine = self.engine
        match event.kind:
            case kinds.WORKLOAD:
                engine.set_workload(objects.key(obj), None if gone else reader.typed(Workload, obj), now)
            case kinds.LOCAL_QUEUE:
                engine.set_local_queue(objects.key(obj), None if gone else reader.typed(LocalQueue, obj), now)
            case kinds.CLUSTER_QUEUE:
                engine.set_cluster_queue(name, None if gone else reader.typed(ClusterQueue, obj), now)
            case kinds.COHORT:
                engine.set_cohort(name, None if gone else reader.typed(Cohort, obj), now)
            case kinds.RESOURCE_FLAVOR:
                engine.set_resource_flavor(name, None if gone else reader.typed(ResourceFlavor, obj), now)
            case kinds.ADMISSION_CHECK:
                engine.set_admission_check(name, None if gone else reader.typed(AdmissionCheck, obj), now)
            case kinds.TOPOLOGY:
                engine.set_topology(name, None if gone else reader.typed(Topology, obj), now)
            case kinds.NODE:
                engine.set_node(name, None if gone else obj, now)
            case kinds.POD:
                engine.set_pod(objects.key(obj), None if gone else obj, now)
            case kinds.NAMESPACE:
                engine.set_namespace(name, None if gone else dict(objects.labels(obj)), now)
            case kinds.LIMIT_RANGE:
                namespace = objects.namespace(obj)
                engine.set_limit_ranges(namespace, reader.list(kinds.LIMIT_RANGE, namespace), now)
            case kinds.RUNTIME_CLASS:
                engine.set_runtime_class(name, None if gone else obj, now)
        self._note_changes(now)

    def next_cycle_at(self, now: Instant) -> Instant | None:
        """See `ports.engine.Engine`; a status that is due counts as a reason to turn."""
        self._now = max(self._now, now)
        if self._late or self._woken or self.engine.has_notices():
            return now
        due = (self._cycle_at(now), self._statuses.next_due(), self._words.next_due(now, is_slow=self._is_slow()))
        return min((at for at in due if at is not None), default=None)

    def cycle(self, reader: Reader, now: Instant) -> Sequence[EngineEffect]:
        """See `ports.engine.Engine`."""
        self._now = now
        self._late += self._words.take(now, is_slow=self._is_slow())
        effects = self._write_late(reader, now)
        due = self._cycle_at(now)
        if due is not None and due <= now:
            self._last_cycle_at = now
            result = self.cycle_result = self.engine.cycle(now)
            self._faults += (Fault(f"the evaluation of Workload {key}", error) for key, error in result.faults)
            decided = (act for decision in result.decisions for act in acts(decision))
            effects += self._begun((a for a in decided if not self._words.hold(a, now, is_slow=self._is_slow())), now)
            self._note_changes(now)
        return [*effects, *self._begun(self.engine.take_notices(), now)]

    def _cycle_at(self, now: Instant) -> Instant | None:
        """When a cycle of the engine is due, given what is still being written.

        Judging on and on while the API server is slow would pile up writes that are stale before they are sent, and let nobody else write. So,
        as in Kueue, what one cycle tells of Workloads that wait is written before the next one begins, if that takes no longer than a second;
        admissions may overlap it, and words that are held back have time.
        """
        if len(self._open) >= OPEN_MAX:
            return None
        due = self.engine.next_cycle_at(now)
        if due is None or not self._writing.n_told:
            return due
        return Instant(max(due, self._last_cycle_at + TOLD_US_MAX))

    def _is_slow(self) -> bool:
        """Whether the API server does not keep up with what is decided."""
        return len(self._open) >= SLOW_OPEN

    def finished(self, token: int, error: PykueueError | None, now: Instant) -> None:
        """See `ports.engine.Engine`."""
        self._now = now
        decision = self._open.pop(token, None)
        waiting = self._writing.end(decision) if decision is not None else ()
        self._late += waiting
        if error is None and isinstance(decision, Eviction):
            decision.attempt.is_served = True
        if error is None or decision is None:
            return
        match decision:
            case Admit() | Evict(reason=Reason.FLAVOR_MIGRATION):
                self._undo(decision, now, requeue=not isinstance(error, NotFound))
            case Eviction():
                self._eviction_failed(decision, error, now)
            case Evict():
                if not isinstance(error, NotFound):
                    self._undo(decision, now)
                    self._late.append(SecondPassFailed(decision.key, decision.workload, decision.failed_message))
            case Pending():
                if not waiting and not isinstance(error, NotFound):
                    self._late.append(decision)
            case SecondPassFailed() | Notice():
                pass
            case _:
                assert_never(decision)
        self._note_changes(now)

    def _eviction_failed(self, eviction: Eviction, error: PykueueError, now: Instant) -> None:
        """A victim that changed meanwhile is tried again as it is now; one that cannot be written is given up."""
        if isinstance(error, NotFound):
            return
        if eviction.n_tries < EVICTION_TRIES_MAX:
            self._late.append(dataclasses.replace(eviction, n_tries=eviction.n_tries + 1))
            return
        self._undo(eviction, now)
        if not eviction.attempt.is_served:
            preemption = eviction.attempt.preemption
            self._late.append(msgspec.structs.replace(preemption.pending, message=preemption.failed_message))

    def take_faults(self) -> Sequence[Fault]:
        """See `ports.engine.Engine`."""
        faults, self._faults = self._faults, []
        return faults

    def take_woken(self) -> Sequence[tuple[str, ObjectKey]]:
        """See `ports.engine.Engine`."""
        workloads, self._woken = self._woken, {}
        return [*((workload_controller.NAME, key) for key in workloads), *self._statuses.take(self._now)]

    def _write_late(self, reader: Reader, now: Instant) -> list[EngineEffect]:
        """Say again what could not be said, on the Workloads as they are now."""
        late, self._late = self._late, []
        effects = self._begun(self._called_for(late, reader, now), now)
        if late:
            self._note_changes(now)
        return effects

    def _called_for(self, late: Sequence[Repeatable], reader: Reader, now: Instant) -> Iterator[Act]:
        """The acts as they are now; the engine is told of those that are not called for any more."""
        for act in late:
            before = subject(act)
            found = reader.get(WORKLOAD, before.metadata.namespace, before.name)
            workload = reader.typed(Workload, found) if found is not None else None
            act_now = again(act, workload) if workload is not None and workload.uid == before.uid else None
            if act_now is not None:
                yield act_now
            elif isinstance(act, Admit):
                self._undo(act, now, requeue=workload is not None)
            elif isinstance(act, Eviction) and workload is not None and not workload.is_true(WorkloadCondition.EVICTED):
                self._undo(act, now)

    def _note_changes(self, now: Instant) -> None:
        changed = self.engine.take_changed()
        queues = [(clusterqueue.NAME, ObjectKey("", name)) for name in changed.cluster_queues]
        queues += [(localqueue.NAME, key) for key in changed.local_queues]
        queues += [(cohort.NAME, ObjectKey("", name)) for name in changed.cohorts]
        for queue in queues:
            self._statuses.note(queue, now)
        self._woken |= dict.fromkeys(changed.workloads)

    def _begun(self, wanted: Iterable[Act], now: Instant) -> list[EngineEffect]:
        """Begin to write acts, as far as there is something to tell; one on which our own code fails is given up alone."""
        effects: list[EngineEffect] = []
        for act in wanted:
            fault = fault_of(partial(self._begin, act, now, effects))
            if fault is not None:
                self._faults.append(Fault(f"{type(act).__name__} of Workload {subject(act).key}", fault))
                self._undo(act, now)
        return effects

    def _begin(self, act: Act, now: Instant, effects: list[EngineEffect]) -> None:
        if commands := self._commands(act, now):
            effects.append(self._effect(act, commands))

    def _undo(self, act: Act, now: Instant, *, requeue: bool = False) -> None:
        """Tell the engine that an act is not carried out. An admission is judged again at once, or with the Workload's next version."""
        match act:
            case Admit():
                self.engine.forget(act.key, now, requeue=requeue)
            case Eviction():
                self.engine.preemption_failed(act.victim.key, now)
            case Evict(reason=Reason.FLAVOR_MIGRATION):
                self.engine.preemption_failed(act.key, now)
            case Evict():
                self.engine.second_pass_failed(act.key, now)
            case Pending() | SecondPassFailed() | Notice():
                pass
            case _:
                assert_never(act)

    def _effect(self, act: Act, commands: tuple[Command, ...]) -> EngineEffect:
        self._writing.begin(act)
        token, self._next_token = self._next_token, self._next_token + 1
        self._open[token] = act
        return EngineEffect(token, commands)

    # --- decisions as commands ---------------------------------------------------------------------------------------

    def _commands(self, decision: Act, now: Instant) -> tuple[Command, ...]:
        """What to do now; nothing if there is nothing to tell, or if the Workload is being written."""
        if self._writing.defers(decision):
            return ()
        match decision:
            case Admit():
                return self._admit(decision, now)
            case Pending():
                return self._pending(decision, now)
            case Eviction():
                return _eviction(decision, now)
            case SecondPassFailed():
                return (_emit(decision.workload, "Warning", "SecondPassFailed", decision.message),)
            case Evict():
                evicted = transitions.evict(decision.workload, decision.reason, decision.message, now)
                reason = transitions.eviction_event_reason(decision.reason)
                return (
                    admission_patch(decision.workload, evicted, now),
                    _emit(decision.workload, "Normal", reason, decision.message),
                )
            case Notice():
                return (_emit(decision.workload, "Warning", decision.reason, decision.note),)
            case _:
                assert_never(decision)

    def _admit(self, decision: Admit, now: Instant) -> tuple[Command, ...]:
        workload, name = decision.workload, decision.admission.cluster_queue
        reserved = transitions.reserve_quota(workload, decision.admission, now)
        if decision.is_second_pass:
            reserved = transitions.forget_unhealthy_nodes(reserved)
        desired = transitions.sync_admitted(reserved, now, self.features) if decision.is_admitted else reserved
        desired = self._with_readiness(desired, now)
        writes: list[Command] = [admission_patch(workload, desired, now)]
        if not decision.is_second_pass:
            waited_s = max(0, now - decision.queued_since) // SECOND_US
            note = f"Quota reserved in ClusterQueue {name}, wait time since queued was {waited_s}s"
            if decision.flavors_considered:
                note += f"; Flavors considered: {decision.flavors_considered}"
            writes.append(_emit(workload, "Normal", "QuotaReserved", note))
        if desired.is_true(WorkloadCondition.ADMITTED) and not workload.is_true(WorkloadCondition.ADMITTED):
            writes.append(_emit(workload, *workload_controller.admitted_event(desired, now)))
        if decision.replaces is not None:
            writes += _replaced(decision.replaces, workload, now)
        return tuple(writes)

    def _pending(self, decision: Pending, now: Instant) -> tuple[Command, ...]:
        fine = self.features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY]
        reason = decision.reason if fine else _legacy(decision.reason)
        workload = decision.workload
        status = msgspec.structs.replace(workload.status, resource_requests=decision.requests)
        desired = msgspec.structs.replace(workload, status=status)
        desired = transitions.with_condition(
            desired, WorkloadCondition.QUOTA_RESERVED, False, reason, decision.message, now
        )
        desired = self._with_readiness(transitions.sync_admitted(desired, now, self.features), now)
        if decision.is_gated:
            blocked = WorkloadCondition.BLOCKED_ON_PREEMPTION_GATES
            desired = transitions.with_condition(desired, blocked, True, Reason.PREEMPTION_GATED, decision.message, now)
        writes: list[Command] = []
        if desired != workload:
            writes.append(admission_patch(workload, desired, now))
        if decision.is_event_due:
            writes.append(_emit(workload, "Warning", reason, decision.message))
        return tuple(writes)

    def _with_readiness(self, workload: Workload, now: Instant) -> Workload:
        """A job's pods are not ready before they exist; saying so now saves the job's reconciler a write."""
        known = workload.condition(WorkloadCondition.PODS_READY) is not None
        if known or not self.tracks_readiness or Label.JOB_UID not in workload.metadata.labels:
            return workload
        message = "Not all pods are ready or succeeded"
        return transitions.with_condition(
            workload, WorkloadCondition.PODS_READY, False, Reason.WAIT_FOR_START, message, now
        )


def _eviction(eviction: Eviction, now: Instant) -> tuple[Command, ...]:
    victim, preemptor = eviction.victim, eviction.attempt.preemption.pending.workload
    evicted = transitions.preempt(victim.workload, victim.reason, victim.message, now)
    reason = transitions.eviction_event_reason(Reason.PREEMPTED)
    return (
        admission_patch(victim.workload, evicted, now),
        _emit(victim.workload, "Normal", reason, victim.message),
        _emit(victim.workload, "Normal", "Preempted", victim.event_note),
        _emit(preemptor, "Normal", "PreemptedWorkload", victim.preemptor_note),
    )


def _replaced(old: Workload, new: Workload, now: Instant) -> Sequence[Command]:
    """The end of a slice whose pods belong to a larger one now (scheduling.md §14); should it fail, the job's reconciler ends it."""
    message = f"Replaced to accommodate a workload ({uids(new)}) due to workload slice aggregation"
    reason = Reason.WORKLOAD_SLICE_REPLACED
    ended = transitions.with_condition(old, WorkloadCondition.FINISHED, True, reason, message, now)
    return (admission_patch(old, ended, now), _emit(old, "Normal", reason, message))


def _legacy(reason: Reason) -> Reason:
    return Reason.WAITING if reason is Reason.WAITING_FOR_PODS_READY else Reason.PENDING


def _emit(workload: Workload, type_: str, reason: str, note: str) -> Emit:
    meta = workload.metadata
    about: Obj = {
        "apiVersion": WORKLOAD.api_version,
        "kind": WORKLOAD.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        },
    }
    return Emit(WORKLOAD, about, type_, str(reason), note, "kueue-admission")
