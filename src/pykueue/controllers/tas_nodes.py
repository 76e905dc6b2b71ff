"""Nodes that fail under admitted Workloads: noticed, noted, and replaced.

A key is a Workload whose assignment names hosts. A host is lost when its Node is gone; or when the Node is not ready or has a taint that the pods
do not bear, and none of the Workload's pods is on it any more. It is noted in `status.unhealthyNodes`, and the scheduler looks for another one in a
second pass (`core/scheduler/second_pass.py`). Two lost hosts at a time are too many: the Workload is evicted.

Pods that were sent to a lost host and cannot be bound any more are failed, so that whoever made them makes new ones.

Source: tas.md §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pykueue.api import objects
from pykueue.api.commands import Apply, Chain, Command, Emit
from pykueue.api.constants import Label, Reason, WorkloadCondition
from pykueue.api.conversion.topology import HOSTNAME, decode_domains
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.kinds import NODE, POD, RESOURCE_FLAVOR, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import NamedGate, ResourceFlavor, Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.tas import of_pod, pod_indexes, pods_of
from pykueue.controllers.workload_status import admission_patch
from pykueue.core.features import Features, Gate
from pykueue.core.tas.demand import untolerated
from pykueue.core.tas.nodes import read_node
from pykueue.core.workload.lifecycle import is_finished, is_single_pod
from pykueue.integrations.pod import gate_names, is_terminated
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

BY_HOST = "topologyHost"
PODS_DELAY_US = 100_000
NOT_READY_US = 30 * SECOND_US
REPORTER = "tas-node-controller"


class NodeFailureReconciler:
    """From the health of nodes to other places."""

    name = "tas_node_controller"

    def __init__(self, features: Features) -> None:
        self._features = features

    def watches(self) -> Sequence[Watch]:
        """Nodes, pods that name a Workload, and Workloads."""
        return (
            Watch(NODE, _of_node),
            Watch(POD, of_pod, PODS_DELAY_US),
            Watch(WORKLOAD, _of_workload),
            Watch(RESOURCE_FLAVOR, lambda _event, _reader: ()),
        )

    def indexes(self) -> Sequence[Index]:
        """Workloads and Nodes by host, pods by Workload."""
        return (
            Index(WORKLOAD, BY_HOST, _hosts_of),
            Index(NODE, BY_HOST, lambda node: filter(None, (objects.labels(node).get(HOSTNAME),))),
            *pod_indexes(),
        )

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over the hosts of a Workload."""
        obj = reader.get(WORKLOAD, key.namespace, key.name)
        workload = reader.typed(Workload, obj) if obj is not None else None
        if obj is None or workload is None or not _is_running(workload):
            return DONE
        hosts = list(dict.fromkeys(_hosts_of(obj)))
        if not hosts:
            return DONE
        placed = _placed_pod_sets(workload)
        pods = [
            pod
            for pod in pods_of(reader, workload)
            if not is_terminated(pod) and objects.labels(pod).get(Label.POD_SET) in placed
        ]
        left_us = {host: self._lost_in(reader, workload, host, pods, now) for host in hosts}
        lost = [host for host, left in left_us.items() if left is not None and left <= 0]
        wake = min((left for left in left_us.values() if left is not None and left > 0), default=None)
        if len(lost) > 1:
            names = ", ".join(sorted(lost))
            text = f"Workload eviction triggered due to multiple TAS assigned node failures, including: {names}"
            return Result(self._evict(obj, workload, text, now))
        kept = [host for host in hosts if host not in lost]
        if is_single_pod(workload) and self._features[Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS]:
            # A pod cannot move, and nobody makes another one in its stead: it keeps its place until it is gone (§9.3).
            lost = []
        commands: list[Command] = []
        if lost != [node.name for node in workload.status.unhealthy_nodes]:
            nodes = tuple(NamedGate(name=host) for host in lost)
            status = msgspec.structs.replace(workload.status, unhealthy_nodes=nodes)
            commands.append(admission_patch(workload, msgspec.structs.replace(workload, status=status), now))
        return Result((*commands, *_fail_stray(pods, kept, now)), wake)

    def _evict(self, obj: Obj, workload: Workload, text: str, now: Instant) -> tuple[Command, ...]:
        evicted = transitions.evict(workload, Reason.NODE_FAILURES, text, now)
        reason = transitions.eviction_event_reason(Reason.NODE_FAILURES)
        return (admission_patch(workload, evicted, now), Emit(WORKLOAD, obj, "Normal", reason, text, REPORTER))

    def _lost_in(self, reader: Reader, workload: Workload, host: str, pods: Sequence[Obj], now: Instant) -> int | None:
        """Time (µs) until the host needs a replacement, 0 for now; None while nothing but an event can tell (§9.1)."""
        nodes = reader.by_index(NODE, BY_HOST, host)
        ready = _ready_condition(nodes[0]) if nodes else None
        if not nodes or ready is None:
            return 0
        node = nodes[0]
        on_pods_gone = self._features[Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION]
        has_pods = any(
            objects.get_path(pod, "spec", "nodeName") == objects.name(node) and not objects.is_deleting(pod)
            for pod in pods
        )
        if ready.get("status") != "True":
            if on_pods_gone and not has_pods:
                return 0
            if on_pods_gone and not self._features[Gate.TAS_REPLACE_NODE_DUE_TO_NOT_READY_OVER_FIXED_TIME]:
                return None
            since = ready.get("lastTransitionTime")
            return max(0, parse_time(since) + NOT_READY_US - now) if since else 0
        if not self._features[Gate.TAS_REPLACE_NODE_ON_NODE_TAINTS]:
            return None
        bearing = self._bears_taints(reader, workload, host, node)
        is_lost = bearing == "no" and not (on_pods_gone and has_pods)
        return 0 if is_lost or (bearing == "for a time" and not has_pods) else None

    @staticmethod
    def _bears_taints(reader: Reader, workload: Workload, host: str, node: Obj) -> str:
        """Whether the pod sets on the host bear the node's taints: `yes`, `for a time` or `no`."""
        admission = workload.status.admission
        assert admission is not None
        templates = {ps.name: ps.template for ps in workload.spec.pod_sets}
        worst = "yes"
        for given in admission.pod_set_assignments:
            if given.topology_assignment is None:
                continue
            if all(d.values[-1] != host for d in decode_domains(msgspec.to_builtins(given.topology_assignment))):
                continue
            tolerations = list(((templates.get(given.name) or {}).get("spec") or {}).get("tolerations") or ())
            for name in sorted(set(given.flavors.values())):
                found = reader.get(RESOURCE_FLAVOR, "", name)
                tolerations += reader.typed(ResourceFlavor, found).spec.tolerations if found is not None else ()
            for check in workload.status.admission_checks:
                for update in check.pod_set_updates:
                    tolerations += update.tolerations if update.name == given.name else ()
            seen = read_node(node)
            if untolerated(seen, tolerations) is not None:
                return "no"
            if untolerated(seen, [t for t in tolerations if t.get("tolerationSeconds") is None]) is not None:
                worst = "for a time"
        return worst


