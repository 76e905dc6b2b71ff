"""Nodes that fail under admitted Workloads: rows TN of scheduling-cases.md §14."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.commands import Apply, Chain, Emit
from pykueue.api.configuration.types import Configuration
from pykueue.api.instant import Instant
from pykueue.api.kinds import NODE, POD, RESOURCE_FLAVOR, TOPOLOGY, WORKLOAD
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.tas_nodes import NodeFailureReconciler
from pykueue.core.features import Features, Gate
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import Result
from support.nodes import HOST, node
from support.world import World
from unit.controllers.test_tas import pod, workload

TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


class Case:
    """A Workload on its hosts, and the nodes of the cluster."""

    def __init__(self, *hosts: str, features: Features | None = None, **status: Any) -> None:
        self.features = features or Features({})
        self.world = World(Configuration(), self.features)
        self.world.topology("t", HOST)
        self.world.flavor("f", topologyName="t")
        self.world.queue("cq", "f:9")
        self.cache = Indexer()
        self.reconciler = NodeFailureReconciler(self.features)
        for index in self.reconciler.indexes():
            self.cache.add_index(index.kind, index.name, index.fn)
        self.owner = workload(*hosts, **status)
        container = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
        self.owner["spec"]["podSets"][0]["template"] = {"spec": {"containers": [container]}}
        assert TOPOLOGY.kind == "Topology"

    def node(self, name: str, since: str = "", **spec: Any) -> None:
        obj = node(name, {HOST: name}, {"cpu": "1"}, **spec)
        if since:
            obj["status"]["conditions"][0]["lastTransitionTime"] = since
        self.cache.apply(NODE, obj)
        self.world.nodes([obj])

    def run(self, *pods: dict[str, Any], now_us: int = 0) -> Result:
        self.cache.apply(WORKLOAD, self.owner)
        self.world.put(self.cache.typed(Workload, self.owner))
        for each in pods:
            self.cache.apply(POD, each)
        return self.reconciler.reconcile(self.cache, ObjectKey("ns", "wl"), Instant(now_us))


def running(host: str, **metadata: Any) -> dict[str, Any]:
    found = pod(f"on-{host}", gates=[], phase="Running", spec={"nodeName": host, "nodeSelector": {HOST: host}})
    found["metadata"] |= metadata
    return found


def status_of(result: Result) -> dict[str, Any]:
    (apply,) = [c for c in result.commands if isinstance(c, Apply)]
    status: dict[str, Any] = apply.obj["status"]
    return status


def test_healthy_nodes_need_nothing() -> None:
    """Level-based: all is well, nothing is written."""
    case = Case("x1")
    case.node("x1")
    assert case.run(running("x1")).commands == ()


def test_a_healthy_node_is_taken_off_the_list() -> None:
    """TN-01."""
    case = Case("x1", unhealthyNodes=[{"name": "x1"}])
    case.node("x1")
    assert "unhealthyNodes" not in status_of(case.run(running("x1")))


def test_a_deleted_node_is_lost_at_once() -> None:
    """TN-05."""
    case = Case("x1")
    assert status_of(case.run(running("x1")))["unhealthyNodes"] == [{"name": "x1"}]


LATE = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
DEFAULT_GATES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], bool]] = {
    "TN-02 not ready, its pod runs": ({"ready": "False"}, [running("x1")], False),
    "TN-02 not ready, its pod ends": ({"ready": "False"}, [running("x1", **LATE)], True),
    "TN-03 not ready, no pod": ({"ready": "False"}, [], True),
    "TN-07 a taint, its pod runs": ({"taints": [TAINT]}, [running("x1")], False),
    "TN-07 a taint, its pod ends": ({"taints": [TAINT]}, [running("x1", **LATE)], True),
    "TN-09 a taint, pods wait behind gates": ({"taints": [TAINT]}, [pod("a")], True),
}


@pytest.mark.parametrize("name", DEFAULT_GATES)
def test_a_node_is_lost_when_its_pods_are_gone(name: str) -> None:
    """With the default gates."""
    spec, pods, is_lost = DEFAULT_GATES[name]
    case = Case("x1")
    case.node("x1", **spec)
    result = case.run(*pods)
    assert bool(result.commands) == is_lost
    if is_lost:
        assert status_of(result)["unhealthyNodes"] == [{"name": "x1"}]


@pytest.mark.parametrize("gates", [{Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION: False}, {}])
def test_not_ready_for_half_a_minute(gates: dict[Gate, bool]) -> None:
    """TN-04: without the gate the time counts, whatever the pods do; it counts besides with the legacy gate."""
    legacy = Gate.TAS_REPLACE_NODE_DUE_TO_NOT_READY_OVER_FIXED_TIME
    features = Features(gates or {legacy: True})
    for seconds, left_us in ((29, 1_000_000), (30, None)):
        case = Case("x1", features=features)
        case.node("x1", ready="False", since="1970-01-01T00:00:00Z")
        result = case.run(running("x1"), now_us=seconds * 1_000_000)
        assert result.requeue_after_us == left_us
        assert bool(result.commands) == (left_us is None)


def test_a_taint_that_keeps_new_pods_away() -> None:
    """TN-09: the node is lost once its pod is gone, or at once without the gate."""
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    for features, pods, is_lost in (
        (None, [running("x1")], False),
        (Features({Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION: False}), [running("x1")], True),
        (None, [pod("gated")], True),
        (None, [], True),
    ):
        case = Case("x1", features=features)
        case.node("x1", taints=[taint])
        assert bool(case.run(*pods).commands) == is_lost
    case = Case("x1", features=Features({Gate.TAS_REPLACE_NODE_ON_NODE_TAINTS: False}))
    case.node("x1", taints=[taint])
    assert case.run().commands == ()


def test_who_bears_a_taint() -> None:
    """TN-10: the flavor's tolerations and those of a check count like the pod's own."""
    bearing: dict[str, Any] = {"key": "k", "operator": "Exists"}
    case = Case("x1")
    case.cache.apply(RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {"tolerations": [bearing]}})
    case.node("x1", taints=[TAINT])
    assert case.run().commands == ()
    update = {"name": "main", "tolerations": [bearing]}
    check = {"name": "c", "state": "Ready", "lastTransitionTime": "t", "message": "", "podSetUpdates": [update]}
    case = Case("x1", admissionChecks=[check])
    case.node("x1", taints=[TAINT])
    assert case.run().commands == ()


def test_a_pod_that_cannot_be_bound_there() -> None:
    """TN-11: the node is listed, and the pod that was sent to it fails; one that was sent elsewhere does not."""
    case = Case("x1", "x2")
    case.node("x1", taints=[TAINT])
    case.node("x2")
    pinned = [pod(f"for-{host}", gates=[], spec={"nodeSelector": {HOST: host}}) for host in ("x1", "x2")]
    result = case.run(*pinned)
    assert status_of(result)["unhealthyNodes"] == [{"name": "x1"}]
    [chain] = [c for c in result.commands if isinstance(c, Chain)]
    assert isinstance(chain.commands[0], Apply)
    assert chain.commands[0].obj["metadata"]["name"] == "for-x1"


def test_a_taint_counts_at_once_without_the_gate() -> None:
    """TN-07, TN-09 with the gate off."""
    case = Case("x1", features=Features({Gate.TAS_REPLACE_NODE_ON_POD_TERMINATION: False}))
    case.node("x1", taints=[TAINT])
    assert status_of(case.run(running("x1")))["unhealthyNodes"] == [{"name": "x1"}]


def test_a_tolerated_taint_is_healthy() -> None:
    """TN-08, TN-10: for ever, and for a time while the pods are there."""
    for seconds, pods, is_lost in ((None, [], False), (60, [running("x1")], False), (60, [], True)):
        case = Case("x1")
        toleration: dict[str, Any] = {"key": "k", "operator": "Exists"}
        if seconds is not None:
            toleration["tolerationSeconds"] = seconds
        case.owner["spec"]["podSets"][0]["template"]["spec"]["tolerations"] = [toleration]
        case.node("x1", taints=[TAINT])
        assert bool(case.run(*pods).commands) == is_lost


def test_two_lost_nodes_are_too_many() -> None:
    """TN-06."""
    case = Case("x1", "x2", unhealthyNodes=[{"name": "x1"}])
    result = case.run()
    note = "Workload eviction triggered due to multiple TAS assigned node failures, including: x1, x2"
    [evicted] = [c for c in status_of(result)["conditions"] if c["type"] == "Evicted"]
    assert (evicted["reason"], evicted["message"]) == ("NodeFailures", note)
    assert [e.reason for e in result.commands if isinstance(e, Emit)] == ["EvictedDueToNodeFailures"]


def test_what_is_noted_is_left_to_the_scheduler() -> None:
    """A second pass follows (scheduling.md §3.8); the controller writes nothing more."""
    assert Case("x1", unhealthyNodes=[{"name": "x1"}]).run().commands == ()


def test_a_plain_pod_keeps_its_node() -> None:
    """TR-01: nobody would make the pod again elsewhere, so its node is not listed; a group of pods is no plain pod."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}
    case = Case("x1")
    case.owner["metadata"]["ownerReferences"] = [owner]
    assert case.run().commands == ()
    case = Case("x1", features=Features({Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS: False}))
    case.owner["metadata"]["ownerReferences"] = [owner]
    assert status_of(case.run())["unhealthyNodes"] == [{"name": "x1"}]
    case = Case("x1")
    case.owner["metadata"] |= {
        "ownerReferences": [owner], "annotations": {"kueue.x-k8s.io/is-group-workload": "true"},
    }  # fmt: skip
    assert status_of(case.run())["unhealthyNodes"] == [{"name": "x1"}]


