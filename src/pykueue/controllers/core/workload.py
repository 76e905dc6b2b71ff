"""Workload: its life cycle outside of the scheduler.

One pass walks the steps of scheduling.md §10.2 in order. Each step is a small function that either leaves the Workload as it is, or
says how it should be (`transitions.py`), with events; the first step that changes something ends the pass, and the write that
follows starts the next one. So every intermediate state is one that Kueue also shows.

What it does not do: decide who is admitted (the engine), start or stop jobs (controllers/jobs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Command, Delete, Emit, Patch
from pykueue.api.configuration import Configuration
from pykueue.api.constants import (
    ADMISSION_FIELD_MANAGER,
    Annotation,
    Label,
    Reason,
    StopPolicy,
    WorkloadCondition,
)
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, parse_time
from pykueue.api.kinds import CLUSTER_QUEUE, LOCAL_QUEUE, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import ClusterQueue, LocalQueue, Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.core.checks import failed_check_event, retry_message, sync_checks
from pykueue.controllers.core.pods_ready import pods_ready_timeout
from pykueue.controllers.core.transitions import EVICTED_DUE_TO
from pykueue.controllers.core.unreserved import unreserved_reason
from pykueue.controllers.workload_status import admission_patch, drop_finalizer
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features, Gate
from pykueue.core.workload.lifecycle import GATED_BY, is_gate_noted
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "workload"
REPORTER = "kueue-workload-controller"
BY_LOCAL_QUEUE = "localQueue"
BY_CLUSTER_QUEUE = "clusterQueue"


@dataclass(frozen=True, slots=True)
class Step:
    """What a step wants: the Workload as it should be, events, commands besides the status write, a timer.

    A step with only a timer does not end the pass.
    """

    workload: Workload | None = None
    events: tuple[tuple[str, str, str], ...] = ()
    """(type, reason, note)."""
    commands: tuple[Command, ...] = ()
    wake_us: int | None = None
    ends: bool = False

    @property
    def is_final(self) -> bool:
        return self.ends or self.workload is not None or bool(self.commands)


PASS = Step()
END = Step(ends=True)


class WorkloadReconciler:
    """Walks a Workload through its life."""

    name = NAME

    def __init__(self, engine: AdmissionEngine, config: Configuration, features: Features) -> None:
        self._engine = engine
        self._config = config
        self._features = features

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(WORKLOAD, lambda event, _: (objects.key(event.new),)),
            Watch(LOCAL_QUEUE, of_local_queue),
            Watch(CLUSTER_QUEUE, of_cluster_queue),
        )

    def indexes(self) -> Sequence[Index]:
        return queue_indexes()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        obj = reader.get(WORKLOAD, key.namespace, key.name)
        if obj is None:
            return DONE
        workload = reader.typed(Workload, obj)
        wakes: list[int] = []
        for step in self._steps():
            outcome = step(reader, workload, now)
            if outcome.wake_us is not None:
                wakes.append(max(0, outcome.wake_us))
            if outcome.is_final:
                return Result(self._commands(obj, workload, outcome, now), min(wakes, default=None))
        return Result(requeue_after_us=min(wakes, default=None))

    def _steps(self) -> Iterable[Callable[[Reader, Workload, Instant], Step]]:
        yield self._orphan
        yield self._finished
        yield self._retry_after
        yield self._active
        yield self._inactive
        yield self._queue_restarted
        yield self._admission_gate
        yield self._checks
        yield self._unadmitted
        yield self._reserved

    def _commands(self, obj: Obj, workload: Workload, step: Step, now: Instant) -> tuple[Command, ...]:
        writes: list[Command] = []
        if step.workload is not None and step.workload != workload:
            writes.append(admission_patch(workload, step.workload, now))
        writes.extend(step.commands)
        writes.extend(_told(obj, *event) for event in step.events)
        return tuple(writes)

    # --- steps, in order of scheduling.md §10.2 ----------------------------------------------------------------------

    def _orphan(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """1. No owner any more: the finalizer goes; what lives on is finished."""
        del reader
        meta = workload.metadata
        if meta.owner_references:
            return PASS
        if workload.is_deleting:
            return Step(commands=drop_finalizer(workload), ends=True)
        finishing = self._features[Gate.FINISH_ORPHANED_WORKLOADS] and Label.JOB_UID in meta.labels
        if not finishing or workload.is_true(WorkloadCondition.FINISHED):
            return PASS
        finished = transitions.with_condition(
            workload, WorkloadCondition.FINISHED, True, Reason.OWNER_NOT_FOUND,
            "The workload's owner no longer exists", now,
        )  # fmt: skip
        return Step(finished, commands=drop_finalizer(workload))

    def _finished(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """4. Finished: deleted when its retention is over."""
        del reader
        finished = workload.condition(WorkloadCondition.FINISHED)
        if finished is None or finished.status != "True":
            return PASS
        retention = self._config.object_retention_policies.workloads.after_finished_us
        if retention is None or workload.is_deleting:
            return END
        left = finished.transitioned_at + retention - now
        if left > 0:
            return Step(wake_us=left, ends=True)
        note = "Deleted finished workload due to elapsed retention"
        gone = Delete(WORKLOAD, workload.key, uid=workload.uid)
        return Step(commands=(*drop_finalizer(workload), gone), events=(("Normal", "Deleted", note),))

    def _retry_after(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """5. A check in Retry asks for patience: `requeueAt` moves, never to earlier."""
        del reader, now
        times = [
            parse_time(check.last_transition_time) + check.requeue_after_seconds * SECOND_US
            for check in workload.status.admission_checks
            if check.state == "Retry" and check.requeue_after_seconds and check.last_transition_time
        ]
        if not times:
            return PASS
        later = transitions.requeue_later(workload, Instant(max(times)), counts=False)
        return PASS if later == workload else Step(later)

    def _active(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """7. Active: a deactivation target deactivates; backoffs end."""
        del reader
        if not workload.spec.active:
            return PASS
        if workload.is_true(WorkloadCondition.DEACTIVATION_TARGET):
            patch = Patch(WORKLOAD, workload.key, {"spec": {"active": False}}, missing_ok=True)
            return Step(commands=(patch,))
        wake_us: int | None = None
        state = workload.status.requeue_state
        if state is not None and state.requeue_at is not None:
            left = parse_time(state.requeue_at) - now
            if left > 0:
                return Step(wake_us=left)
            wake_us = 0
        return self._requeued(workload, now, backoff_over=wake_us == 0)

    def _requeued(self, workload: Workload, now: Instant, *, backoff_over: bool) -> Step:
        requeued = workload.condition(WorkloadCondition.REQUEUED)
        if requeued is None or requeued.status != "False":
            if backoff_over and not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
                return Step(transitions.clear_requeue_at(workload))
            return PASS
        # In Kueue one that it deactivated itself waits for ever (scheduling.md §10.4): nobody can mean that.
        if requeued.reason.startswith(Reason.DEACTIVATED):
            message = "The workload was reactivated"
            return Step(
                transitions.with_condition(workload, WorkloadCondition.REQUEUED, True, Reason.REACTIVATED, message, now)
            )
        if requeued.reason in (Reason.PODS_READY_TIMEOUT, Reason.ADMISSION_CHECK):
            return Step(
                transitions.with_condition(
                    transitions.clear_requeue_at(workload),
                    WorkloadCondition.REQUEUED,
                    True,
                    Reason.BACKOFF_FINISHED,
                    "The workload backoff was finished",
                    now,
                )
            )
        return PASS

    def _inactive(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """8. Inactive: evicted, once; the retry state is forgotten."""
        del reader
        if workload.spec.active:
            return PASS
        target = workload.condition(WorkloadCondition.DEACTIVATION_TARGET)
        reason, message, cause = str(Reason.DEACTIVATED), "The workload is deactivated", ""
        if target is not None and target.status == "True":
            cause = target.reason
            reason, message = f"{reason}DueTo{cause}", f"{message} due to {target.message}"
        evicted = workload.condition(WorkloadCondition.EVICTED)
        already = evicted is not None and evicted.status == "True" and evicted.reason.startswith(Reason.DEACTIVATED)
        if already and target is None and workload.status.requeue_state is None:
            return PASS
        tidy = transitions.without_condition(
            transitions.clear_requeue_state(workload), WorkloadCondition.DEACTIVATION_TARGET
        )
        if already:
            return Step(tidy)
        return _evict(tidy, reason, message, now, cause=cause)

    def _queue_restarted(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """9. Held for a stopped queue that runs again."""
        requeued = workload.condition(WorkloadCondition.REQUEUED)
        if requeued is None or requeued.status != "False" or not workload.spec.active:
            return PASS
        local_queue, cluster_queue = _queues(reader, workload)
        runs = {
            Reason.LOCAL_QUEUE_STOPPED: local_queue is not None and local_queue.spec.stop_policy == StopPolicy.NONE,
            Reason.CLUSTER_QUEUE_STOPPED: cluster_queue is not None
            and cluster_queue.spec.stop_policy == StopPolicy.NONE,
        }
        restarted = {
            Reason.LOCAL_QUEUE_STOPPED: (
                Reason.LOCAL_QUEUE_RESTARTED,
                "The LocalQueue was restarted after being stopped",
            ),
            Reason.CLUSTER_QUEUE_STOPPED: (
                Reason.CLUSTER_QUEUE_RESTARTED,
                "The ClusterQueue was restarted after being stopped",
            ),
        }
        for stopped, is_running in runs.items():
            if requeued.reason == stopped and is_running:
                reason, message = restarted[stopped]
                return Step(
                    transitions.with_condition(workload, WorkloadCondition.REQUEUED, True, reason, message, now)
                )
        return PASS

    def _admission_gate(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """10. The annotation `admission-gated-by` and its shadow in `QuotaReserved`."""
        del reader
        if not self._features[Gate.ADMISSION_GATED_BY] or workload.is_true(WorkloadCondition.QUOTA_RESERVED):
            return PASS
        if not workload.spec.active:
            # What is inactive says so (§10.5); the gate is noted once the Workload is active again.
            return PASS
        gates = workload.metadata.annotations.get(Annotation.ADMISSION_GATED_BY, "")
        current = workload.condition(WorkloadCondition.QUOTA_RESERVED)
        is_noted = is_gate_noted(workload)
        message = GATED_BY + gates
        if gates:
            if is_noted and current is not None and current.message == message:
                return PASS
            gated = transitions.release_quota(workload, Reason.ADMISSION_GATED, message, now)
            return Step(gated, (("Normal", "AdmissionGated", f"Workload admission is gated by: {gates}"),))
        if not is_noted:
            return PASS
        message = "AdmissionGatedBy cleared, waiting for quota reservation"
        cleared = transitions.release_quota(workload, transitions.pending_evaluation(self._features), message, now)
        note = "Admission gate cleared, workload is now admissible"
        return Step(cleared, (("Normal", "AdmissionGateCleared", note),))

    def _checks(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """11. The list of admission checks follows the ClusterQueue's."""
        del reader
        required = self._engine.required_checks(workload)
        if required is None:
            return PASS
        synced = sync_checks(workload, required, now)
        return PASS if synced == workload.status.admission_checks else Step(transitions.with_checks(workload, synced))

    def _unadmitted(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """12. Not admitted: `QuotaReserved=False` says why, `Admitted` follows."""
        if workload.is_true(WorkloadCondition.ADMITTED):
            return PASS
        next_ = workload
        if not workload.is_true(WorkloadCondition.QUOTA_RESERVED):
            why = unreserved_reason(workload, self._engine.admissibility(workload), self._features)
            if why is not None:
                reason, message = why
                next_ = transitions.with_condition(next_, WorkloadCondition.QUOTA_RESERVED, False, reason, message, now)
        del reader
        next_ = transitions.sync_admitted(next_, now, self._features)
        if next_ == workload:
            return PASS
        if not next_.is_true(WorkloadCondition.ADMITTED):
            return Step(next_)
        return Step(next_, (admitted_event(next_, now),))

    def _reserved(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        """13. With a reservation: checks, queues, readiness of pods, execution time."""
        if not workload.is_true(WorkloadCondition.QUOTA_RESERVED) or workload.is_true(WorkloadCondition.EVICTED):
            return PASS
        wakes: list[int] = []
        for step in (self._failed_checks, self._stopped_queues, self._pods_ready, self._execution_time):
            outcome = step(reader, workload, now)
            if outcome.is_final:
                return outcome
            if outcome.wake_us is not None:
                wakes.append(outcome.wake_us)
        return Step(wake_us=min(wakes, default=None))

    def _failed_checks(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        del reader
        rejected = [c for c in workload.status.admission_checks if c.state == "Rejected"]
        if rejected:
            message, event = failed_check_event(rejected)
            target = transitions.with_condition(
                workload, WorkloadCondition.DEACTIVATION_TARGET, True, Reason.ADMISSION_CHECK, message, now
            )
            return Step(target, (event,))
        retrying = [c for c in workload.status.admission_checks if c.state == "Retry"]
        return _evict(workload, Reason.ADMISSION_CHECK, retry_message(retrying), now) if retrying else PASS

    def _stopped_queues(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        local_queue, cluster_queue = _queues(reader, workload)
        cluster_name = (workload.status.admission.cluster_queue if workload.status.admission else "") or (
            local_queue.spec.cluster_queue if local_queue else ""
        )
        admitted = workload.is_true(WorkloadCondition.ADMITTED)
        for noun, name, queue, reason in (
            ("LocalQueue", workload.spec.queue_name, local_queue, Reason.LOCAL_QUEUE_STOPPED),
            ("ClusterQueue", cluster_name, cluster_queue, Reason.CLUSTER_QUEUE_STOPPED),
        ):
            if admitted:
                if queue is not None and queue.spec.stop_policy == StopPolicy.HOLD_AND_DRAIN:
                    return _evict(workload, reason, f"The {noun} is stopped", now)
                continue
            if queue is None or queue.is_deleting:
                message = f"{noun} {name} is terminating or missing"
                return Step(transitions.release_quota(workload, self._fine(Reason.MISCONFIGURED), message, now))
            if queue.spec.stop_policy != StopPolicy.NONE:
                message = f"{noun} {name} is stopped"
                return Step(transitions.release_quota(workload, self._fine(Reason.SUSPENDED), message, now))
        return PASS

    def _fine(self, reason: Reason) -> Reason:
        fine = self._features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY]
        return reason if fine else Reason.INADMISSIBLE

    def _pods_ready(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        del reader
        settings = self._config.wait_for_pods_ready
        if settings is None or self._features[Gate.DISABLE_WAIT_FOR_PODS_READY] or not workload.spec.active:
            return PASS
        found = pods_ready_timeout(workload, settings, now)
        if found is None:
            return PASS
        if found.left_us > 0:
            return Step(wake_us=found.left_us)
        if found.exhausted:
            message = "exceeding the maximum number of re-queuing retries"
            return Step(
                transitions.with_condition(
                    workload, WorkloadCondition.DEACTIVATION_TARGET, True, Reason.REQUEUING_LIMIT_EXCEEDED, message, now
                )
            )
        requeued = transitions.requeue_later(workload, found.requeue_at, counts=True)
        message = f"Exceeded the PodsReady timeout {workload.key}"
        return _evict(requeued, Reason.PODS_READY_TIMEOUT, message, now, cause=found.cause)

    def _execution_time(self, reader: Reader, workload: Workload, now: Instant) -> Step:
        del reader
        limit = workload.spec.maximum_execution_time_seconds
        admitted = workload.condition(WorkloadCondition.ADMITTED)
        if not limit or admitted is None or admitted.status != "True":
            return PASS
        past = workload.status.accumulated_past_execution_time_seconds or 0
        left = admitted.transitioned_at + (limit - past) * SECOND_US - now
        if left > 0:
            return Step(wake_us=left)
        target = transitions.with_condition(
            transitions.with_past_execution_time(workload, None),
            WorkloadCondition.DEACTIVATION_TARGET, True, Reason.MAXIMUM_EXECUTION_TIME_EXCEEDED,
            "exceeding the maximum execution time", now,
        )  # fmt: skip
        note = f"The maximum execution time ({limit}s) exceeded"
        return Step(target, (("Warning", "MaximumExecutionTimeExceeded", note),))


def _told(obj: Obj, type_: str, reason: str, note: str) -> Emit:
    """An event by the reporter that Kueue has for it: evictions are told by one, whoever evicts (observability.md §2)."""
    reporter = ADMISSION_FIELD_MANAGER if reason.startswith(EVICTED_DUE_TO) else REPORTER
    return Emit(WORKLOAD, obj, type_, reason, note, reporter)


def admitted_event(workload: Workload, now: Instant) -> tuple[str, str, str]:
    """`Admitted by ClusterQueue <cq>, wait time since reservation was <N>s` (scheduling.md §5.8)."""
    reserved = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    waited_s = max(0, now - reserved.transitioned_at) // SECOND_US if reserved else 0
    name = workload.status.admission.cluster_queue if workload.status.admission else ""
    return ("Normal", "Admitted", f"Admitted by ClusterQueue {name}, wait time since reservation was {waited_s}s")


def _evict(workload: Workload, reason: str, message: str, now: Instant, *, cause: str = "") -> Step:
    evicted = transitions.evict(workload, reason, message, now, cause=cause)
    return Step(evicted, (("Normal", transitions.eviction_event_reason(reason), message),))


def _queues(reader: Reader, workload: Workload) -> tuple[LocalQueue | None, ClusterQueue | None]:
    found = reader.get(LOCAL_QUEUE, workload.metadata.namespace, workload.spec.queue_name)
    local_queue = reader.typed(LocalQueue, found) if found is not None else None
    admission = workload.status.admission
    name = admission.cluster_queue if admission else (local_queue.spec.cluster_queue if local_queue else "")
    found = reader.get(CLUSTER_QUEUE, "", name) if name else None
    return local_queue, reader.typed(ClusterQueue, found) if found is not None else None


def _queue_of(obj: Obj) -> Iterable[str]:
    queue = objects.get_path(obj, "spec", "queueName")
    return (f"{objects.namespace(obj)}/{queue}",) if queue else ()


def queue_indexes() -> tuple[Index, ...]:
    """What `of_local_queue` and `of_cluster_queue` look up."""
    return (
        Index(WORKLOAD, BY_LOCAL_QUEUE, _queue_of),
        Index(LOCAL_QUEUE, BY_CLUSTER_QUEUE, lambda o: (objects.get_path(o, "spec", "clusterQueue") or "",)),
    )


def of_local_queue(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """The Workloads of a LocalQueue, if the change of it concerns them."""
    if not _concerns_workloads(event):
        return ()
    found = reader.by_index(WORKLOAD, BY_LOCAL_QUEUE, str(objects.key(event.new)))
    return [objects.key(obj) for obj in found]


def of_cluster_queue(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """The Workloads of a ClusterQueue's LocalQueues, if the change of it concerns them."""
    if not _concerns_workloads(event):
        return ()
    keys: list[ObjectKey] = []
    for local_queue in reader.by_index(LOCAL_QUEUE, BY_CLUSTER_QUEUE, objects.name(event.new)):
        found = reader.by_index(WORKLOAD, BY_LOCAL_QUEUE, str(objects.key(local_queue)))
        keys.extend(objects.key(obj) for obj in found)
    return keys


def _concerns_workloads(event: ObjectEvent) -> bool:
    """Whether a queue came, went, or changed in what its Workloads go by."""
    return event.old is None or event.change is Change.DELETED or _gist(event.old) != _gist(event.new)


def _gist(obj: Obj) -> object:
    """What of a queue concerns its Workloads: not the counters of its status."""
    active = objects.condition(obj, "Active") or {}
    return (objects.is_deleting(obj), obj.get("spec"), active.get("status"), active.get("reason"))
