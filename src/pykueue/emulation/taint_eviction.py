"""Pods that leave a node with a `NoExecute` taint, as kube-controller-manager's taint-eviction controller makes them.

A pod that does not bear such a taint is deleted at once; one that bears it for a time, when that is over, counted from when the taints were first
seen on the pod's node. Who comes to bear them all, because a taint goes, is left alone again.

When a pod's time began is the only state here; losing it gives pods a little longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Delete, Emit, Patch, PatchType
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.kinds import NODE, POD
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation.kubelet import NODE_PODS, node_pods_index
from pykueue.emulation.pod_scheduler.fit import tolerates
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "taint-eviction-controller"


class TaintEviction:
    """Reconciles bound pods."""

    name = REPORTER

    def __init__(self) -> None:
        """A controller that has seen nothing."""
        self._since: dict[str, Instant] = {}

    def watches(self) -> Sequence[Watch]:
        """Bound pods, and nodes whose taints change."""
        return (Watch(POD, self._pod_wakes), Watch(NODE, _node_wakes))

    def indexes(self) -> Sequence[Index]:
        """Pods by node."""
        return (node_pods_index(),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        pod = reader.get(POD, *key)
        if pod is None or objects.is_deleting(pod):
            return DONE
        uid = objects.uid(pod)
        node = reader.get(NODE, "", str(get_path(pod, "spec", "nodeName") or ""))
        left_s = _patience_s(pod, _driving_out(node)) if node is not None else None
        if left_s is None:
            self._since.pop(uid, None)
            return DONE
        left_us = self._since.setdefault(uid, now) + left_s * SECOND_US - now
        if left_us > 0:
            return Result(requeue_after_us=left_us)
        del self._since[uid]
        return Result(_evict(pod, now))

    def _pod_wakes(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """A pod that is bound, or bears something else than before; most changes of a pod concern nobody here."""
        del reader
        if event.change is Change.DELETED:
            self._since.pop(objects.uid(event.new), None)
            return ()
        old, new = (event.old or {}).get("spec") or {}, event.new.get("spec") or {}
        is_news = old.get("nodeName") != new.get("nodeName") or old.get("tolerations") != new.get("tolerations")
        return (objects.key(event.new),) if new.get("nodeName") and is_news else ()


def _driving_out(node: Obj) -> list[Mapping[str, Any]]:
    return [taint for taint in get_path(node, "spec", "taints") or () if taint.get("effect") == "NoExecute"]


def _patience_s(pod: Obj, taints: Sequence[Mapping[str, Any]]) -> int | None:
    """How long the pod bears the taints; None for ever."""
    tolerations = get_path(pod, "spec", "tolerations") or ()
    times: list[int] = []
    for taint in taints:
        bearing = [t for t in tolerations if tolerates(t, taint)]
        if not bearing:
            return 0
        times += [max(0, t["tolerationSeconds"]) for t in bearing if t.get("tolerationSeconds") is not None]
    return min(times, default=None)


def _evict(pod: Obj, now: Instant) -> tuple[Command, ...]:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": format_time(now),
    }
    key, uid = objects.key(pod), objects.uid(pod)
    body = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
    marked = Patch(POD, key, body, PatchType.STRATEGIC, "status", missing_ok=True)
    told = Emit(POD, pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}", REPORTER)
    return (Chain((told, marked, Delete(POD, key, uid))),)


def _node_wakes(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    if event.change is Change.DELETED or (event.old is not None and _driving_out(event.old) == _driving_out(event.new)):
        return ()
    return [objects.key(pod) for pod in reader.by_index(POD, NODE_PODS, objects.name(event.new))]
