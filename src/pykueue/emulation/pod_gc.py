"""Pods whose node is gone, as kube-controller-manager's pod garbage collector takes them away.

A node that is missed may come back, or may not have been seen yet; so its pods are left alone for a while. Then each is marked as failed, if it has
not ended, and deleted without grace, for there is no kubelet to wait for.

Since when a node is missed is the only state here; losing it begins the while anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Delete, Patch, PatchType
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.kinds import NODE, POD
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.kubelet import NODE_PODS, node_pods_index
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

QUARANTINE_US = 40 * SECOND_US


class PodGarbageCollector:
    """Reconciles nodes that pods are bound to."""

    name = "pod-garbage-collector"

    def __init__(self) -> None:
        """A collector that misses no node."""
        self._missed: dict[str, Instant] = {}

    def watches(self) -> Sequence[Watch]:
        """Nodes that come or go, and pods that are bound."""
        return (Watch(NODE, _node_wakes), Watch(POD, _pod_wakes))

    def indexes(self) -> Sequence[Index]:
        """Pods by node."""
        return (node_pods_index(),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`; the key is a node."""
        orphans = reader.by_index(POD, NODE_PODS, key.name)
        if not orphans or reader.get(NODE, "", key.name) is not None:
            self._missed.pop(key.name, None)
            return DONE
        left_us = self._missed.setdefault(key.name, now) + QUARANTINE_US - now
        if left_us > 0:
            return Result(requeue_after_us=left_us)
        return Result(parts.together(_collect(pod, now) for pod in orphans if not _is_collected(pod)))


def _collect(pod: Obj, now: Instant) -> Command:
    key, uid = objects.key(pod), objects.uid(pod)
    gone = Delete(POD, key, uid, grace_period_s=0)
    if parts.is_pod_finished(pod):
        return gone
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": format_time(now),
    }
    body: dict[str, Any] = {"metadata": {"uid": uid}, "status": {"phase": "Failed", "conditions": [condition]}}
    return Chain((Patch(POD, key, body, PatchType.STRATEGIC, "status", missing_ok=True), gone))


def _is_collected(pod: Obj) -> bool:
    """Whether the pod was deleted without grace before: what holds it is a finalizer, which is not ours."""
    return objects.is_deleting(pod) and objects.metadata(pod).get("deletionGracePeriodSeconds") == 0


def _node_wakes(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    del reader
    return () if event.change is Change.MODIFIED else (objects.key(event.new),)


def _pod_wakes(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """A pod whose node is known is nobody's orphan. When the last orphan goes, its node is missed no more."""
    node = str(get_path(event.new, "spec", "nodeName") or "")
    return (ObjectKey("", node),) if node and reader.get(NODE, "", node) is None else ()
