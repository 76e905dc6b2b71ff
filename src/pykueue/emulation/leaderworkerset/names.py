"""Names that LeaderWorkerSet puts on objects, and the small facts that are read from them (spec: leaderworkerset.md B1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pykueue.api import objects
from pykueue.api.kinds import POD
from pykueue.api.objects import Obj, get_path
from pykueue.ports.reconcile import Index

PREFIX = "leaderworkerset.sigs.k8s.io/"
REPORTER = "leaderworkerset"
FIELD_MANAGER = "lws"

SET_NAME = PREFIX + "name"
GROUP_INDEX = PREFIX + "group-index"
WORKER_INDEX = PREFIX + "worker-index"
GROUP_KEY = PREFIX + "group-key"
REVISION = PREFIX + "template-revision-hash"
SUBGROUP_INDEX = PREFIX + "subgroup-index"
SUBGROUP_KEY = PREFIX + "subgroup-key"

SIZE = PREFIX + "size"
REPLICAS = PREFIX + "replicas"
LEADER_NAME = PREFIX + "leader-name"
EXCLUSIVE_TOPOLOGY = PREFIX + "exclusive-topology"
SUBGROUP_EXCLUSIVE_TOPOLOGY = PREFIX + "subgroup-exclusive-topology"
SUBGROUP_SIZE = PREFIX + "subgroup-size"
SUBGROUP_POLICY_TYPE = PREFIX + "subgroup-policy-type"
SUBDOMAIN_POLICY = PREFIX + "subdomainPolicy"
LEADER_REQUESTS_TPUS = PREFIX + "leader-requests-tpus"
RECREATE_AFTER_START = PREFIX + "experimental-recreate-group-after-start"

UNIQUE_PER_REPLICA = "UniquePerReplica"
TPU = "google.com/tpu"
GROUP_PODS = "lws-group"
"""Index of pods by `namespace/set/group-index`."""


def group_pods_index() -> Index:
    """Pods of a group."""

    def groups(pod: Obj) -> Iterable[str]:
        found = objects.labels(pod)
        if SET_NAME not in found or GROUP_INDEX not in found:
            return ()
        return (group_value(objects.namespace(pod), found[SET_NAME], found[GROUP_INDEX]),)

    return Index(POD, GROUP_PODS, groups)


def group_value(namespace: str, set_name: str, group_index: str) -> str:
    """The value under which a group's pods are indexed."""
    return f"{namespace}/{set_name}/{group_index}"


def split_ordinal(name: str) -> tuple[str, int]:
    """A pod's parent and ordinal: `("llama-0", 2)` of `llama-0-2`; ordinal -1 for names without one."""
    parent, _, ordinal = name.rpartition("-")
    return (parent, int(ordinal)) if parent and ordinal.isdigit() else (name, -1)


def sha1(text: str) -> str:
    """Hex digest, as group and sub-group keys are made."""
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - LWS's own form of keys, no secret


def size_of(lws: Obj) -> int:
    """Pods in a group, the leader included."""
    size = get_path(lws, "spec", "leaderWorkerTemplate", "size")
    return 1 if size is None else int(size)


def replicas_of(lws: Obj) -> int:
    """Wanted groups."""
    replicas = get_path(lws, "spec", "replicas")
    return 1 if replicas is None else int(replicas)


def subdomain_policy(lws: Obj) -> str:
    """`Shared` or `UniquePerReplica`."""
    return str(get_path(lws, "spec", "networkConfig", "subdomainPolicy") or "Shared")


def requests_tpus(pod_spec: Mapping[str, Any]) -> bool:
    """Whether a container asks for TPUs."""
    return any(tpu_container(c) for f in ("containers", "initContainers") for c in pod_spec.get(f) or ())


def tpu_container(container: Mapping[str, Any]) -> bool:
    """Whether this container asks for TPUs."""
    resources = container.get("resources") or {}
    return any(str((resources.get(part) or {}).get(TPU, "0")) != "0" for part in ("limits", "requests"))
