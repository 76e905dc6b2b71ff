"""Placing pods: what fits, what does not and why, in which order."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api import objects
from pykueue.api.kinds import NODE, POD
from pykueue.emulation.kubelet import Kubelet
from pykueue.emulation.nodes import NodeController, make_node
from pykueue.emulation.pod_scheduler import PodScheduler
from pykueue.emulation.pod_scheduler.needs import requests_of
from support.cluster import Cluster
from support.emulated import finish, template


def make_cluster(*nodes: dict[str, Any]) -> Cluster:
    cluster = Cluster([NodeController(), PodScheduler(), Kubelet()], definitions=())
    for node in nodes:
        cluster.create(NODE, node)
    cluster.settle()
    return cluster


def pod(name: str, *, cpu: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    made = template(cpu=cpu, labels=labels, **spec)
    return {"metadata": {"name": name, **made["metadata"]}, "spec": made["spec"]}


def node_of(cluster: Cluster, name: str) -> str | None:
    node: str | None = cluster.get(POD, name)["spec"].get("nodeName")
    return node


def told(cluster: Cluster, name: str) -> tuple[str, str]:
    condition = objects.condition(cluster.get(POD, name), "PodScheduled") or {}
    return str(condition.get("reason")), str(condition.get("message"))


A, B = (
    make_node("a", labels={"zone": "x"}, capacity={"cpu": 4}),
    make_node("b", labels={"zone": "y"}, capacity={"cpu": 2}),
)
TERM = {"key": "zone", "operator": "In", "values": ["y"]}
FIELD = {"key": "metadata.name", "operator": "In", "values": ["b"]}


def node_affinity(term: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({}, "a", id="the node with the larger free share"),
        pytest.param({"nodeSelector": {"zone": "y"}}, "b", id="a node selector"),
        pytest.param({"affinity": node_affinity({"matchExpressions": [TERM]})}, "b", id="node affinity by label"),
        pytest.param({"affinity": node_affinity({"matchFields": [FIELD]})}, "b", id="node affinity by name"),
        pytest.param({"nodeName": "b"}, "b", id="a node that was chosen already"),
    ],
)
def test_choice(spec: dict[str, Any], want: str) -> None:
    """A pod goes where its rules and the room allow."""
    cluster = make_cluster(A, B)
    cluster.create(POD, pod("one", **spec))
    cluster.settle()
    assert node_of(cluster, "one") == want
    assert cluster.get(POD, "one")["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("nodes", "spec", "message"),
    [
        pytest.param([], {}, "no nodes available to schedule pods", id="no nodes"),
        pytest.param([A, B], {"cpu": "8"}, "0/2 nodes are available: 2 Insufficient cpu.", id="too large"),
        pytest.param([A, B], {"nodeSelector": {"zone": "z"}}, "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", id="no such label"),
        pytest.param([{**A, "spec": {"unschedulable": True}}, B], {"cpu": "3"}, "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.", id="a cordoned node"),
        pytest.param([make_node("t", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])], {}, "0/1 nodes are available: 1 node(s) had untolerated taint(s) {k: v}.", id="a taint"),
        pytest.param([make_node("p", capacity={"pods": 0})], {}, "0/1 nodes are available: 1 Too many pods.", id="no room for more pods"),
    ],
)  # fmt: skip
def test_refusals(nodes: list[dict[str, Any]], spec: dict[str, Any], message: str) -> None:
    """A pod that fits nowhere says why, in a condition and in an event, once."""
    cluster = make_cluster(*nodes)
    cluster.create(POD, pod("one", **spec))
    cluster.settle()
    cluster.advance(30)
    assert told(cluster, "one") == ("Unschedulable", message)
    assert cluster.notes("FailedScheduling") == [f"Pod/one FailedScheduling: {message}"]


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "k", "value": "v"},
        {"key": "k", "operator": "Exists"},
        {"operator": "Exists"},
        {"key": "k", "value": "v", "effect": "NoSchedule"},
    ],
)
def test_tolerations(toleration: dict[str, str]) -> None:
    """A tolerated taint keeps nobody away."""
    cluster = make_cluster(make_node("t", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    cluster.create(POD, pod("one", tolerations=[toleration]))
    cluster.settle()
    assert node_of(cluster, "one") == "t"


def test_gated_pods_wait() -> None:
    """A gated pod is not placed until its gates are gone."""
    cluster = make_cluster(A)
    cluster.create(POD, pod("one", schedulingGates=[{"name": "example.com/hold"}]))
    cluster.settle()
    assert told(cluster, "one") == ("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
    cluster.patch(POD, "one", {"spec": {"schedulingGates": None, "nodeSelector": {"zone": "x"}}})
    cluster.settle()
    assert node_of(cluster, "one") == "a"


def test_room_that_becomes_free_is_used() -> None:
    """A pod that ends, or goes, makes room for one that waits; the larger priority is first, then the older."""
    cluster = make_cluster(make_node("a", capacity={"cpu": 1}))
    cluster.create(POD, pod("first"))
    cluster.settle()
    cluster.create(POD, pod("second"))
    cluster.settle()
    assert node_of(cluster, "second") is None
    finish(cluster, "first")
    cluster.settle()
    assert node_of(cluster, "second") == "a"
    cluster.create(POD, pod("third"))
    cluster.settle()
    cluster.delete(POD, "second")
    cluster.settle()
    assert node_of(cluster, "third") == "a"


def test_no_node_is_filled_twice() -> None:
    """A burst never takes more than there is."""
    cluster = make_cluster(A, B)
    for number in range(10):
        cluster.create(POD, pod(f"p{number}"))
    cluster.settle()
    placed = [node_of(cluster, f"p{number}") for number in range(10)]
    assert (placed.count("a"), placed.count("b"), placed.count(None)) == (4, 2, 4)


def test_pod_anti_affinity_spreads() -> None:
    """One pod per zone, whoever comes later waits."""
    term = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "zone"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    cluster = make_cluster(A, B)
    for number in range(3):
        cluster.create(POD, pod(f"p{number}", labels={"app": "x"}, affinity=affinity))
    cluster.settle()
    assert {node_of(cluster, f"p{number}") for number in range(3)} == {"a", "b", None}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"containers": [("1", ""), ("2", "")]}, 3000, id="containers add up"),
        pytest.param({"containers": [("1", "")], "initContainers": [("4", "")]}, 4000, id="a larger init container"),
        pytest.param({"containers": [("1", "")], "initContainers": [("1", "Always")]}, 2000, id="a sidecar stays"),
        pytest.param({"containers": [("1", "")], "initContainers": [("1", "Always"), ("3", "")]}, 4000, id="an init container beside a sidecar"),
        pytest.param({"containers": [("1", "")], "overhead": {"cpu": "500m"}}, 1500, id="overhead"),
    ],
)  # fmt: skip
def test_requests(spec: dict[str, Any], want: int) -> None:
    """Requests add up as Kubernetes documents."""
    made = {
        field: [
            {"name": "c", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}} for cpu, policy in value
        ]
        for field, value in spec.items()
        if field != "overhead"
    }
    assert requests_of({**made, "overhead": spec.get("overhead") or {}}) == {"cpu": want, "pods": 1000}
