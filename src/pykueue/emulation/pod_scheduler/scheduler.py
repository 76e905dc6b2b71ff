"""The pod scheduler: one queue, one pass at a time over all pods that wait.

Every change of pods or nodes wakes one and the same key, a few milliseconds later, so that a burst is one pass. A pass takes the pods that
have neither node nor gates, by priority, then age, then name, filters nodes (`fit.py`), and binds each pod to the least allocated one, ties
by name. Preemption by pod priority, preferred affinity, topology spread and volumes are not played.

Bindings that the cache does not show yet are remembered for a while (`_assumed`), so that room is not given away twice; that and
the needs of pods, which are read once, are the only state.

Pods with gates get kube-scheduler's condition here, should the API server not have set it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Bind, Chain, Command, Emit, Patch, PatchType
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.kinds import NODE, POD
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.kubelet import NODE_PODS, node_pods_index
from pykueue.emulation.pod_scheduler.fit import NodeRoom, affinity_fault, has_anti_affinity, node_faults, room_of
from pykueue.emulation.pod_scheduler.needs import Needs, needs_of
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "default-scheduler"
GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"
WAITING = "pod-scheduling"
"""Index of pods the scheduler has something to do for: `pending`, or `gated` without the condition."""
_KEY = ObjectKey("", "queue")
_BATCH_US = 5_000
_ASSUMED_US = 2 * SECOND_US
_ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class _Pass:
    """One pass: rooms by node name, and shapes that fit nowhere with what is told of them."""

    rooms: list[NodeRoom]
    hopeless: dict[str, str]
    has_anti_affinity: bool


class PodScheduler:
    """Binds pods."""

    name = "pod-scheduler"

    def __init__(self) -> None:
        """A scheduler that has seen nothing."""
        self._needs: dict[str, tuple[Obj, Needs]] = {}
        self._assumed: dict[str, tuple[str, Instant]] = {}

    def watches(self) -> Sequence[Watch]:
        """Pods that wait or make room, and nodes: all wake the queue."""
        return (Watch(POD, self._pod_wakes, _BATCH_US), Watch(NODE, _node_wakes, _BATCH_US))

    def indexes(self) -> Sequence[Index]:
        """Pods that wait, pods by node."""
        return (Index(POD, WAITING, _waiting), node_pods_index())

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        del key
        commands: list[Command] = [
            _condition(pod, "SchedulingGated", GATED_MESSAGE, now) for pod in reader.by_index(POD, WAITING, "gated")
        ]
        pending = self._queue(reader, now)
        if not pending:
            return Result(parts.together(commands)) if commands else DONE
        state = self._begin(reader, pending)
        for pod in pending:
            commands += self._schedule(state, pod, now)
        wake_us = _ASSUMED_US if self._assumed else None
        return Result(parts.together(commands), wake_us)

    def _queue(self, reader: Reader, now: Instant) -> list[Obj]:
        """Pods to place, in order; assumptions that were not borne out are dropped."""
        pending = reader.by_index(POD, WAITING, "pending")
        uids = {objects.uid(pod): None for pod in pending}
        self._assumed = {
            uid: (node, at) for uid, (node, at) in self._assumed.items() if uid in uids and now - at < _ASSUMED_US
        }
        todo = [pod for pod in pending if objects.uid(pod) not in self._assumed]
        return sorted(todo, key=lambda pod: (-_priority(pod), objects.created_at(pod), objects.key(pod)))

    def _begin(self, reader: Reader, pending: Sequence[Obj]) -> _Pass:
        """Nodes with what is bound to them, and with what is about to be."""
        rooms = [room_of(node) for node in reader.list(NODE) if not objects.is_deleting(node)]
        asks = any(self._of(pod).affinity or self._of(pod).anti_affinity for pod in pending)
        repels = False
        by_name = {room.name: room for room in rooms}
        for room in rooms:
            for pod in reader.by_index(POD, NODE_PODS, room.name):
                if parts.phase(pod) not in _ENDED:
                    room.take(self._of(pod).requests)
                    repels = repels or has_anti_affinity(pod)
                    room.pods.append(pod)
        if self._assumed:
            for pod in reader.by_index(POD, WAITING, "pending"):
                node, _ = self._assumed.get(objects.uid(pod), ("", 0))
                if node in by_name:
                    by_name[node].take(self._of(pod).requests)
                    by_name[node].pods.append(pod)
        return _Pass(rooms, {}, asks or repels)

    def _schedule(self, state: _Pass, pod: Obj, now: Instant) -> list[Command]:
        needs = self._of(pod)
        if needs.shape in state.hopeless:
            return _unschedulable(pod, state.hopeless[needs.shape], now)
        best: NodeRoom | None = None
        best_share = 0.0
        faults: Counter[str] = Counter()
        for room in state.rooms:
            found = node_faults(needs, room)
            if not found and state.has_anti_affinity:
                fault = affinity_fault(pod, needs, room, state.rooms)
                found = [fault] if fault else []
            if found:
                faults.update(found)
                continue
            share = room.free_share(needs.requests)
            if best is None or share > best_share:
                best, best_share = room, share
        if best is None:
            message = _no_node(len(state.rooms), faults)
            state.hopeless[needs.shape] = message
            return _unschedulable(pod, message, now)
        best.take(needs.requests)
        best.pods.append(pod)
        if needs.affinity or needs.anti_affinity:
            # Whoever did not fit before may follow this pod, or must now stay away.
            state.hopeless.clear()
            state.has_anti_affinity = True
        self._assumed[objects.uid(pod)] = (best.name, now)
        note = f"Successfully assigned {objects.key(pod)} to {best.name}"
        said = Emit(POD, pod, "Normal", "Scheduled", note, REPORTER)
        return [Chain((Bind(objects.key(pod), best.name), said))]

    def _of(self, pod: Obj) -> Needs:
        """A pod's needs, read once as long as its spec is the same."""
        known = self._needs.get(objects.uid(pod))
        spec = pod.get("spec") or {}
        if known is not None and (known[0] is spec or _same_needs(known[0], spec)):
            return known[1]
        found = needs_of(pod)
        self._needs[objects.uid(pod)] = (spec, found)
        return found

    def _pod_wakes(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        if event.change is Change.DELETED:
            self._needs.pop(objects.uid(event.new), None)
        frees = get_path(event.old, "spec", "nodeName") and (
            event.change is Change.DELETED or parts.phase(event.new) in _ENDED
        )
        return (_KEY,) if frees or (event.change is not Change.DELETED and any(_waiting(event.new))) else ()


def _node_wakes(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """A node that only tells that it is alive changes nothing."""
    del reader
    old, new = event.old, event.new
    if old is not None and event.change is Change.MODIFIED:
        same = (
            old.get("spec") == new.get("spec")
            and objects.labels(old) == objects.labels(new)
            and get_path(old, "status", "allocatable") == get_path(new, "status", "allocatable")
        )
        return () if same else (_KEY,)
    return (_KEY,)


def _waiting(pod: Obj) -> Iterable[str]:
    spec = pod.get("spec") or {}
    if spec.get("nodeName") or objects.is_deleting(pod) or parts.phase(pod) in _ENDED:
        return ()
    if (spec.get("schedulerName") or REPORTER) != REPORTER:
        return ()
    if not spec.get("schedulingGates"):
        return ("pending",)
    told = objects.condition(pod, "PodScheduled")
    return () if told is not None and told.get("reason") == "SchedulingGated" else ("gated",)


def _same_needs(old: Obj, new: Obj) -> bool:
    """What may change of a pod before it is bound: Kueue adds selectors and tolerations when it ungates."""
    fields = ("nodeSelector", "affinity", "tolerations", "containers", "initContainers", "overhead", "resources")
    return all(old.get(f) == new.get(f) for f in fields)


def _priority(pod: Obj) -> int:
    return int(get_path(pod, "spec", "priority") or 0)


def _no_node(n_nodes: int, faults: Counter[str]) -> str:
    if n_nodes == 0:
        return "no nodes available to schedule pods"
    told = ", ".join(sorted(f"{n} {fault}" for fault, n in faults.items()))
    return f"0/{n_nodes} nodes are available: {told}."


def _unschedulable(pod: Obj, message: str, now: Instant) -> list[Command]:
    told = objects.condition(pod, "PodScheduled") or {}
    if (told.get("reason"), told.get("message")) == ("Unschedulable", message):
        return []
    said = Emit(POD, pod, "Warning", "FailedScheduling", message, REPORTER)
    return [Chain((_condition(pod, "Unschedulable", message, now), said))]


def _condition(pod: Obj, reason: str, message: str, now: Instant) -> Patch:
    told = objects.condition(pod, "PodScheduled") or {}
    stamp = told.get("lastTransitionTime") if told.get("status") == "False" else None
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": stamp or format_time(now),
    }
    body = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [condition]}}
    return Patch(POD, objects.key(pod), body, PatchType.STRATEGIC, "status", missing_ok=True)
