"""The objects made for a whole set: the leader StatefulSet and the shared Service (spec: leaderworkerset.md B3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykueue.api import objects
from pykueue.api.kinds import LEADER_WORKER_SET, POD, SERVICE, Kind
from pykueue.api.objects import Obj
from pykueue.emulation.leaderworkerset import names
from pykueue.emulation.leaderworkerset.revision import SetRevision
from pykueue.emulation.leaderworkerset.rollout import Pace, Rollout


def leader_stateful_set(lws: Obj, revision: SetRevision, rollout: Rollout, pace: Pace) -> dict[str, Any]:
    """The leader StatefulSet as it should be, for server-side apply."""
    name, template = objects.name(lws), lws["spec"]["leaderWorkerTemplate"]
    unavailable = pace.max_unavailable + min(pace.max_surge, pace.replicas)
    spec: dict[str, Any] = {
        "replicas": rollout.replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {names.SET_NAME: name, names.WORKER_INDEX: "0"}},
        "template": _leader_template(lws, revision),
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": max(1, unavailable), "partition": rollout.partition},
        },
    }
    for field in ("volumeClaimTemplates", "persistentVolumeClaimRetentionPolicy"):
        if template.get(field):
            spec[field] = template[field]
    meta = {
        "name": name,
        "namespace": objects.namespace(lws),
        "labels": {**objects.labels(lws), names.SET_NAME: name, names.REVISION: revision.hash},
        "annotations": {**_carried(lws), names.REPLICAS: str(pace.replicas)},
        "ownerReferences": [objects.make_owner_reference(LEADER_WORKER_SET, lws, controller=True)],
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


def differs(wanted: Obj, stored: Obj) -> bool:
    """Whether an apply would change something: wanted content that is not there, or labels and annotations to be taken back."""
    if not _contained(wanted, stored):
        return True
    applied = next(
        (m for m in objects.metadata(stored).get("managedFields") or () if m.get("manager") == names.FIELD_MANAGER),
        None,
    )
    if applied is None:
        return False
    for path in (("metadata",), ("spec", "template", "metadata")):
        for field in ("labels", "annotations"):
            owned = objects.get_path(applied.get("fieldsV1"), *(f"f:{p}" for p in path), f"f:{field}") or {}
            present = objects.get_path(wanted, *path, field) or {}
            if any(key != "." and key.removeprefix("f:") not in present for key in owned):
                return True
    return False


def headless_service(owner_kind: Kind, owner: Obj, selector: Mapping[str, str]) -> dict[str, Any]:
    """The Service that gives pods their names in DNS; named after its owner, a set or a leader pod."""
    meta = {
        "name": objects.name(owner),
        "namespace": objects.namespace(owner),
        "labels": {names.SET_NAME: selector[names.SET_NAME]},
        "ownerReferences": [objects.make_owner_reference(owner_kind, owner, controller=True)],
    }
    spec = {"clusterIP": "None", "selector": dict(selector), "publishNotReadyAddresses": True}
    return {"apiVersion": "v1", "kind": SERVICE.kind, "metadata": meta, "spec": spec}


def shared_service(lws: Obj) -> dict[str, Any]:
    """The one Service of a set with the `Shared` sub-domain policy."""
    return headless_service(LEADER_WORKER_SET, lws, {names.SET_NAME: objects.name(lws)})


def group_service(leader: Obj, set_name: str, group_index: str) -> dict[str, Any]:
    """The Service of one group, with the `UniquePerReplica` policy."""
    return headless_service(POD, leader, {names.SET_NAME: set_name, names.GROUP_INDEX: group_index})


def group_annotations(lws: Obj, template: Mapping[str, Any]) -> dict[str, str]:
    """Annotations that every pod of a group gets from its set; `template` is a `leaderWorkerTemplate`."""
    of_set = objects.annotations(lws)
    size = template.get("size")
    found = {names.SIZE: str(1 if size is None else size)}
    if names.EXCLUSIVE_TOPOLOGY in of_set:
        found[names.EXCLUSIVE_TOPOLOGY] = of_set[names.EXCLUSIVE_TOPOLOGY]
    if policy := template.get("subGroupPolicy"):
        found[names.SUBGROUP_POLICY_TYPE] = str(policy.get("subGroupPolicyType") or "LeaderWorker")
        found[names.SUBGROUP_SIZE] = str(policy.get("subGroupSize"))
        if names.SUBGROUP_EXCLUSIVE_TOPOLOGY in of_set:
            found[names.SUBGROUP_EXCLUSIVE_TOPOLOGY] = of_set[names.SUBGROUP_EXCLUSIVE_TOPOLOGY]
    return found


def _leader_template(lws: Obj, revision: SetRevision) -> dict[str, Any]:
    group = lws["spec"]["leaderWorkerTemplate"]
    template = group.get("leaderTemplate") or group["workerTemplate"]
    own = {names.WORKER_INDEX: "0", names.SET_NAME: objects.name(lws), names.REVISION: revision.hash}
    annotations = {**objects.annotations(template), **group_annotations(lws, group)}
    if names.subdomain_policy(lws) == names.UNIQUE_PER_REPLICA:
        annotations[names.SUBDOMAIN_POLICY] = names.UNIQUE_PER_REPLICA
    meta = {"labels": {**objects.labels(template), **own}, "annotations": annotations}
    return {"metadata": meta, "spec": template.get("spec") or {}}


def _carried(lws: Obj) -> dict[str, str]:
    """The set's annotations; kubectl's copy of the set is no business of the StatefulSet's."""
    last = "kubectl.kubernetes.io/last-applied-configuration"
    return {k: v for k, v in objects.annotations(lws).items() if k != last}


def _contained(wanted: Any, stored: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(stored, Mapping) and all(_contained(v, stored.get(k)) for k, v in wanted.items())
    if isinstance(wanted, list | tuple):
        same_length = isinstance(stored, list | tuple) and len(wanted) == len(stored)
        return same_length and all(_contained(a, b) for a, b in zip(wanted, stored, strict=True))
    return bool(wanted == stored)
