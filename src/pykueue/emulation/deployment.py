"""The Deployment controller: one ReplicaSet per template, scaled against each other during a rollout.

A ReplicaSet belongs to a template by content (its labels' `pod-template-hash` aside) and is named after the hash. `RollingUpdate` keeps
the number of pods within `replicas + maxSurge`, and that of available ones above `replicas - maxUnavailable`; `Recreate` waits for all
old pods to end. A paused Deployment is scaled but not rolled out. When several ReplicaSets have pods and the Deployment is resized,
the new one takes the difference (Kubernetes spreads it in proportion).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Emit, Patch
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.kinds import DEPLOYMENT, POD, REPLICA_SET
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.replicaset import wanted_replicas
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "deployment-controller"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
_DEADLINE_S = 600
_NO_DEADLINE_S = 2_147_483_647


@dataclass(frozen=True, slots=True)
class _Rollout:
    """A Deployment with its ReplicaSets.

    Attributes:
        obj: the Deployment.
        new: the ReplicaSet of the present template, if it is there.
        old: the others, oldest first.
        n_max: pods at most, with the surge.
        n_available_min: available pods at least.
    """

    obj: Obj
    new: Obj | None
    old: Sequence[Obj]
    n_max: int
    n_available_min: int

    @property
    def every(self) -> list[Obj]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    @property
    def replicas(self) -> int:
        return wanted_replicas(self.obj)

    def total(self, *path: str) -> int:
        return sum(get_path(one, *path) or 0 for one in self.every)


class DeploymentController:
    """Reconciles Deployments."""

    name = REPORTER

    def watches(self) -> Sequence[Watch]:
        """Deployments and their ReplicaSets."""
        return (parts.own_watch(DEPLOYMENT), parts.owned_watch(REPLICA_SET, DEPLOYMENT))

    def indexes(self) -> Sequence[Index]:
        """ReplicaSets and pods by owner."""
        return (parts.owned_index(REPLICA_SET), parts.owned_index(POD))

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        obj = reader.get(DEPLOYMENT, *key)
        if obj is None or objects.is_deleting(obj):
            return DONE
        state = _observe(reader, obj)
        commands: list[Command] = []
        if obj["spec"].get("paused"):
            if state.new is not None:
                commands += _scale(state, state.new, max(0, state.replicas - sum(map(wanted_replicas, state.old))))
        elif get_path(obj, "spec", "strategy", "type") == "Recreate":
            commands += _recreate(reader, state)
        else:
            commands += _roll(state)
        commands += _revision_annotation(state)
        commands += _cleanup(state)
        status, wake_us = _status(state, now)
        return Result((*commands, *status), wake_us)


def template_hash(obj: Obj) -> str:
    """The hash that names the ReplicaSet of a Deployment's template."""
    collisions = get_path(obj, "status", "collisionCount") or 0
    return parts.content_hash(obj["spec"]["template"], salt=str(collisions or ""))


def _observe(reader: Reader, obj: Obj) -> _Rollout:
    owned = sorted(parts.owned(reader, REPLICA_SET, obj), key=lambda rs: (objects.created_at(rs), objects.name(rs)))
    wanted = _bare(obj["spec"]["template"])
    new = next((rs for rs in owned if _bare(rs["spec"]["template"]) == wanted), None)
    replicas = wanted_replicas(obj)
    rolling = get_path(obj, "spec", "strategy", "rollingUpdate")
    surge = unavailable = 0
    if get_path(obj, "spec", "strategy", "type") != "Recreate":
        rolling = rolling or {}
        surge = parts.scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
        unavailable = parts.scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
        if surge == 0 and unavailable == 0:
            unavailable = 1
    return _Rollout(obj, new, [rs for rs in owned if rs is not new], replicas + surge, replicas - unavailable)


def _bare(template: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = template.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH_LABEL}
    return {**template, "metadata": {k: v for k, v in {**meta, "labels": labels}.items() if v}}


