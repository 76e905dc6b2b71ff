"""Emulated nodes: what `pykueue up` begins with, how a file of nodes is read, and their controller.

The controller gives a node with the annotation `kwok.x-k8s.io/node: fake` its first status. It never touches conditions that are there: a
node that somebody marked NotReady stays so, which is how a failing node is played; what follows from it is `node_lifecycle.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Patch, PatchType
from pykueue.api.errors import ConfigError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_micro_time, format_time, parse_time
from pykueue.api.kinds import LEASE, NODE
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.quantity import parse_quantity
from pykueue.emulation import parts
from pykueue.emulation.kubelet import FAKE_NODE_ANNOTATION, is_emulated, node_address
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NODE_GROUP_LABEL = "cloud.provider.com/node-group"
BLOCK_LABEL = "cloud.provider.com/topology-block"
RACK_LABEL = "cloud.provider.com/topology-rack"
HOSTNAME_LABEL = "kubernetes.io/hostname"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_RENEW_US = 40 * SECOND_US
_LEASE_S = 120
_CAPACITY = {"cpu": "32", "memory": "128Gi", "pods": "110", "nvidia.com/gpu": "8"}
_SHORT_FIELDS = {"name", "labels", "capacity", "taints", "annotations"}
_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class NodeController:
    """Reconciles emulated nodes."""

    name = "node-controller"

    def watches(self) -> Sequence[Watch]:
        """Nodes, and leases that are deleted."""
        return (parts.own_watch(NODE), Watch(LEASE, _lost_lease))

    def indexes(self) -> Sequence[Index]:
        """None."""
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        node = reader.get(NODE, "", key.name)
        if node is None or not is_emulated(node) or objects.is_deleting(node):
            return DONE
        commands: list[Command] = []
        if objects.condition(node, "Ready") is None:
            body = {"metadata": {"uid": objects.uid(node)}, "status": _first_status(node, now)}
            commands.append(Patch(NODE, key, body, PatchType.STRATEGIC, "status", missing_ok=True))
        lease = reader.get(LEASE, LEASE_NAMESPACE, key.name)
        if lease is None:
            commands.append(Create(LEASE, _lease(node, now), exists_ok=True))
            return Result(tuple(commands), LEASE_RENEW_US)
        return Result((*commands, *_renewal(node, lease, now)), LEASE_RENEW_US)


def default_nodes() -> list[dict[str, Any]]:
    """Eight nodes: two blocks of two racks of two, with accelerators."""
    places = [(block, rack, n) for block in (1, 2) for rack in (1, 2) for n in (1, 2)]
    return [
        make_node(
            f"b{block}-r{rack}-n{n}",
            labels={NODE_GROUP_LABEL: "tas-group", BLOCK_LABEL: f"b{block}", RACK_LABEL: f"b{block}-r{rack}"},
            capacity=_CAPACITY,
        )
        for block, rack, n in places
    ]


def make_node(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    capacity: Mapping[str, Any] | None = None,
    taints: Sequence[Mapping[str, Any]] = (),
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The manifest of an emulated node, with its status.

    Args:
        name: also its hostname label, unless `labels` says otherwise.
        labels: more labels.
        capacity: by resource name; what is missing of cpu, memory and pods is filled in.
        taints: as in `spec.taints`.
        annotations: more annotations.
    """
    has = {k: str(v) for k, v in {"cpu": "32", "memory": "128Gi", "pods": "110", **(capacity or {})}.items()}
    meta = {
        "name": name,
        "labels": {
            HOSTNAME_LABEL: name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "type": "emulated",
            **(labels or {}),
        },
        "annotations": {FAKE_NODE_ANNOTATION: "fake", **(annotations or {})},
    }
    spec = {"taints": [dict(t) for t in taints]} if taints else {}
    status = {"capacity": has, "allocatable": has}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}


def read_nodes(source: str, documents: Iterable[Any]) -> list[dict[str, Any]]:
    """Nodes of a `--nodes FILE`: whole manifests, lists of them, or the short form `{name, labels, capacity, taints}`.

    Args:
        source: name of the file, for errors.
        documents: as YAML gives them.

    Raises:
        ConfigError: with every fault.
    """
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    entries = [entry for document in documents for entry in _entries(document)]
    for position, entry in enumerate(entries):
        try:
            found.append(_read_node(entry))
        except ValueError as error:
            faults.append(f"node {position}: {error}")
    seen: dict[str, None] = {}
    for node in found:
        name = objects.name(node)
        if name in seen:
            faults.append(f"node {name!r} is there twice; give each node a name of its own")
        seen[name] = None
    if not found and not faults:
        faults.append("no nodes in it; write a list of {name, labels, capacity, taints} or Node manifests")
    if faults:
        raise ConfigError(source, faults)
    return found


