"""The groups' half of the LeaderWorkerSet controller, woken by pods: worker StatefulSets, Services of groups, restarts.

A leader pod gets its worker StatefulSet once; it is never changed, and goes with its leader. A group whose pod is deleted or restarts is
made anew as a whole, by deleting its leader in the foreground.

Source: leaderworkerset.md B3 (worker StatefulSet), B7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Emit
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import CONTROLLER_REVISION, LEADER_WORKER_SET, NODE, POD, SERVICE, STATEFUL_SET
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.leaderworkerset import names
from pykueue.emulation.leaderworkerset.leader_set import group_annotations, group_service
from pykueue.emulation.leaderworkerset.revision import SetRevision, revisions
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

_REVISION_RETRY_US = SECOND_US
_RESTARTING = ("RecreateGroupOnPodRestart", "RecreateGroupAfterStart")


class LeaderWorkerSetPods:
    """Reconciles the pods of LeaderWorkerSets."""

    name = "leaderworkerset-pods"

    def watches(self) -> Sequence[Watch]:
        """Pods of sets; a worker StatefulSet that is gone wakes its leader."""
        return (Watch(POD, _pod), Watch(STATEFUL_SET, _leader_of))

    def indexes(self) -> Sequence[Index]:
        """Revisions by owner, pods by group."""
        return (parts.owned_index(CONTROLLER_REVISION), names.group_pods_index())

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        del now
        pod = reader.get(POD, *key)
        if pod is None:
            return DONE
        lws = reader.get(LEADER_WORKER_SET, key.namespace, objects.labels(pod).get(names.SET_NAME, ""))
        if lws is None or objects.is_deleting(lws):
            return DONE
        handled, commands = _restart(reader, lws, pod)
        if handled or objects.labels(pod).get(names.WORKER_INDEX) != "0" or objects.is_deleting(pod):
            return Result(commands)
        return _make_workers(reader, lws, pod)


def _pod(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    del reader
    is_ours = names.SET_NAME in objects.labels(event.new) and event.change is not Change.DELETED
    return [objects.key(event.new)] if is_ours else []


def _leader_of(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    del reader
    owner = objects.controller_of(event.new)
    is_gone = event.change is Change.DELETED and owner is not None and POD.is_kind_of(owner)
    return [objects.key(event.new)] if is_gone else []


def _restart(reader: Reader, lws: Obj, pod: Obj) -> tuple[bool, tuple[Command, ...]]:
    """Whether the group is being made anew, and what does it."""
    policy = get_path(lws, "spec", "leaderWorkerTemplate", "restartPolicy")
    if policy not in _RESTARTING or not (objects.is_deleting(pod) or _has_restarted(pod)):
        return False, ()
    after_start = policy == "RecreateGroupAfterStart" or names.RECREATE_AFTER_START in objects.annotations(lws)
    if after_start and not _has_started(reader, lws, pod):
        return False, ()
    leader: Obj | None = pod
    if objects.labels(pod).get(names.WORKER_INDEX) != "0":
        leader = _present_leader(reader, pod)
        if leader is None:
            return False, ()
    assert leader is not None
    if objects.is_deleting(leader):
        return True, ()
    group = objects.labels(leader).get(names.GROUP_INDEX, "")
    note = f"Worker pod {objects.name(pod)} failed, deleted leader pod {objects.name(leader)} to recreate group {group}"
    return True, (
        Delete(POD, objects.key(leader), objects.uid(leader), "Foreground"),
        Emit(LEADER_WORKER_SET, lws, "Normal", "RecreateGroup", note, names.REPORTER),
    )


def _has_restarted(pod: Obj) -> bool:
    seen = pod.get("status") or {}
    if seen.get("phase") not in {"Running", "Pending"}:
        return False
    containers = [*(seen.get("initContainerStatuses") or ()), *(seen.get("containerStatuses") or ())]
    return any((c.get("restartCount") or 0) > 0 for c in containers)


def _has_started(reader: Reader, lws: Obj, pod: Obj) -> bool:
    group = objects.labels(pod).get(names.GROUP_INDEX, "")
    value = names.group_value(objects.namespace(pod), objects.name(lws), group)
    pods = reader.by_index(POD, names.GROUP_PODS, value)
    return len(pods) == names.size_of(lws) and all(parts.phase(p) != "Pending" for p in pods)


def _present_leader(reader: Reader, worker: Obj) -> Obj | None:
    """The leader this worker belongs to; None if that one is gone, or is already a successor's."""
    leader_name, _ = names.split_ordinal(objects.name(worker))
    leader = reader.get(POD, objects.namespace(worker), leader_name)
    if leader is None or objects.labels(leader).get(names.REVISION) != objects.labels(worker).get(names.REVISION):
        return None
    workers = reader.get(STATEFUL_SET, objects.namespace(worker), leader_name)
    if workers is None or parts.controller_uid(workers) != objects.uid(leader):
        return None
    return leader if parts.controller_uid(worker) == objects.uid(workers) else None


