"""The ReplicaSet controller: so many pods of a template, no matter which.

Surplus pods go in the order of Kubernetes: those without a node first, then pending, then not ready, then the youngest. Names of new
pods are derived from the set, the time and a number, where Kubernetes draws lots. Pods that merely match the selector are not adopted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Emit
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, REPLICA_SET, Kind
from pykueue.api.objects import Obj, ObjectKey, get_path, matches_labels
from pykueue.emulation import parts
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "replicaset-controller"
BURST = 500
_BATCH_US = 2_000
_SUFFIX_CHARACTERS = 5


class ReplicaSetController:
    """Reconciles ReplicaSets."""

    name = REPORTER

    def watches(self) -> Sequence[Watch]:
        """Sets, and pods by their controller."""
        return (parts.own_watch(REPLICA_SET), parts.owned_watch(POD, REPLICA_SET, _BATCH_US))

    def indexes(self) -> Sequence[Index]:
        """Pods by owner."""
        return (parts.owned_index(POD),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        obj = reader.get(REPLICA_SET, *key)
        if obj is None:
            return DONE
        pods = parts.owned(reader, POD, obj)
        active = [p for p in pods if not parts.is_pod_finished(p) and not objects.is_deleting(p)]
        steps = [] if objects.is_deleting(obj) else list(_manage(obj, pods, active, now))
        min_ready_s = obj["spec"].get("minReadySeconds") or 0
        commands = (*parts.side_by_side(steps), *_status(obj, pods, active, now))
        return Result(commands, parts.wake_for_availability(active, min_ready_s, now))


def wanted_replicas(obj: Obj) -> int:
    """`spec.replicas`, 1 if absent."""
    replicas = get_path(obj, "spec", "replicas")
    return 1 if replicas is None else int(replicas)


def fresh_names(prefix: str, owner: Obj, taken: Sequence[Obj], now: Instant) -> Iterator[str]:
    """Names that no pod of the owner has, one after another; others at another time."""
    used = {objects.name(pod) for pod in taken}
    number = 0
    while True:
        name = prefix + parts.content_hash([objects.uid(owner), prefix, now, number])[-_SUFFIX_CHARACTERS:]
        number += 1
        if name not in used:
            used.add(name)
            yield name


def deletion_order(pod: Obj, now: Instant) -> tuple[Any, ...]:
    """Sort key: who goes first when there are too many."""
    ready = parts.is_pod_ready(pod)
    ready_since = objects.condition(pod, "Ready") or {}
    cost = objects.annotations(pod).get("controller.kubernetes.io/pod-deletion-cost", "0")
    return (
        bool(get_path(pod, "spec", "nodeName")),
        {"Pending": 0, "Unknown": 1}.get(parts.phase(pod) or "Pending", 2),
        ready,
        int(cost) if cost.lstrip("+-").isdigit() else 0,
        _reversed(str(ready_since.get("lastTransitionTime") or "")) if ready else (),
        now - objects.created_at(pod),
        objects.key(pod),
    )


def _reversed(text: str) -> tuple[int, ...]:
    """Later times first."""
    return tuple(-ord(character) for character in text)


def _manage(obj: Obj, pods: Sequence[Obj], active: Sequence[Obj], now: Instant) -> Iterator[tuple[Command, ...]]:
    surplus = len(active) - wanted_replicas(obj)
    if surplus > 0:
        for pod in sorted(active, key=lambda p: deletion_order(p, now))[: min(surplus, BURST)]:
            note = f"Deleted pod: {objects.name(pod)}"
            yield (
                Delete(POD, objects.key(pod), objects.uid(pod)),
                Emit(REPLICA_SET, obj, "Normal", "SuccessfulDelete", note, REPORTER),
            )
    elif surplus < 0:
        prefix = f"{objects.name(obj)}-"
        names = fresh_names(prefix, obj, pods, now)
        for _ in range(min(-surplus, BURST)):
            yield pod_creation(REPLICA_SET, obj, next(names), prefix, REPORTER)


def pod_creation(kind: Kind, owner: Obj, name: str, prefix: str, reporter: str) -> tuple[Command, ...]:
    """A pod of the owner's template, and the event that tells of it."""
    pod = parts.pod_from_template(owner["spec"]["template"], kind, owner, name=name, generate_name=prefix)
    note = f"Created pod: {name}"
    refused = Emit(kind, owner, "Warning", "FailedCreate", "Error creating: ", reporter)
    return Create(POD, pod, refused=refused), Emit(kind, owner, "Normal", "SuccessfulCreate", note, reporter)


def _status(obj: Obj, pods: Sequence[Obj], active: Sequence[Obj], now: Instant) -> tuple[Command, ...]:
    template_labels: Mapping[str, str] = get_path(obj, "spec", "template", "metadata", "labels") or {}
    min_ready_s = obj["spec"].get("minReadySeconds") or 0
    labelled = {"matchLabels": template_labels}
    n_terminating = sum(objects.is_deleting(p) and not parts.is_pod_finished(p) for p in pods)
    wanted = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(matches_labels(labelled, objects.labels(p)) for p in active) or None,
        "readyReplicas": sum(map(parts.is_pod_ready, active)) or None,
        "availableReplicas": sum(parts.is_pod_available(p, min_ready_s, now) for p in active) or None,
        "terminatingReplicas": n_terminating,
        "observedGeneration": objects.generation(obj),
    }
    return parts.status_patch(REPLICA_SET, obj, wanted)
