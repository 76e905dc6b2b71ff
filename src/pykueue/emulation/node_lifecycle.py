"""What a node's state means for its taints, as kube-controller-manager's node life-cycle controller has it.

A node that is not ready, or that nothing is heard of, gets taints that keep pods away and make those on it leave; one that is short of
something, or is cordoned, gets one that keeps pods away. They go when the reason goes. All other taints are somebody else's.

Whether a node is ready is not found out here: `nodes.py` makes new ones ready, and whoever plays a failing node says that it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Patch
from pykueue.api.instant import Instant, format_time
from pykueue.api.kinds import NODE
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY_TAINT,
    ("Ready", "Unknown"): UNREACHABLE_TAINT,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_DRIVING_OUT = (NOT_READY_TAINT, UNREACHABLE_TAINT)
_OWN = (*_BY_CONDITION.values(), UNSCHEDULABLE_TAINT)


class NodeLifecycle:
    """Reconciles the taints of nodes."""

    name = "node-lifecycle-controller"

    def watches(self) -> Sequence[Watch]:
        """Nodes."""
        return (parts.own_watch(NODE),)

    def indexes(self) -> Sequence[Index]:
        """None."""
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        node = reader.get(NODE, "", key.name)
        if node is None or objects.is_deleting(node) or objects.condition(node, "Ready") is None:
            return DONE
        present = [dict(taint) for taint in get_path(node, "spec", "taints") or ()]
        wanted = _with_own(present, _due(node), now)
        if wanted == present:
            return DONE
        meta = {"uid": objects.uid(node), "resourceVersion": objects.resource_version(node)}
        return Result((Patch(NODE, key, {"metadata": meta, "spec": {"taints": wanted or None}}, missing_ok=True),))


def _due(node: Obj) -> list[tuple[str, str]]:
    """Key and effect of the taints that the node's state calls for."""
    conditions = get_path(node, "status", "conditions") or ()
    keys = [_BY_CONDITION.get((str(c.get("type")), str(c.get("status")))) for c in conditions]
    if get_path(node, "spec", "unschedulable"):
        keys.append(UNSCHEDULABLE_TAINT)
    found = [(key, "NoSchedule") for key in keys if key is not None]
    return found + [(key, "NoExecute") for key in keys if key in _DRIVING_OUT]


def _with_own(
    present: Sequence[Mapping[str, Any]], due: Sequence[tuple[str, str]], now: Instant
) -> list[Mapping[str, Any]]:
    """The taints with those that are due and without those that are not; what stays keeps its place and its time."""
    kept = [t for t in present if t.get("key") not in _OWN or (t.get("key"), t.get("effect")) in due]
    known = {(t.get("key"), t.get("effect")) for t in kept}
    new = [
        {"key": key, "effect": effect, "timeAdded": format_time(now)}
        for key, effect in due
        if (key, effect) not in known
    ]
    return [*kept, *new]