def _roll(state: _Rollout) -> Iterator[Command]:
    """One step of a rolling update: grow the new as far as the surge allows, else shrink the old as far as availability allows."""
    if state.new is None:
        yield from _create(state, min(state.replicas, max(0, state.n_max - sum(map(wanted_replicas, state.old)))))
        return
    n_new, n_total = wanted_replicas(state.new), sum(map(wanted_replicas, state.every))
    if n_new > state.replicas:
        yield from _scale(state, state.new, state.replicas)
        return
    if n_new < state.replicas and n_total < state.n_max:
        yield from _scale(state, state.new, n_new + min(state.n_max - n_total, state.replicas - n_new))
        return
    yield from _annotated(state, state.new)
    new_unavailable = n_new - (get_path(state.new, "status", "availableReplicas") or 0)
    n_removable = n_total - state.n_available_min - new_unavailable
    for old in state.old:
        n_old = wanted_replicas(old)
        n_unhealthy = n_old - (get_path(old, "status", "availableReplicas") or 0)
        n_down = min(n_removable, n_unhealthy)
        if n_old and n_down > 0:
            yield from _scale(state, old, n_old - n_down)
            return
    n_free = state.total("status", "availableReplicas") - state.n_available_min
    for old in state.old:
        n_down = min(n_free, wanted_replicas(old))
        if n_down > 0:
            yield from _scale(state, old, wanted_replicas(old) - n_down)
            return


def _recreate(reader: Reader, state: _Rollout) -> Iterator[Command]:
    """All old pods end before the first new one begins."""
    growing = [old for old in state.old if wanted_replicas(old)]
    for old in growing:
        yield from _scale(state, old, 0)
    pods = [pod for old in state.old for pod in parts.owned(reader, POD, old)]
    if growing or any(not parts.is_pod_finished(pod) for pod in pods):
        return
    if state.new is None:
        yield from _create(state, state.replicas)
    elif wanted_replicas(state.new) != state.replicas:
        yield from _scale(state, state.new, state.replicas)
    else:
        yield from _annotated(state, state.new)


