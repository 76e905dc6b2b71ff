"""Where a Workload is, and what its moves wake: it waits for a ClusterQueue, holds quota of one, or does neither.

`EngineMoves` carries out what `engine.py` finds an event to mean: a Workload is queued, leaves its queue, holds quota, gives it back. Each move
marks the queues that may be judged otherwise now (`readiness.py`), asks for retries of what is parked (`queue/manager.py`), and notes whose
views changed. It decides nothing.

Source: scheduling.md §3, §5, §13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey, matches_labels
from pykueue.api.v1beta2 import Workload
from pykueue.core.engine_state import EngineState, discard, local_queue_of
from pykueue.core.workload.info import Info
from pykueue.core.workload.lifecycle import (
    has_quota,
    is_finished,
    is_queueable,
    may_stay_queued,
    second_pass_need,
    waits_for_replacement,
)


class EngineMoves(EngineState):
    """Moves of Workloads, on the state of the engine; see `AdmissionEngine`."""

    def _index(self, key: ObjectKey, old: Workload | None, new: Workload | None) -> None:
        after = local_queue_of(new) if new is not None else None
        if old is None:
            before = None
        else:
            before = after if new is not None and old.spec.queue_name == new.spec.queue_name else local_queue_of(old)
        if before is not None and before != after:
            discard(self._by_local, before, key)
        if new is None or after is None:
            self._workloads.pop(key, None)
        else:
            self._workloads[key] = new
            if before != after:
                self._by_local.setdefault(after, {})[key] = None
        for local in (before, after) if before != after else (after,):
            if local is None:
                continue
            spec = self._queues.local_queues.get(local)
            if spec is not None and self._cache.queue(spec.spec.cluster_queue) is None:
                self._changed[1][local] = None

    def _queue(self, key: ObjectKey, workload: Workload, now: Instant) -> None:
        """Let a Workload without quota wait where it belongs, or nowhere."""
        local_key = local_queue_of(workload)
        local = self._queues.local_queues.get(local_key)
        name = local.spec.cluster_queue if local is not None else ""
        known = self._queues.find(key)
        if known is not None and known.info.local_queue != local_key:
            self._leave_queue(key)
            known = None
        waiting = self._queues.queue(name)
        is_open = waiting is not None and self._queues.is_open(local_key)
        may_wait = is_queueable if known is None else may_stay_queued
        if not is_open or not may_wait(workload, self._features) or self.is_parent(workload):
            self._leave_queue(key)
            return
        info = self._maker.pending(workload, name, known.info if known is not None else None)
        self._queues.put(self._with_tie(info), now)
        self._ready.mark(name)
        if known is None:
            self._touch(name, local_key)
            if waiting is not None and waiting.is_parked(key):
                self._changed[3][key] = None

    def _leave_queue(self, key: ObjectKey) -> None:
        item = self._queues.delete(key)
        if item is not None:
            self._ready.mark(item.info.cluster_queue)
            self._touch(item.info.cluster_queue, item.info.local_queue)

    def _hold(self, info: Info, now: Instant) -> None:
        """Count a Workload with quota, as it was written; less than before wakes others."""
        old = self._cache.workloads.get(info.key)
        self._cache.add_workload(info)
        self._ready.mark_tree(info.cluster_queue)
        self._track_readiness(info.key)
        self._touch(info.cluster_queue, info.local_queue)
        if old is not None and (
            old.cluster_queue != info.cluster_queue
            or old.priority != info.priority
            or old.workload.spec.priority_class_ref != info.workload.spec.priority_class_ref
            or (
                old.usage is not info.usage
                and any(info.usage.get(item, 0) < amount for item, amount in old.usage.items())
            )
        ):
            self._ready.mark_tree(old.cluster_queue)
            self._retry([old.cluster_queue], now)
        self._look_again(info, now)

    def _home(self, key: ObjectKey) -> str | None:
        """The ClusterQueue in which a Workload waits, for quota or for places."""
        held = self._cache.workloads.get(key) if key in self._second_pass else None
        return held.cluster_queue if held is not None else self._queues.home(key)

    def _look_again(self, info: Info, now: Instant) -> None:
        """Queue a Workload with quota whose pods need places, or other ones."""
        key = info.key
        need = second_pass_need(info.workload, self._cache.ledger.leaves(key))
        queue = self._cache.queue(info.cluster_queue) if need is not None else None
        if need is None or (queue is not None and self._cache.is_delegating(queue)):
            self._second_pass.delete(key)
        else:
            self._second_pass.put(key, need, now)

    def _release(self, key: ObjectKey, now: Instant) -> None:
        """Give back what a Workload held, and wake whoever may use it."""
        self._second_pass.delete(key)
        places = self._cache.ledger.of(key)
        info = self._cache.remove_workload(key)
        self._not_ready.pop(key, None)
        if info is not None:
            self._preemptions.left(key)
            self._ready.mark_tree(info.cluster_queue)
            self._touch(info.cluster_queue, info.local_queue)
            # Nodes are shared by all that use the flavor, whatever cohort they are in.
            others = self._cache.queues_using({each.flavor for each in places}) if places else ()
            for name in others:
                self._ready.mark(name)
            self._retry([info.cluster_queue, *others], now)

    def _drop(self, key: ObjectKey, now: Instant) -> None:
        self._leave_queue(key)
        self._release(key, now)

    def _track_readiness(self, key: ObjectKey) -> None:
        pods_ready = self._config.wait_for_pods_ready
        if pods_ready is None or not pods_ready.block_admission:
            return
        info = self._cache.workloads.get(key)
        if info is None:
            return
        if info.is_admitted and not info.workload.is_true(WorkloadCondition.PODS_READY):
            self._not_ready[key] = None
        else:
            self._not_ready.pop(key, None)

    def _retry(self, names: Sequence[str], now: Instant) -> None:
        self._queues.ask_retry(dict.fromkeys(names), now)

    def _retry_places(self, queues: Sequence[str], now: Instant) -> None:
        """Where pods go there may be room now; queues that do not place pods there would be told the same again (§3.7)."""
        if queues:
            self._version += 1
            self._retry(queues, now)

    def _rejudged(self, names: Sequence[str], now: Instant) -> None:
        """Some ClusterQueues may have turned active or inactive."""
        self._version += 1
        for name in names:
            self._touch_queue(name)
        self._retry([member for name in names for member in self._cache.tree_members(name)], now)

    def _requeue_locals(self, cluster_queue: str, now: Instant) -> None:
        for local in list(self._locals_of.get(cluster_queue, ())):
            self._requeue_local(local, now)

    def _requeue_local(self, local: ObjectKey, now: Instant) -> None:
        self._recompute(list(self._by_local.get(local, ())), now)

    def _recompute(self, keys: Sequence[ObjectKey], now: Instant) -> None:
        for key in keys:
            workload = self._workloads[key]
            if not has_quota(workload) and key not in self._assumed and not is_finished(workload):
                self._leave_queue(key)
                self._queue(key, workload, now)

    def _wake(self, now: Instant) -> None:
        for key in self._queues.due_timers(now):
            workload = self._workloads.get(key)
            if workload is not None and not waits_for_replacement(workload):
                self._recompute([key], now)
        for name in self._queues.do_retries(now, self._cache.tree_members, self._may_wake):
            self._ready.mark(name)

    def _may_wake(self, name: str, namespace: str) -> bool:
        queue = self._cache.queue(name)
        labels = self._namespaces.get(namespace)
        if queue is None or labels is None:
            return False
        return matches_labels(queue.spec.spec.namespace_selector, labels)

    def _touch(self, cluster_queue: str, local: ObjectKey) -> None:
        self._changed[0][cluster_queue] = None
        self._changed[1][local] = None

    def _touch_shares(self, cluster_queues: Iterable[str], cohorts: Iterable[str]) -> None:
        """Quotas or weights changed: the shares of these ClusterQueues and Cohorts did."""
        self._changed[2].update(dict.fromkeys(cohorts))
        if self._config.fair_sharing is not None:
            self._changed[0].update(dict.fromkeys(cluster_queues))

    def _touch_queue(self, name: str) -> None:
        waiting = self._queues.queue(name)
        if waiting is not None:
            waiting.tell_again()
        self._changed[0][name] = None
        for local in self._locals_of.get(name, ()):
            self._changed[1][local] = None
