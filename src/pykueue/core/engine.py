"""The admission engine: objects in, decisions out. The façade of the core.

Whoever drives it (`controllers/admission.py`) tells it every object's latest version in any order, asks when the next cycle is due, runs it,
writes what was decided, and says how the writes ended. Views (`engine_state.py`) answer what people want to know; moves (`engine_moves.py`) carry
out what an event means to a Workload. Between calls the engine is consistent; the same calls give the same decisions.

What it keeps: the latest Workloads, what waits (`queue/manager.py`), what holds quota (`cache/clusterqueue.py`), and which admissions are
only assumed. An assumed Workload counts as reserving from its decision on. It stays assumed until its reservation is observed, it
disappears, or `forget` says that the write failed. Versions of it from before the write change nothing.

What it does not know: how objects are read and written, time (always an argument), who leads.

Source: scheduling.md §3, §5, §12, §13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import (
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    LocalQueue,
    ResourceFlavor,
    Topology,
    Workload,
)
from pykueue.core.engine_moves import EngineMoves
from pykueue.core.engine_state import discard
from pykueue.core.explain.explainer import Explainer
from pykueue.core.faults import fault_of
from pykueue.core.features import Gate
from pykueue.core.queue.heads import Pending
from pykueue.core.scheduler.assumed import as_admitted, held_pod_sets, was_released
from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.scheduler.decisions import Admit, CycleResult
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.flavor_assigner import AssignerContext
from pykueue.core.scheduler.nominate import Nominator
from pykueue.core.scheduler.preemption.policy import Preemptor
from pykueue.core.scheduler.seats import Seats
from pykueue.core.tas.scheduling import NodeTopologies
from pykueue.core.views import Admissibility
from pykueue.core.workload.info import Info
from pykueue.core.workload.lifecycle import has_quota, is_finished

__all__ = ["Admissibility", "AdmissionEngine", "Changed"]

BYPASSED = "Bypassed scheduling evaluation because an equivalent workload recently failed"
_BACKOFF_US_MIN = 1_000
_BACKOFF_US_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Changed:
    """Whose views changed since the last call, each sorted."""

    cluster_queues: tuple[str, ...]
    local_queues: tuple[ObjectKey, ...]
    cohorts: tuple[str, ...]
    workloads: tuple[ObjectKey, ...]


class AdmissionEngine(EngineMoves):
    """Decides which Workloads get quota. Every method is synchronous, pure but for its own state."""

    # --- events ------------------------------------------------------------------------------------------------------

    def set_workload(self, key: ObjectKey, workload: Workload | None, now: Instant) -> None:
        """Take in the latest version of a Workload; None if it is gone."""
        old = self._workloads.get(key)
        self._index(key, old, workload)
        self._preemptions.see(key, old, workload, now)
        if workload is None or is_finished(workload) or self.is_parent(workload):
            self._assumed.pop(key, None)
            self._drop(key, now)
        elif has_quota(workload):
            self._assumed.pop(key, None)
            self._leave_queue(key)
            self._hold(self._maker.reserving(workload, self._cache.workloads.get(key)), now)
        elif key in self._assumed and not was_released(self._assumed[key], workload):
            self._track_readiness(key)
        else:
            self._assumed.pop(key, None)
            self._release(key, now)
            self._queue(key, workload, now)
        self._fair_usage.set_workload(key, workload, now)
        self._retry_freed(now)

    def set_cluster_queue(self, name: str, cluster_queue: ClusterQueue | None, now: Instant) -> None:
        """Take in the latest version of a ClusterQueue; None if it is gone."""
        before = self._cache.queue(name)
        old_members, old_cohorts = self._cache.tree_members(name), self._cache.cohorts_above(name)
        if cluster_queue is None:
            self._cache.set_cluster_queue(name, None)
            self._queues.delete_cluster_queue(name)
        elif (
            before is None
            or before.spec.spec != cluster_queue.spec
            or before.spec.is_deleting != cluster_queue.is_deleting
        ):
            self._cache.set_cluster_queue(name, cluster_queue)
            self._queues.set_cluster_queue(name, is_strict=cluster_queue.spec.queueing_strategy == "StrictFIFO")
        else:
            before.spec = cluster_queue
            return
        waiting, queue = self._queues.queue(name), self._cache.queue(name)
        if waiting is not None:
            waiting.order_by(self._fair_usage.order_of(queue))
        self._version += 1
        if before is None and cluster_queue is not None:
            self._requeue_locals(name, now)
        members = [*old_members, *self._cache.tree_members(name)]
        self._retry(members, now)
        self._touch_queue(name)
        self._touch_shares(members, old_cohorts)

    def set_cohort(self, name: str, cohort: Cohort | None, now: Instant) -> None:
        """Take in the latest version of a Cohort; None if it is gone."""
        known = self._cache.cohorts.get(name)
        if known is not None and cohort is not None and known.spec == cohort.spec:
            return
        self._version += 1
        old_members, old_cohorts = self._cache.cohort_members(name), self._cache.cohorts_above(name, is_cohort=True)
        self._cache.set_cohort(name, cohort)
        members = list(dict.fromkeys([*old_members, *self._cache.cohort_members(name)]))
        self._retry(members, now)
        for member in members:
            self._touch_queue(member)
        self._touch_shares(members, [name, *old_cohorts])

    def set_local_queue(self, key: ObjectKey, local_queue: LocalQueue | None, now: Instant) -> None:
        """Take in the latest version of a LocalQueue; None if it is gone."""
        old = self._queues.local_queues.get(key)
        if old is not None:
            discard(self._locals_of, old.spec.cluster_queue, key)
        if local_queue is None:
            self._queues.local_queues.pop(key, None)
        else:
            self._queues.local_queues[key] = local_queue
            self._locals_of.setdefault(local_queue.spec.cluster_queue, {})[key] = None
        self._changed[1][key] = None
        self._fair_usage.set_local_queue(key, local_queue)
        if old is None or local_queue is None or _leads(old) != _leads(local_queue):
            self._requeue_local(key, now)

    def set_resource_flavor(self, name: str, flavor: ResourceFlavor | None, now: Instant) -> None:
        """Take in the latest version of a ResourceFlavor; None if it is gone."""
        known = self._cache.flavors.get(name)
        if known is None or flavor is None or known.spec != flavor.spec:
            self._rejudged(self._cache.set_flavor(name, flavor), now)
            self._book.keep_trees(self._cache.trees())

    def set_admission_check(self, name: str, check: AdmissionCheck | None, now: Instant) -> None:
        """Take in the latest version of an AdmissionCheck; None if it is gone."""
        known = self._cache.checks.get(name)
        if known is None or check is None or (known.spec, known.status) != (check.spec, check.status):
            self._rejudged(self._cache.set_check(name, check), now)

    def set_topology(self, name: str, topology: Topology | None, now: Instant) -> None:
        """Take in the latest version of a Topology; None if it is gone."""
        known = self._cache.topologies.get(name)
        if known is None or topology is None or known.spec != topology.spec:
            self._rejudged(self._cache.set_topology(name, topology), now)
            self._book.keep_trees(self._cache.trees())

    def set_namespace(self, name: str, labels: Mapping[str, str] | None, now: Instant) -> None:
        """Take in a namespace's labels; None if it is gone."""
        old = self._namespaces.get(name)
        if old == labels:
            return
        self._version += 1
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
            self._queues.ask_retry([n for n, waiting in self._queues.named() if waiting.has_parked_in(name)], now)

    def set_node(self, name: str, node: Obj | None, now: Instant) -> None:
        """Take in the latest version of a Node; None if it is gone."""
        changed = self._book.set_node(name, node)
        self._retry_places([queue for each in changed for queue in self._cache.queues_on(each.labels)], now)

    def set_pod(self, key: ObjectKey, pod: Obj | None, now: Instant) -> None:
        """Take in the latest version of a Pod; only those that take a node's room beside topologies matter."""
        freed = self._book.set_pod(key, pod)
        if freed is not None:
            self._retry_places(self._cache.queues_on(freed.labels), now)

    def set_limit_ranges(self, namespace: str, limit_ranges: Sequence[Obj], now: Instant) -> None:
        """Take in all LimitRanges of a namespace."""
        if list(self._limit_ranges.get(namespace, ())) == list(limit_ranges):
            return
        if limit_ranges:
            self._limit_ranges[namespace] = tuple(limit_ranges)
        else:
            del self._limit_ranges[namespace]
        self._maker.forget()
        self._recompute([k for k in self._workloads if k.namespace == namespace], now)

    def set_runtime_class(self, name: str, runtime_class: Obj | None, now: Instant) -> None:
        """Take in a RuntimeClass; None if it is gone."""
        if runtime_class is None:
            self._runtime_classes.pop(name, None)
        else:
            self._runtime_classes[name] = runtime_class
        self._maker.forget()
        using = [
            k for k, w in self._workloads.items() if any(_runtime_class(ps.template) == name for ps in w.spec.pod_sets)
        ]
        self._recompute(using, now)

    # --- cycles ------------------------------------------------------------------------------------------------------

    def next_cycle_at(self, now: Instant) -> Instant | None:
        """When a cycle should run: `now` or earlier for at once, None for not before another event."""
        wakes = (self._queues.wake_at(), self._second_pass.wake_at(), self._preemptions.wake_at())
        times = [at for at in wakes if at is not None]
        self._mark()
        if not (self._waits_for_pods and self._not_ready) and self._ready.is_due():
            times.append(Instant(self._last_cycle_at + self._backoff_us))
        del now
        return min(times, default=None)

    def cycle(self, now: Instant) -> CycleResult:
        """Run one cycle. What it admits is assumed."""
        self._wake(now)
        self._preemptions.begin(self._home, self._assumed.__contains__, now)
        self._retry_freed(now)
        self._waits_for_pods = self._waits_for_pods and bool(self._not_ready)
        entries = self._second_heads(now)
        if not self._waits_for_pods:
            entries += self._heads()
        if not entries:
            return CycleResult(self._cycle, (), {})
        self._cycle += 1
        cycle = self._make_cycle()
        fault = fault_of(partial(cycle.run, entries))
        if fault is not None:
            for entry in entries:
                entry.status = Status.NOT_NOMINATED
                self._put_back(entry, now)
            raise fault
        self._preemptions.close(entries, now)
        self._retry_freed(now)
        faults = tuple((entry.info.key, entry.fault) for entry in entries if entry.fault is not None)
        result = CycleResult(self._cycle, tuple(cycle.decisions), cycle.skipped, tuple(cycle.recomputed), faults)
        admitted = {d.key: d for d in cycle.decisions if isinstance(d, Admit)}
        is_same = [self._put_back(entry, now) for entry in entries]
        for entry in entries:
            if entry.info.key in admitted:
                self._assume(admitted[entry.info.key], entry, now)
                if not admitted[entry.info.key].is_second_pass:
                    self._fair_usage.charge(entry.info, ignores_undeclared=self._ignores_undeclared())
        self._ready.settle(
            (entry.queue, same)
            for entry, same in zip(entries, is_same, strict=True)
            if entry.queue is not None and not entry.is_second_pass
        )
        self._last_cycle_at = now
        grown = min(_BACKOFF_US_MAX, max(_BACKOFF_US_MIN, self._backoff_us * 2))
        self._backoff_us = 0 if result.is_success else grown
        return result

    def forget(self, key: ObjectKey, now: Instant, *, requeue: bool) -> None:
        """The admission could not be written: give the quota back and, if asked, queue the Workload again."""
        if self._assumed.pop(key, None) is None:
            return
        workload = self._workloads.get(key)
        if workload is not None and has_quota(workload):
            self._hold(self._maker.reserving(workload), now)
            return
        self._fair_usage.drop(key)
        self._release(key, now)
        if requeue and workload is not None:
            self._queue(key, workload, now)

    def second_pass_failed(self, key: ObjectKey, now: Instant) -> None:
        """What a second pass decided could not be written: it is tried again later."""
        self._second_pass.failed(key, now)

    def preemption_failed(self, victim: ObjectKey, now: Instant) -> None:
        """A victim could not be evicted: its queue's waiting Workloads are judged again."""
        self._version += 1
        self._preemptions.left(victim)
        info = self._cache.workloads.get(victim)
        if info is not None:
            self._retry(self._cache.tree_members(info.cluster_queue), now)

    def sample_local_queue(self, key: ObjectKey, now: Instant) -> Instant | None:
        """Let time pass for the usage of a LocalQueue, if a sampling is due (§11).

        Returns:
            when the next one is; None if its usage orders nothing.
        """
        return self._fair_usage.sample(key, now)

    def take_changed(self) -> Changed:
        """Whose views changed since the last call."""
        queues, locals_, cohorts, workloads = self._changed
        self._changed = ({}, {}, {}, {})
        if self._config.fair_sharing is not None:
            # What a queue uses counts in the share of every cohort above it.
            cohorts.update(dict.fromkeys(above for name in queues for above in self._cache.cohorts_above(name)))
        return Changed(tuple(sorted(queues)), tuple(sorted(locals_)), tuple(sorted(cohorts)), tuple(sorted(workloads)))

    def explainer(self, now: Instant) -> Explainer:
        """Answers why Workloads and queues are where they are; see `core/explain`."""
        return Explainer(
            self._cache, self._queues, self._workloads, self._features, self._make_cycle, self.admissibility,
            lambda queue: self.cluster_queue_status(queue) if isinstance(queue, str) else self.local_queue_status(queue),
            NodeTopologies(self._cache, self._book, self._features), tuple(self._not_ready), now,
        )  # fmt: skip

    # --- inside ------------------------------------------------------------------------------------------------------

    def _mark(self) -> None:
        if self._marked_at != self._version:
            self._marked_at = self._version
            self._ready.mark_all()

    def _heads(self) -> list[Entry]:
        self._mark()
        entries = []
        for queue, waiting in self._ready.take():
            item = waiting.pop()
            if item is not None:
                has_claim = self._preemptions.claims.get(item.info.key) is not None
                entries.append(Entry(item.info, item, queue, has_claim=has_claim))
        return entries

    def _second_heads(self, now: Instant) -> list[Entry]:
        entries = []
        for key in self._second_pass.take(now):
            info = self._cache.workloads[key]
            entries.append(Entry(info, Pending(info), self._cache.queue(info.cluster_queue), is_second_pass=True))
        return entries

    def _retry_freed(self, now: Instant) -> None:
        """Seats that are kept no longer may be had by others."""
        for name in self._preemptions.take_freed():
            self._ready.mark_tree(name)
            self._retry([name], now)

    def _make_cycle(self) -> Cycle:
        fair = self._config.fair_sharing
        topologies = NodeTopologies(self._cache, self._book, self._features)
        strategies = fair.preemption_strategies if fair is not None else None
        book = self._preemptions
        preemptor = Preemptor(
            self._cache, self._features, strategies, self._fair_usage.order_of,
            spared=book.spared, topologies=topologies,
        )  # fmt: skip
        context = AssignerContext(
            flavors=self._cache.flavors,
            features=self._features,
            ignores_undeclared=self._ignores_undeclared(),
            is_fair=fair is not None,
            oracle=preemptor,
            topologies=topologies,
            cycle=self._cycle,
        )
        nominator = Nominator(self._cache, context, preemptor, self._namespaces.get)
        binding = book.binding(self._assumed.__contains__)
        seats = Seats(self._cache, binding, book.leaving(), book.is_overdue, is_safe=book.is_safe)
        return Cycle(
            nominator, self._features, fair is not None, bool(self._not_ready), seats, book.is_leaving, self._as_pending
        )

    def _as_pending(self, info: Info) -> Info:
        return self._maker.pending(info.workload, info.cluster_queue)

    def _ignores_undeclared(self) -> bool:
        is_asked = self._config.resources.quota_check_strategy == "IgnoreUndeclared"
        return is_asked and self._features[Gate.QUOTA_CHECK_STRATEGY]

    def _assume(self, decision: Admit, entry: Entry, now: Instant) -> None:
        self._assumed[decision.key] = decision.workload
        self._leave_queue(decision.key)
        if decision.replaces is not None:
            # The older slice is finished in the same chain of writes; until that is seen its pods are the new slice's.
            self._cache.remove_workload(decision.replaces.key)
        workload = as_admitted(decision, now)
        if entry.is_second_pass or entry.assignment is None:
            info = self._maker.reserving(workload)
        else:
            info = self._maker.assumed(workload, held_pod_sets(workload, entry.assignment), entry.info)
        self._cache.add_workload(info)
        self._ready.mark_tree(info.cluster_queue)
        self._track_readiness(decision.key)
        self._touch(info.cluster_queue, info.local_queue)
        pods_ready = self._config.wait_for_pods_ready
        if decision.is_admitted and pods_ready is not None and pods_ready.block_admission:
            self._not_ready[decision.key] = None

    def _put_back(self, entry: Entry, now: Instant) -> bool:
        """Let a head wait again; whether it is still the head, and would be judged the same."""
        key = entry.info.key
        if entry.is_second_pass:
            if entry.status not in (Status.ASSUMED, Status.EVICTED):
                self._second_pass.failed(key, now)
            return False
        if entry.status is Status.ASSUMED:
            return False
        if entry.status is Status.BLOCKED:
            self._waits_for_pods = True
        name = entry.info.cluster_queue
        waiting = self._queues.queue(name)
        if waiting is None:
            return False
        told = waiting.requeue(key, entry.requeue, now, (entry.reason.value, BYPASSED))
        self._changed[3].update(dict.fromkeys(told))
        progress = entry.pending.progress
        has_untried = progress is not None and progress.has_untried
        return waiting.head() is entry.pending and not has_untried and entry.status is not Status.BLOCKED


def _leads(local_queue: LocalQueue) -> tuple[str, str]:
    """What decides where the Workloads of a LocalQueue wait."""
    return local_queue.spec.cluster_queue, local_queue.spec.stop_policy


def _runtime_class(template: Mapping[str, object]) -> object:
    spec = template.get("spec")
    return spec.get("runtimeClassName") if isinstance(spec, Mapping) else None