def _create(state: _Rollout, replicas: int) -> Iterator[Command]:
    obj, spec = state.obj, state.obj["spec"]
    hash_ = template_hash(obj)
    name = f"{objects.name(obj)}-{hash_}"
    template = spec["template"]
    labels = {**(get_path(template, "metadata", "labels") or {}), HASH_LABEL: hash_}
    meta = {
        "name": name,
        "namespace": objects.namespace(obj),
        "labels": labels,
        "annotations": {**_carried(obj), **_counts(state), REVISION: str(_last_revision(state) + 1)},
        "ownerReferences": [objects.make_owner_reference(DEPLOYMENT, obj, controller=True)],
    }
    selector = spec.get("selector") or {}
    new_spec = {
        "replicas": replicas,
        "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: hash_}},
        "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        new_spec["minReadySeconds"] = spec["minReadySeconds"]
    yield Create(REPLICA_SET, {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": new_spec})
    if replicas:
        note = f"Scaled up replica set {name} from 0 to {replicas}"
        yield Emit(DEPLOYMENT, obj, "Normal", "ScalingReplicaSet", note, REPORTER)


def _scale(state: _Rollout, replica_set: Obj, replicas: int) -> Iterator[Command]:
    before = wanted_replicas(replica_set)
    if before == replicas:
        yield from _annotated(state, replica_set)
        return
    meta = {"uid": objects.uid(replica_set), "annotations": _counts(state)}
    yield Patch(REPLICA_SET, objects.key(replica_set), {"metadata": meta, "spec": {"replicas": replicas}})
    way = "up" if replicas > before else "down"
    note = f"Scaled {way} replica set {objects.name(replica_set)} from {before} to {replicas}"
    yield Emit(DEPLOYMENT, state.obj, "Normal", "ScalingReplicaSet", note, REPORTER)


def _annotated(state: _Rollout, replica_set: Obj) -> Iterator[Command]:
    """Kubernetes writes the wanted counts on ReplicaSets that have pods."""
    has = objects.annotations(replica_set)
    missing = {k: v for k, v in _counts(state).items() if has.get(k) != v}
    if missing and wanted_replicas(replica_set):
        yield Patch(REPLICA_SET, objects.key(replica_set), {"metadata": {"annotations": missing}})


def _counts(state: _Rollout) -> dict[str, str]:
    return {DESIRED: str(state.replicas), MAX: str(state.n_max)}


def _carried(obj: Obj) -> dict[str, str]:
    own = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, DESIRED, MAX)
    return {k: v for k, v in objects.annotations(obj).items() if k not in own}


def _revision(obj: Obj | None) -> int:
    text = objects.annotations(obj).get(REVISION, "0") if obj is not None else "0"
    return int(text) if text.isdigit() else 0


def _last_revision(state: _Rollout) -> int:
    return max((_revision(rs) for rs in state.every), default=0)


def _revision_annotation(state: _Rollout) -> Iterator[Command]:
    """A ReplicaSet that is new again takes the next revision; the Deployment tells that of its new one."""
    if state.new is None:
        return
    number = _revision(state.new)
    newest_old = max((_revision(rs) for rs in state.old), default=0)
    if number <= newest_old:
        number = newest_old + 1
        yield Patch(REPLICA_SET, objects.key(state.new), {"metadata": {"annotations": {REVISION: str(number)}}})
    if _revision(state.obj) != number:
        yield Patch(DEPLOYMENT, objects.key(state.obj), {"metadata": {"annotations": {REVISION: str(number)}}})


def _cleanup(state: _Rollout) -> Iterator[Command]:
    """Old ReplicaSets without pods beyond the history limit go once the rollout is complete."""
    limit = state.obj["spec"].get("revisionHistoryLimit")
    if not _is_complete(state):
        return
    idle = [
        rs
        for rs in state.old
        if not wanted_replicas(rs) and not get_path(rs, "status", "replicas") and not objects.is_deleting(rs)
    ]
    for rs in sorted(idle, key=_revision)[: max(0, len(idle) - (10 if limit is None else limit))]:
        yield Delete(REPLICA_SET, objects.key(rs), objects.uid(rs))


def _is_complete(state: _Rollout) -> bool:
    status = (state.new or {}).get("status") or {}
    return (
        state.new is not None
        and state.replicas == (status.get("replicas") or 0) == (status.get("availableReplicas") or 0)
        and state.total("status", "replicas") == state.replicas
        and get_path(state.new, "status", "observedGeneration") == objects.generation(state.new)
    )


def _status(state: _Rollout, now: Instant) -> tuple[tuple[Command, ...], int | None]:
    n_replicas, n_available = state.total("status", "replicas"), state.total("status", "availableReplicas")
    conditions = get_path(state.obj, "status", "conditions") or ()
    stamp = format_time(now)
    available = n_available >= state.n_available_min
    conditions = parts.set_condition(
        conditions, "Available", str(available),
        reason="MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if available else 'does not have'} minimum availability.",
        now=now, lastUpdateTime=stamp,
    )  # fmt: skip
    progress, wake_us = _progress(state, conditions, now)
    if progress is not None:
        status, reason, message = progress
        conditions = parts.set_condition(
            conditions, "Progressing", status, reason=reason, message=message, now=now, lastUpdateTime=stamp
        )
    wanted = {
        "observedGeneration": objects.generation(state.obj),
        "replicas": n_replicas or None,
        "updatedReplicas": get_path(state.new, "status", "replicas") or None,
        "readyReplicas": state.total("status", "readyReplicas") or None,
        "availableReplicas": n_available or None,
        "unavailableReplicas": max(0, sum(map(wanted_replicas, state.every)) - n_available) or None,
        "terminatingReplicas": state.total("status", "terminatingReplicas"),
        "conditions": conditions,
    }
    return parts.status_patch(DEPLOYMENT, state.obj, wanted), wake_us


def _progress(
    state: _Rollout, conditions: Sequence[Mapping[str, Any]], now: Instant
) -> tuple[tuple[str, str, str] | None, int | None]:
    """The Progressing condition, and when its deadline ends."""
    deadline_s = state.obj["spec"].get("progressDeadlineSeconds")
    deadline_s = _DEADLINE_S if deadline_s is None else deadline_s
    told = next((c for c in conditions if c.get("type") == "Progressing"), None)
    name = objects.name(state.new) if state.new is not None else f"{objects.name(state.obj)}-{template_hash(state.obj)}"
    if _is_complete(state):
        return ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'), None
    if told is None or state.new is None:
        return ("True", "NewReplicaSetCreated", f'Created new replica set "{name}"'), None
    before = state.obj.get("status") or {}
    moved = any(
        (get_path(state.new, "status", mine) or 0) != (before.get(its) or 0)
        for mine, its in (("replicas", "updatedReplicas"),)
    ) or any(state.total("status", f) > (before.get(f) or 0) for f in ("readyReplicas", "availableReplicas"))
    if moved or (
        told.get("reason") == "NewReplicaSetAvailable"
        and state.obj.get("status", {}).get("observedGeneration") != objects.generation(state.obj)
    ):
        return ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.'), None
    if deadline_s >= _NO_DEADLINE_S or told.get("reason") in {"NewReplicaSetAvailable", "ProgressDeadlineExceeded"}:
        return None, None
    since = parse_time(told.get("lastUpdateTime") or told.get("lastTransitionTime") or format_time(now))
    left_us = since + deadline_s * SECOND_US - now
    if left_us > 0:
        return None, left_us
    return ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.'), None