def _is_running(workload: Workload) -> bool:
    return (
        workload.is_true(WorkloadCondition.ADMITTED)
        and not workload.is_true(WorkloadCondition.EVICTED)
        and not is_finished(workload)
        and workload.status.admission is not None
    )


def _placed_pod_sets(workload: Workload) -> list[str]:
    admission = workload.status.admission
    given = admission.pod_set_assignments if admission is not None else ()
    return [a.name for a in given if a.topology_assignment is not None]


def _ready_condition(node: Obj) -> dict[str, Any] | None:
    conditions = objects.get_path(node, "status", "conditions") or ()
    return next((dict(c) for c in conditions if c.get("type") == "Ready"), None)


def _fail_stray(pods: Iterable[Obj], hosts: Sequence[str], now: Instant) -> tuple[Command, ...]:
    """Fail the pods that were sent to a host that their Workload does not have any more (§9.1)."""
    commands: list[Command] = []
    for pod in pods:
        host = (objects.get_path(pod, "spec", "nodeSelector") or {}).get(HOSTNAME)
        if host is None or host in hosts or gate_names(pod) or objects.get_path(pod, "spec", "nodeName"):
            continue
        condition = {
            "type": "TerminatedByKueue",
            "status": "True",
            "reason": "UnschedulableOnAssignedNode",
            "message": "Pod terminated by Kueue NodeController due to node taint",
            "lastTransitionTime": format_time(now),
        }
        meta = {"name": objects.name(pod), "namespace": objects.namespace(pod), "uid": objects.uid(pod)}
        failed = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
        status = {"phase": "Failed", "conditions": [condition]}
        told = Emit(POD, pod, "Normal", "PodTerminatedByKueue", condition["message"], REPORTER)
        commands.append(Chain((Apply(POD, {**failed, "status": status}, "kueue", "status", missing_ok=True), told)))
    return tuple(commands)


def _hosts_of(obj: Obj) -> Iterable[str]:
    """The hosts that a Workload's assignments name."""
    for given in objects.get_path(obj, "status", "admission", "podSetAssignments") or ():
        assignment = given.get("topologyAssignment")
        if assignment and list(assignment.get("levels") or ())[-1:] == [HOSTNAME]:
            yield from (domain.values[-1] for domain in decode_domains(assignment))


def _of_workload(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    del reader
    return (objects.key(event.new),) if next(iter(_hosts_of(event.new)), None) is not None else ()


def _of_node(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """The Workloads on a Node whose health may have changed; heartbeats wake nobody."""
    old, new = event.old, event.new
    if old is not None and _health(old) == _health(new) and event.change is not Change.DELETED:
        return ()
    host = objects.labels(new).get(HOSTNAME)
    return [objects.key(w) for w in reader.by_index(WORKLOAD, BY_HOST, host)] if host else ()


def _health(node: Obj) -> tuple[Any, ...]:
    ready = _ready_condition(node)
    return (
        objects.labels(node).get(HOSTNAME),
        ready.get("status") if ready is not None else None,
        objects.get_path(node, "spec", "taints"),
    )
