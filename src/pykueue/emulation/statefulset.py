"""The StatefulSet controller: pods with identities, made in order or side by side, replaced from the highest ordinal down.

Every pass looks at the revision (`revisions.py`), at the pods the set controls, and does what is due: missing pods are made,
ended ones replaced, surplus ones deleted, and with `RollingUpdate` old ones replaced within `maxUnavailable` and not below `partition`.
Claims of `volumeClaimTemplates` are made and mounted, but `persistentVolumeClaimRetentionPolicy` is not acted upon: claims stay, as
with the policy's default. Pods that merely match the selector are not adopted.

Neighbours: `leaderworkerset/` makes StatefulSets; `garbage_collector.py` removes the pods of a deleted set.
Source: leaderworkerset.md B8; Kubernetes' documentation of StatefulSets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Emit
from pykueue.api.instant import Instant
from pykueue.api.kinds import CONTROLLER_REVISION, POD, STATEFUL_SET, Kind
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.revisions import Revision, next_revision, surplus_revisions
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "statefulset-controller"
REVISION_LABEL = "controller-revision-hash"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
_BATCH_US = 2_000
_ORDINAL = re.compile(r"(.*)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class _Set:
    """A StatefulSet under reconciliation.

    Attributes:
        obj: the set.
        pods: by ordinal.
        current: revision of the pods below the partition.
        update: revision of the template.
    """

    obj: Obj
    pods: Mapping[int, Obj]
    current: Revision
    update: Revision
    now: Instant

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.obj["spec"]  # type: ignore[no-any-return]

    @property
    def ordinals(self) -> range:
        start = get_path(self.spec, "ordinals", "start") or 0
        replicas = self.spec.get("replicas")
        return range(start, start + (1 if replicas is None else replicas))

    @property
    def is_parallel(self) -> bool:
        return self.spec.get("podManagementPolicy") == "Parallel"

    @property
    def rolls(self) -> bool:
        return (get_path(self.spec, "updateStrategy", "type") or "RollingUpdate") == "RollingUpdate"

    @property
    def partition(self) -> int:
        """First ordinal that is updated."""
        return self.ordinals.start + (get_path(self.spec, "updateStrategy", "rollingUpdate", "partition") or 0)

    @property
    def min_ready_s(self) -> int:
        return self.spec.get("minReadySeconds") or 0

    def is_available(self, pod: Obj | None) -> bool:
        return (
            pod is not None and not objects.is_deleting(pod) and parts.is_pod_available(pod, self.min_ready_s, self.now)
        )

    def revision_of_new(self, ordinal: int) -> Revision:
        return self.current if self.rolls and ordinal < self.partition else self.update


class StatefulSetController:
    """Reconciles StatefulSets."""

    name = REPORTER

    def watches(self) -> Sequence[Watch]:
        """Sets, and pods by their controller, in small batches."""
        return (parts.own_watch(STATEFUL_SET), parts.owned_watch(POD, STATEFUL_SET, _BATCH_US))

    def indexes(self) -> Sequence[Index]:
        """Pods and revisions by owner."""
        return (parts.owned_index(POD), parts.owned_index(CONTROLLER_REVISION))

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        obj = reader.get(STATEFUL_SET, *key)
        if obj is None or objects.is_deleting(obj):
            return DONE
        data = {"spec": {"template": {**obj["spec"]["template"], "$patch": "replace"}}}
        prefix = {REVISION_LABEL: ""}
        revision, writes, known = next_revision(reader, STATEFUL_SET, obj, data, prefix)
        named = str(get_path(obj, "status", "currentRevision") or "")
        current = next((r for r in known if r.name == named), revision)
        pods = {o: pod for pod in parts.owned(reader, POD, obj) if (o := ordinal(obj, pod)) is not None}
        state = _Set(obj, pods, current, revision, now)
        limit = obj["spec"].get("revisionHistoryLimit")
        live = {current.name, revision.name, *(objects.labels(p).get(REVISION_LABEL, "") for p in pods.values())}
        surplus = surplus_revisions(known, live, 10 if limit is None else limit)
        commands = (*writes, *_manage(state), *_status(state), *surplus)
        return Result(commands, parts.wake_for_availability(pods.values(), state.min_ready_s, now))


def ordinal(owner: Obj, pod: Obj) -> int | None:
    """The pod's ordinal; None for a pod that is not named after the set."""
    match = _ORDINAL.fullmatch(objects.name(pod))
    return int(match.group(2)) if match and match.group(1) == objects.name(owner) else None


def _manage(state: _Set) -> tuple[Command, ...]:
    """Deletions and creations that are due; in order, with ordered management, at most one pod is waited for."""
    steps = list(_replicas(state))
    if steps and not state.is_parallel:
        return steps[0]
    blocked = not state.is_parallel and any(not _is_settled(state, state.pods.get(o)) for o in state.ordinals)
    if not blocked:
        steps += _condemned(state)
        if not steps or state.is_parallel:
            steps += _updates(state)
    return parts.side_by_side(steps)


def _is_settled(state: _Set, pod: Obj | None) -> bool:
    return state.is_available(pod)


def _replicas(state: _Set) -> Iterator[tuple[Command, ...]]:
    """What the wanted ordinals lack. An ordered set looks no further than the first that is not available."""
    for index in state.ordinals:
        pod = state.pods.get(index)
        if pod is None:
            yield _creation(state, index)
        elif parts.is_pod_finished(pod) and not objects.is_deleting(pod):
            failed = parts.phase(pod) == "Failed"
            reason, what = ("RecreatingFailedPod", "failed") if failed else ("RecreatingTerminatedPod", "terminated")
            note = f"StatefulSet {objects.key(state.obj)} is recreating {what} Pod {objects.name(pod)}"
            kind = "Warning" if failed else "Normal"
            yield (
                Emit(STATEFUL_SET, state.obj, kind, reason, note, REPORTER),
                Delete(POD, objects.key(pod), objects.uid(pod)),
            )
        if not state.is_parallel and not _is_settled(state, pod):
            return


