"""Emulated nodes: their first status, and how files of them are read."""

from __future__ import annotations

import pytest

from pykueue.api import objects
from pykueue.api.errors import ConfigError
from pykueue.api.kinds import LEASE, NODE
from pykueue.emulation.node_lifecycle import NodeLifecycle
from pykueue.emulation.nodes import NodeController, make_node
from pykueue.emulation.setup import node_objects
from support.cluster import Cluster


def test_default_nodes_form_a_tree() -> None:
    """Two blocks of two racks of two nodes, with accelerators."""
    nodes = node_objects("default")
    places = [
        (objects.labels(n)["cloud.provider.com/topology-block"], objects.labels(n)["cloud.provider.com/topology-rack"])
        for n in nodes
    ]
    assert [len(set(places)), len({block for block, _ in places}), len(nodes)] == [4, 2, 8]
    assert all(n["status"]["allocatable"]["nvidia.com/gpu"] == "8" for n in nodes)
    assert node_objects("none") == []


def test_a_new_node_becomes_ready() -> None:
    """A fake node gets conditions and a lease and loses its taint; what is marked lost later stays so."""
    cluster = Cluster([NodeController(), NodeLifecycle()], definitions=())
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    cluster.create(NODE, make_node("n", taints=[taint]))
    cluster.settle()
    node = cluster.get(NODE, "n")
    assert objects.is_condition_true(node, "Ready")
    assert not (node.get("spec") or {}).get("taints")
    assert cluster.exists(LEASE, "n", "kube-node-lease")
    lost = [{**c, "status": "False"} if c["type"] == "Ready" else c for c in node["status"]["conditions"]]
    cluster.patch(NODE, "n", {"status": {"conditions": lost}}, subresource="status")
    cluster.advance(120)
    assert not objects.is_condition_true(cluster.get(NODE, "n"), "Ready")


def test_leases_are_renewed() -> None:
    """A node that is alive renews its lease."""
    cluster = Cluster([NodeController()], definitions=())
    cluster.create(NODE, make_node("n"))
    cluster.settle()
    before = cluster.get(LEASE, "n", "kube-node-lease")["spec"]["renewTime"]
    cluster.advance(90)
    assert cluster.get(LEASE, "n", "kube-node-lease")["spec"]["renewTime"] > before


def test_real_nodes_are_left_alone() -> None:
    """Only nodes with the annotation are played."""
    cluster = Cluster([NodeController()], definitions=())
    cluster.create(NODE, {"metadata": {"name": "real"}})
    cluster.settle()
    assert objects.condition(cluster.get(NODE, "real"), "Ready") is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("- {name: n, labels: {zone: x}, capacity: {cpu: 4}}", id="a list of short forms"),
        pytest.param("nodes: [{name: n, labels: {zone: x}, capacity: {cpu: 4}}]", id="under a key"),
        pytest.param("{name: n, labels: {zone: x}, capacity: {cpu: 4}}", id="one by itself"),
        pytest.param(
            "apiVersion: v1\nkind: Node\nmetadata: {name: n, labels: {zone: x}}\nstatus: {capacity: {cpu: 4}}",
            id="a manifest",
        ),
    ],
)
def test_forms_of_a_file(text: str) -> None:
    """All forms read the same."""
    (node,) = node_objects("nodes.yaml", text)
    assert (objects.name(node), objects.labels(node)["zone"], node["status"]["allocatable"]["cpu"]) == ("n", "x", "4")
    assert node["status"]["allocatable"]["pods"] == "110"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "no nodes in it", id="empty"),
        pytest.param("- {labels: {}}", "node 0: name is missing or not a text", id="without a name"),
        pytest.param("- {name: n, cpu: 4}", "node 0: unknown fields cpu; known are", id="an unknown field"),
        pytest.param(
            "- {name: n, capacity: {cpu: many}}", "capacity.cpu: 'many': quantities must match", id="no quantity"
        ),
        pytest.param("[{name: n}, {name: n}]", "node 'n' is there twice", id="twice"),
        pytest.param("[", "is not YAML", id="not YAML"),
    ],
)
def test_faults_of_a_file(text: str, fault: str) -> None:
    """A faulty file is refused with what is wrong in it."""
    with pytest.raises(ConfigError, match=fault):
        node_objects("nodes.yaml", text)