def _entries(document: Any) -> list[Any]:
    if isinstance(document, Mapping):
        for field in ("items", "nodes"):
            if isinstance(document.get(field), list):
                return list(document[field])
    return [] if document is None else list(document) if isinstance(document, list) else [document]


def _read_node(entry: Any) -> dict[str, Any]:
    """One node.

    Raises:
        ValueError: what is wrong.
    """
    if not isinstance(entry, Mapping):
        raise ValueError(  # noqa: TRY004 - the caller collects faults of content
            f"is {entry!r}; write a mapping with at least a name"
        )
    if entry.get("kind") == "Node":
        name = objects.name(entry)
        if not name:
            raise ValueError("metadata.name is missing")
        labels, annotations = objects.labels(entry), objects.annotations(entry)
        status = entry.get("status") or {}
        capacity = status.get("capacity") or status.get("allocatable") or {}
        taints = objects.get_path(entry, "spec", "taints") or ()
        made = make_node(name, labels=labels, capacity=_capacity(capacity), taints=taints, annotations=annotations)
        if allocatable := status.get("allocatable"):
            made["status"]["allocatable"] = {**made["status"]["capacity"], **_capacity(allocatable)}
        return {**made, "spec": {**(entry.get("spec") or {}), **made["spec"]}}
    if unknown := sorted(set(entry) - _SHORT_FIELDS):
        raise ValueError(f"unknown fields {', '.join(unknown)}; known are {', '.join(sorted(_SHORT_FIELDS))}")
    if not entry.get("name") or not isinstance(entry["name"], str):
        raise ValueError("name is missing or not a text")
    return make_node(
        entry["name"],
        labels=entry.get("labels"),
        capacity=_capacity(entry.get("capacity") or {}),
        taints=entry.get("taints") or (),
        annotations=entry.get("annotations"),
    )


def _capacity(values: Mapping[str, Any]) -> dict[str, str]:
    for resource, value in values.items():
        try:
            parse_quantity(value)
        except ValueError as error:
            raise ValueError(f"capacity.{resource}: {value!r}: {error}") from error
    return {resource: str(value) for resource, value in values.items()}


def _first_status(node: Obj, now: Instant) -> dict[str, Any]:
    present = node.get("status") or {}
    capacity = present.get("capacity") or present.get("allocatable") or {}
    stamp = format_time(now)
    return {
        "capacity": dict(capacity),
        "allocatable": dict(present.get("allocatable") or capacity),
        "phase": "Running",
        "addresses": [
            {"type": "InternalIP", "address": node_address(objects.name(node))},
            {"type": "Hostname", "address": objects.name(node)},
        ],
        "conditions": [
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": stamp,
            }
            for type_, status, reason, message in _HEALTHY
        ],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "emulated",
            "kernelVersion": "emulated",
            "kubeProxyVersion": "",
            "kubeletVersion": "pykueue",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "emulated",
            "systemUUID": "",
        },
    }


def _lost_lease(event: ObjectEvent, reader: Reader) -> tuple[ObjectKey, ...]:
    del reader
    is_lost = event.change is Change.DELETED and objects.namespace(event.new) == LEASE_NAMESPACE
    return (ObjectKey("", objects.name(event.new)),) if is_lost else ()


def _lease(node: Obj, now: Instant) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Node", "name": objects.name(node), "uid": objects.uid(node)}
    meta = {"name": objects.name(node), "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
    spec = {
        "holderIdentity": objects.name(node),
        "leaseDurationSeconds": _LEASE_S,
        "renewTime": format_micro_time(now),
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def _renewal(node: Obj, lease: Obj, now: Instant) -> tuple[Command, ...]:
    """A lease is renewed by its age, and not at all while its node is marked as lost."""
    renewed = objects.get_path(lease, "spec", "renewTime")
    is_fresh = renewed is not None and now - parse_time(renewed) < LEASE_RENEW_US
    if is_fresh or not objects.is_condition_true(node, "Ready"):
        return ()
    body = {"spec": {"renewTime": format_micro_time(now)}}
    return (Patch(LEASE, objects.key(lease), body, missing_ok=True),)
