"""Taints that follow from the state of a node."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.commands import PatchType
from pykueue.api.kinds import NODE
from pykueue.emulation.node_lifecycle import NodeLifecycle
from pykueue.emulation.nodes import NodeController, make_node
from support.cluster import Cluster


def say(cluster: Cluster, name: str, type_: str, status: str) -> None:
    """Mark a node, as whoever plays its kubelet would."""
    body = {"status": {"conditions": [{"type": type_, "status": status}]}}
    cluster.patch(NODE, name, body, subresource="status", type_=PatchType.STRATEGIC)
    cluster.settle()


def taints(cluster: Cluster, name: str) -> list[str]:
    found: list[dict[str, Any]] = (cluster.get(NODE, name).get("spec") or {}).get("taints") or []
    return [f"{t['key'].removeprefix('node.kubernetes.io/')}:{t['effect']}" for t in found]


@pytest.mark.parametrize(
    ("type_", "status", "healthy", "want"),
    [
        ("Ready", "False", "True", ["not-ready:NoSchedule", "not-ready:NoExecute"]),
        ("Ready", "Unknown", "True", ["unreachable:NoSchedule", "unreachable:NoExecute"]),
        ("MemoryPressure", "True", "False", ["memory-pressure:NoSchedule"]),
    ],
)
def test_taints_come_and_go(type_: str, status: str, healthy: str, want: list[str]) -> None:
    """Somebody else's taint stays where it is."""
    cluster = Cluster([NodeController(), NodeLifecycle()], definitions=())
    cluster.create(NODE, make_node("n", taints=[{"key": "mine", "effect": "NoSchedule"}]))
    cluster.settle()
    say(cluster, "n", type_, status)
    assert taints(cluster, "n") == ["mine:NoSchedule", *want]
    added = [t["timeAdded"] for t in cluster.get(NODE, "n")["spec"]["taints"][1:]]
    assert added == ["2026-01-01T00:00:00Z"] * len(want)
    say(cluster, "n", type_, healthy)
    assert taints(cluster, "n") == ["mine:NoSchedule"]


def test_a_cordoned_node() -> None:
    """`kubectl cordon` shows as a taint, and so does its end."""
    cluster = Cluster([NodeController(), NodeLifecycle()], definitions=())
    cluster.create(NODE, make_node("n"))
    cluster.settle()
    cluster.patch(NODE, "n", {"spec": {"unschedulable": True}})
    cluster.settle()
    assert taints(cluster, "n") == ["unschedulable:NoSchedule"]
    cluster.patch(NODE, "n", {"spec": {"unschedulable": None}})
    cluster.settle()
    assert taints(cluster, "n") == []
