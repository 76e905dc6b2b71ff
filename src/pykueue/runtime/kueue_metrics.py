"""Counting what the engine does, from outside of it.

`MeteredEngine` stands between the loop and the engine and passes everything on. On the way it sees each change of a Workload, which
`controllers/measures.py` turns into counts, each cycle with its result and its time, and each queue that goes away. The core knows nothing
of it. Only the leader counts: a follower sees the leader's writes, and its counters stay at zero (`config.md` §6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from pykueue.api import objects
from pykueue.api.configuration import Configuration
from pykueue.api.constants import Annotation, Label, SchedulingGate, WorkloadCondition
from pykueue.api.errors import PykueueError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import (
    CLUSTER_QUEUE,
    COHORT,
    JOB,
    LEADER_WORKER_SET,
    LOCAL_QUEUE,
    POD,
    STATEFUL_SET,
    WORKLOAD,
    Kind,
)
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.series import Sample
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.admission import AdmissionController
from pykueue.controllers.measures import Home, changes
from pykueue.core.features import Features, Gate
from pykueue.core.measures import ancestors, cluster_queue_of, measure, measured_local_queues
from pykueue.core.scheduler.decisions import Admit, CycleResult, Preempt
from pykueue.ports.engine import EngineEffect, Fault
from pykueue.ports.reader import Reader
from pykueue.runtime.series import SeriesCollector

FOLLOWER = "follower"
_OUR_GATES = frozenset(gate.value for gate in SchedulingGate)
_JOB_KINDS = {(kind.api_version, kind.kind): kind for kind in (JOB, POD, LEADER_WORKER_SET, STATEFUL_SET)}


class MeteredEngine:
    """`ports.engine.Engine` that counts what another one does."""

    def __init__(
        self, engine: AdmissionController, config: Configuration, features: Features,
        role: Callable[[], str], build: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Meter an engine.

        Args:
            engine: the one that works.
            config: which metrics are wanted.
            features: gates in force.
            role: `leader`, `follower` or `standalone`.
            build: labels of `kueue_build_info`.
        """
        self._engine, self._features, self._role = engine, features, role
        self._is_local_measured = measured_local_queues(config, features)
        self._preemptors: dict[ObjectKey, str] = {}
        self._skips: Mapping[str, int] = {}
        self._cycle = 0
        self._since: Instant | None = None
        self.collector = SeriesCollector(role, self._measure, build)
        """For a registry."""

    def kinds(self) -> Sequence[Kind]:
        """See `ports.engine.Engine`."""
        return self._engine.kinds()

    def apply(self, event: ObjectEvent, reader: Reader, now: Instant) -> None:
        """See `ports.engine.Engine`."""
        if self._since is None:
            self._since = now
        if event.kind == WORKLOAD and self._role() != FOLLOWER:
            self.collector.count(self._changes(event, reader, now))
        elif event.kind == POD and event.change is Change.MODIFIED and self._role() != FOLLOWER:
            self.collector.count(self._ungated(event, reader, now))
        self._engine.apply(event, reader, now)
        self.collector.count(self._engine.engine.take_samples())
        if event.change is Change.DELETED:
            self._forget(event.kind, event.new)

    def next_cycle_at(self, now: Instant) -> Instant | None:
        """See `ports.engine.Engine`."""
        return self._engine.next_cycle_at(now)

    def cycle(self, reader: Reader, now: Instant) -> Sequence[EngineEffect]:
        """See `ports.engine.Engine`."""
        began = time.perf_counter()
        effects = self._engine.cycle(reader, now)
        result = self._engine.cycle_result
        if result is not None and result.number != self._cycle:
            self._cycle = result.number
            self._count_cycle(result, time.perf_counter() - began)
        self.collector.count(self._engine.engine.take_samples())
        return effects

    def finished(self, token: int, error: PykueueError | None, now: Instant) -> None:
        """See `ports.engine.Engine`."""
        self._engine.finished(token, error, now)

    def take_faults(self) -> Sequence[Fault]:
        """See `ports.engine.Engine`."""
        return self._engine.take_faults()

    def take_woken(self) -> Sequence[tuple[str, ObjectKey]]:
        """See `ports.engine.Engine`."""
        return self._engine.take_woken()

    def _count_cycle(self, result: CycleResult, duration_s: float) -> None:
        word = "success" if any(isinstance(decision, Admit) for decision in result.decisions) else "inadmissible"
        attempt = Sample("admission_attempts_total", (word,))
        self.collector.count((attempt, Sample("admission_attempt_duration_seconds", (word,), duration_s)))
        recomputed = (Sample("preemption_target_recomputations_total", labels) for labels in result.recomputed)
        self.collector.count(recomputed)
        self._skips = result.skipped
        for decision in result.decisions:
            if isinstance(decision, Preempt):
                name = self._home(decision.pending.workload).cluster_queue
                self._preemptors.update({victim.key: name for victim in decision.victims if not victim.is_evicted})

    def _changes(self, event: ObjectEvent, reader: Reader, now: Instant) -> Sequence[Sample]:
        if event.change is Change.DELETED:
            self._preemptors.pop(objects.key(event.new), None)
            return ()
        new = reader.typed(Workload, event.new)
        if event.old is None:
            return self._creation(event.new, new, reader)
        # The engine still has the version before; decoding `event.old` anew would leave it in the reader's memory.
        old = self._engine.engine.measured().workloads.get(new.key)
        if old is None or old.status == new.status:
            return ()
        samples = changes(old, new, self._home(new if new.status.admission is not None else old), now)
        if any(sample.name == "preempted_workloads_total" for sample in samples):
            del self._preemptors[new.key]
        return samples

    def _creation(self, obj: Obj, workload: Workload, reader: Reader) -> Sequence[Sample]:
        """How long a new job waited for its Workload; jobs from before this process began are not news."""
        if not self._features[Gate.METRIC_FOR_WORKLOAD_CREATION_LATENCY] or self._since is None:
            return ()
        # A Workload of a set of pods has no controller; its set was its first owner.
        owners = ((_JOB_KINDS.get((ref.api_version, ref.kind)), ref.name) for ref in objects.owner_references(obj))
        kind, name = next(((kind, name) for kind, name in owners if kind is not None), (None, ""))
        job = reader.get(kind, workload.metadata.namespace, name) if kind is not None else None
        if kind is None or job is None or workload.created_at < self._since or objects.generation(job) > 1:
            return ()
        waited_us = max(0, workload.created_at - objects.created_at(job))
        return (Sample("workload_creation_latency_seconds", (kind.kind,), waited_us / SECOND_US),)

    def _ungated(self, event: ObjectEvent, reader: Reader, now: Instant) -> Iterator[Sample]:
        """How long an admitted pod kept a gate of ours; the pod names its Workload once it is started."""
        gone = [gate for gate in _gates(event.old or {}) if gate not in _gates(event.new)]
        name = objects.annotations(event.new).get(Annotation.WORKLOAD, "")
        found = reader.get(WORKLOAD, objects.namespace(event.new), name) if gone and name else None
        workload = reader.typed(Workload, found) if found is not None else None
        admitted = workload.condition(WorkloadCondition.ADMITTED) if workload is not None else None
        if workload is None or admitted is None or admitted.status != "True":
            return
        group = Label.POD_GROUP_NAME in objects.labels(event.new)
        is_group = group or Annotation.POD_GROUP_NAME in objects.annotations(event.new)
        waited_s = max(0, now - admitted.transitioned_at) / SECOND_US
        labels = (self._home(workload).cluster_queue, str(is_group).lower())
        for gate in gone:
            yield Sample("pod_scheduling_gate_removal_seconds", (gate, *labels), waited_s)

    def _home(self, workload: Workload) -> Home:
        held = self._engine.engine.measured()
        key = ObjectKey(workload.metadata.namespace, workload.spec.queue_name)
        local_queue = held.queues.local_queues.get(key)
        name = cluster_queue_of(workload, local_queue)
        cohorts = ancestors(held.cache, name) if self._features[Gate.METRICS_FOR_COHORTS] else ()
        preemptor = self._preemptors.get(workload.key, "")
        return Home(name, cohorts, self._is_local_measured(local_queue), preemptor)

    def _measure(self) -> Iterator[Sample]:
        yield from measure(self._engine.engine.measured())
        for name, count in self._skips.items():
            yield Sample("admission_cycle_preemption_skips", (name,), count)

    def _forget(self, kind: Kind, obj: Obj) -> None:
        name = objects.name(obj)
        if kind == CLUSTER_QUEUE:
            self.collector.forget(cluster_queue=name)
            self.collector.forget(preempting_cluster_queue=name)
            self._skips = {queue: count for queue, count in self._skips.items() if queue != name}
        elif kind == COHORT:
            self.collector.forget(cohort=name)
        elif kind == LOCAL_QUEUE:
            self.collector.forget(name=name, namespace=objects.namespace(obj))


def _gates(pod: Obj) -> Sequence[str]:
    """The scheduling gates of ours that a pod has."""
    present = (str(gate.get("name")) for gate in objects.get_path(pod, "spec", "schedulingGates") or ())
    return [gate for gate in present if gate in _OUR_GATES]