def test_stray_pods_are_failed() -> None:
    """TN-12: a pod that was sent to a host that its Workload does not have any more; not one that waits or is bound."""
    case = Case("x1")
    case.node("x1")
    stray = pod("stray", gates=[], spec={"nodeSelector": {HOST: "x9"}})
    bound = pod("bound", gates=[], phase="Running", spec={"nodeSelector": {HOST: "x9"}, "nodeName": "x9"})
    gated = pod("gated", spec={"nodeSelector": {HOST: "x9"}})
    (chain,) = case.run(stray, bound, gated).commands
    assert isinstance(chain, Chain)
    apply, told = chain.commands
    assert isinstance(apply, Apply)
    assert apply.obj["metadata"]["name"] == "stray"
    assert apply.obj["status"]["phase"] == "Failed"
    assert isinstance(told, Emit)
    assert told.reason == "PodTerminatedByKueue"


def test_other_workloads_are_left_alone() -> None:
    """TN-13: finished, evicted, or without hosts in the assignment."""
    for more in ("Finished", "Evicted"):
        case = Case("x1", conditions=("QuotaReserved", "Admitted", more))
        assert case.run().commands == ()
    case = Case("x1")
    assignment = case.owner["status"]["admission"]["podSetAssignments"][0]["topologyAssignment"]
    assignment["levels"] = ["rack"]
    assert case.run(pod("p", gates=[], spec={"nodeSelector": {HOST: "x9"}})).commands == ()