def _condemned(state: _Set) -> list[tuple[Command, ...]]:
    """Surplus pods, the highest first; one at a time in an ordered set."""
    surplus = sorted((o for o in state.pods if o not in state.ordinals), reverse=True)
    going = [o for o in surplus if objects.is_deleting(state.pods[o])]
    if not state.is_parallel and (going or not surplus):
        return []
    chosen = surplus if state.is_parallel else surplus[:1]
    return [_deletion(state, state.pods[o]) for o in chosen if not objects.is_deleting(state.pods[o])]


def _updates(state: _Set) -> list[tuple[Command, ...]]:
    """Old pods from the partition up that may go now: the highest first, while fewer than maxUnavailable are missing."""
    if not state.rolls:
        return []
    wanted = get_path(state.spec, "updateStrategy", "rollingUpdate", "maxUnavailable")
    n_max = max(1, parts.scaled(1 if wanted is None else wanted, len(state.ordinals), up=False))
    n_missing = sum(not state.is_available(state.pods.get(o)) for o in state.ordinals)
    steps: list[tuple[Command, ...]] = []
    for index in reversed(state.ordinals):
        pod = state.pods.get(index)
        if index < state.partition or n_missing + len(steps) >= n_max:
            break
        old = pod is not None and objects.labels(pod).get(REVISION_LABEL) != state.update.name
        if pod is not None and old and not objects.is_deleting(pod):
            steps.append(_deletion(state, pod))
        elif not state.is_parallel and not state.is_available(pod):
            break
    return steps


def _creation(state: _Set, index: int) -> tuple[Command, ...]:
    owner, revision = state.obj, state.revision_of_new(index)
    name = f"{objects.name(owner)}-{index}"
    template = get_path(revision.data, "spec", "template") or {}
    pod = parts.pod_from_template(template, STATEFUL_SET, owner, name=name, generate_name=f"{objects.name(owner)}-")
    own = {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(index), REVISION_LABEL: revision.name}
    pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), **own}
    pod["spec"] |= {"hostname": name}
    if service := state.spec.get("serviceName"):
        pod["spec"]["subdomain"] = service
    claims = [_claim(owner, claim, name) for claim in state.spec.get("volumeClaimTemplates") or ()]
    if claims:
        names = {
            objects.name(t): objects.name(c) for t, c in zip(state.spec["volumeClaimTemplates"], claims, strict=True)
        }
        volumes = [v for v in pod["spec"].get("volumes") or () if v.get("name") not in names]
        mounted = [{"name": v, "persistentVolumeClaim": {"claimName": c}} for v, c in names.items()]
        pod["spec"]["volumes"] = [*volumes, *mounted]
    said = f"create Pod {name} in StatefulSet {objects.name(owner)} successful"
    refused = f"create Pod {name} in StatefulSet {objects.name(owner)} failed error: "
    return (
        *(Create(PERSISTENT_VOLUME_CLAIM, claim, exists_ok=True) for claim in claims),
        Create(POD, pod, refused=Emit(STATEFUL_SET, owner, "Warning", "FailedCreate", refused, REPORTER)),
        Emit(STATEFUL_SET, owner, "Normal", "SuccessfulCreate", said, REPORTER),
    )


def _claim(owner: Obj, template: Obj, pod: str) -> dict[str, Any]:
    meta = {
        "name": f"{objects.name(template)}-{pod}",
        "namespace": objects.namespace(owner),
        "labels": {**objects.labels(template), **(get_path(owner, "spec", "selector", "matchLabels") or {})},
        "annotations": dict(objects.annotations(template)),
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {k: v for k, v in meta.items() if v},
        "spec": template.get("spec") or {},
    }


def _deletion(state: _Set, pod: Obj) -> tuple[Command, ...]:
    said = f"delete Pod {objects.name(pod)} in StatefulSet {objects.name(state.obj)} successful"
    return (
        Delete(POD, objects.key(pod), objects.uid(pod)),
        Emit(STATEFUL_SET, state.obj, "Normal", "SuccessfulDelete", said, REPORTER),
    )


def _status(state: _Set) -> tuple[Command, ...]:
    """The counts of the pods that exist, and the revisions they are at."""
    pods = list(state.pods.values())
    stay = [p for p in pods if not objects.is_deleting(p)]
    n_ready = sum(map(parts.is_pod_ready, pods))
    n_available = sum(parts.is_pod_available(p, state.min_ready_s, state.now) for p in pods)
    at = [objects.labels(p).get(REVISION_LABEL) for p in stay]
    n_updated, n_current, current = at.count(state.update.name), at.count(state.current.name), state.current.name
    n_wanted = len(state.ordinals)
    if n_updated == n_wanted == len(pods) == n_ready and state.rolls:
        n_current, current = n_updated, state.update.name
    wanted = {
        "observedGeneration": objects.generation(state.obj),
        "replicas": len(pods),
        "readyReplicas": n_ready or None,
        "availableReplicas": n_available,
        "currentReplicas": n_current or None,
        "updatedReplicas": n_updated or None,
        "currentRevision": current,
        "updateRevision": state.update.name,
        "collisionCount": get_path(state.obj, "status", "collisionCount") or 0,
    }
    return parts.status_patch(STATEFUL_SET, state.obj, wanted)