def _make_workers(reader: Reader, lws: Obj, leader: Obj) -> Result:
    """The worker StatefulSet (and Service) of a leader, once everything it depends on is there."""
    namespace, name = objects.key(leader)
    failed = f"Failed to create worker statefulset for leader pod {name}: "
    refused = Emit(LEADER_WORKER_SET, lws, "Warning", "FailedCreate", failed, names.REPORTER)
    if names.LEADER_NAME in objects.annotations(leader):
        return Result((replace(refused, note=f"{failed}leader pod has annotation {names.LEADER_NAME}"),))
    commands: list[Command] = []
    group = objects.labels(leader).get(names.GROUP_INDEX, "")
    if names.subdomain_policy(lws) == names.UNIQUE_PER_REPLICA and reader.get(SERVICE, namespace, name) is None:
        commands.append(Create(SERVICE, group_service(leader, objects.name(lws), group), exists_ok=True))
    if names.size_of(lws) == 1 or reader.get(STATEFUL_SET, namespace, name) is not None:
        return Result(tuple(commands))
    if get_path(lws, "spec", "startupPolicy") == "LeaderReady" and not parts.is_pod_ready(leader):
        return Result(tuple(commands))
    hash_ = objects.labels(leader).get(names.REVISION, "")
    revision = next((r for r in reversed(revisions(reader, lws)) if r.hash == hash_), None)
    if revision is None:
        return Result(tuple(commands), requeue_after_us=_REVISION_RETRY_US)
    selector: Mapping[str, str] = {}
    if topology := objects.annotations(lws).get(names.EXCLUSIVE_TOPOLOGY):
        node = reader.get(NODE, "", str(get_path(leader, "spec", "nodeName") or ""))
        if node is None:
            return Result(tuple(commands))
        if topology not in objects.labels(node):
            why = f"node {objects.name(node)} has no label {topology}, which {names.EXCLUSIVE_TOPOLOGY} names"
            return Result(tuple(commands), error=f"workers of leader pod {namespace}/{name} are not made: {why}")
        selector = {topology: objects.labels(node)[topology]}
    workers = worker_stateful_set(lws, leader, revision, selector)
    commands.append(Create(STATEFUL_SET, workers, exists_ok=True, refused=refused))
    note = f"Created worker statefulset for leader pod {name}"
    commands.append(Emit(LEADER_WORKER_SET, lws, "Normal", "GroupsProgressing", note, names.REPORTER))
    return Result(tuple(commands))


def worker_stateful_set(lws: Obj, leader: Obj, revision: SetRevision, selector: Mapping[str, str]) -> dict[str, Any]:
    """The worker StatefulSet of a leader pod, of the leader's revision.

    Args:
        lws: the set.
        leader: its pod, with the group's labels.
        revision: the leader's.
        selector: more node labels that workers need, for exclusive placement.
    """
    name, group = objects.name(leader), revision.leader_worker_template
    of_leader = objects.labels(leader)
    identity = {k: of_leader.get(k, "") for k in (names.GROUP_INDEX, names.SET_NAME, names.GROUP_KEY)}
    labels = {**identity, names.REVISION: revision.hash}
    template, size = group.get("workerTemplate") or {}, group.get("size")
    annotations = {**objects.annotations(template), **group_annotations(lws, group), names.LEADER_NAME: name}
    if names.requests_tpus(leader.get("spec") or {}):
        annotations[names.LEADER_REQUESTS_TPUS] = "true"
    pod_spec = dict(template.get("spec") or {})
    if selector:
        pod_spec["nodeSelector"] = {**(pod_spec.get("nodeSelector") or {}), **selector}
    shared = revision.subdomain_policy != names.UNIQUE_PER_REPLICA
    spec: dict[str, Any] = {
        "replicas": (1 if size is None else int(size)) - 1,
        "ordinals": {"start": 1},
        "podManagementPolicy": "Parallel",
        "serviceName": objects.name(lws) if shared else name,
        "selector": {"matchLabels": identity},
        "template": {
            "metadata": {"labels": {**objects.labels(template), **labels}, "annotations": annotations},
            "spec": pod_spec,
        },
    }
    for field in ("volumeClaimTemplates", "persistentVolumeClaimRetentionPolicy"):
        if group.get(field):
            spec[field] = group[field]
    meta = {
        "name": name,
        "namespace": objects.namespace(leader),
        "labels": {**objects.labels(lws), **labels},
        "annotations": dict(objects.annotations(lws)),
        "ownerReferences": [objects.make_owner_reference(POD, leader, controller=True)],
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}
