"""Kubelets of nodes that have none: bound pods run and are ready at once, deleted pods vanish.

Only nodes with the annotation `kwok.x-k8s.io/node: fake` are served, which our own emulated nodes carry. A pod never ends by itself:
whoever wants it Succeeded or Failed says so in its status, and that is left alone. No images are pulled, nothing is executed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Delete, Patch, PatchType
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant, format_time
from pykueue.api.kinds import NODE, POD
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node"
NODE_PODS = "node"
"""Index of pods by the node they are bound to."""
TERMINATION_US = 50_000
"""How long it takes until a deleted pod is gone; its grace period is never used up."""


def node_pods_index() -> Index:
    """Pods by node."""

    def node(pod: Obj) -> Iterable[str]:
        name = get_path(pod, "spec", "nodeName")
        return (name,) if name else ()

    return Index(POD, NODE_PODS, node)


def is_emulated(node: Obj | None) -> bool:
    """Whether this kubelet plays for the node."""
    return node is not None and objects.annotations(node).get(FAKE_NODE_ANNOTATION) == "fake"


def is_heard_of(node: Obj | None) -> bool:
    """Whether there is a kubelet to play: nothing happens on a node whose Ready is `Unknown`."""
    ready = objects.condition(node, "Ready") if node is not None else None
    return is_emulated(node) and (ready is None or ready.get("status") != "Unknown")


class Kubelet:
    """Reconciles bound pods."""

    name = "kubelet"

    def watches(self) -> Sequence[Watch]:
        """Bound pods, pods that are deleted (a little later: others react to what is on its way out), and nodes that come back."""
        return (Watch(POD, _bound), Watch(POD, _leaving, TERMINATION_US), Watch(NODE, _on_node))

    def indexes(self) -> Sequence[Index]:
        """Pods by node."""
        return (node_pods_index(),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        pod = reader.get(POD, *key)
        if pod is None or not is_heard_of(reader.get(NODE, "", str(get_path(pod, "spec", "nodeName") or ""))):
            return DONE
        if objects.is_deleting(pod):
            # Grace 0 was asked for before: what still holds the pod is a finalizer, which is not ours.
            if objects.metadata(pod).get("deletionGracePeriodSeconds") == 0:
                return DONE
            return Result((Delete(POD, key, objects.uid(pod), grace_period_s=0),))
        if parts.phase(pod) not in {"", "Pending"}:
            return DONE
        body = {"metadata": {"uid": objects.uid(pod)}, "status": running_status(pod, now)}
        return Result((Patch(POD, key, body, PatchType.STRATEGIC, "status", missing_ok=True),))


def running_status(pod: Obj, now: Instant) -> dict[str, Any]:
    """The status of a pod all of whose containers run and are ready, as a strategic merge patch."""
    stamp = format_time(now)
    spec = pod.get("spec") or {}
    # Several conditions at once, as a kubelet has them after the last container came up.
    conditions = [
        {"type": type_, "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp}
        for type_ in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    ]
    gates = [str(gate.get("conditionType")) for gate in spec.get("readinessGates") or ()]
    if not all(objects.is_condition_true(pod, gate) for gate in gates):
        conditions[2] |= {"status": "False", "reason": "ReadinessGatesNotReady"}
    ip = pod_address(pod)
    status: dict[str, Any] = {
        "phase": "Running",
        "conditions": conditions,
        "startTime": stamp,
        "hostIP": node_address(str(spec.get("nodeName") or "")),
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "containerStatuses": [
            _container(c, {"running": {"startedAt": stamp}}, pod) for c in spec.get("containers") or ()
        ],
    }
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp}}
    if init := spec.get("initContainers"):
        sidecar = {"running": {"startedAt": stamp}}
        status["initContainerStatuses"] = [
            _container(c, sidecar if c.get("restartPolicy") == "Always" else ended, pod) for c in init
        ]
    return status


def pod_address(pod: Obj) -> str:
    """An address that depends on the pod's UID alone."""
    number = zlib.crc32(objects.uid(pod).encode())
    return f"10.{64 + (number >> 16) % 128}.{(number >> 8) % 256}.{number % 254 + 1}"


def node_address(name: str) -> str:
    """An address that depends on the node's name alone."""
    number = zlib.crc32(name.encode())
    return f"192.168.{(number >> 8) % 256}.{number % 254 + 1}"


def _container(container: Any, state: dict[str, Any], pod: Obj) -> dict[str, Any]:
    name = str(container.get("name") or "")
    return {
        "name": name,
        "image": container.get("image") or "",
        "imageID": "",
        "containerID": f"emulated://{objects.uid(pod)}/{name}",
        "ready": True,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def _bound(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    del reader
    return [objects.key(event.new)] if _is_bound(event) and not objects.is_deleting(event.new) else []


def _leaving(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    del reader
    return [objects.key(event.new)] if _is_bound(event) and objects.is_deleting(event.new) else []


def _is_bound(event: ObjectEvent) -> bool:
    return event.change is not Change.DELETED and bool(get_path(event.new, "spec", "nodeName"))


def _on_node(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    if event.change is Change.DELETED or not is_heard_of(event.new) or is_heard_of(event.old):
        return []
    return [objects.key(pod) for pod in reader.by_index(POD, NODE_PODS, objects.name(event.new))]
