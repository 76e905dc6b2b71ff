"""Pods leave nodes that drive them out."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.kinds import NODE, POD
from support.cluster import Cluster
from support.emulated import make_cluster, template
from unit.emulation.test_node_lifecycle import say

NODES = "n.yaml"
TAINT = {"key": "k", "effect": "NoExecute"}


def cluster_with(*tolerations: dict[str, Any]) -> tuple[Cluster, str]:
    """A running pod `a`, and its node."""
    cluster = make_cluster()
    cluster.create(POD, {**template(tolerations=list(tolerations)), "metadata": {"name": "a"}})
    cluster.settle()
    return cluster, cluster.get(POD, "a")["spec"]["nodeName"]


def bearing(seconds: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"key": "k", "operator": "Exists", "effect": "NoExecute"}
    return found | ({"tolerationSeconds": seconds} if seconds is not None else {})


@pytest.mark.parametrize(
    ("tolerations", "alive_s", "gone_s"),
    [
        pytest.param([], 0, 1, id="at once"),
        pytest.param([bearing(60)], 59, 61, id="after a time"),
        pytest.param([bearing(60), bearing(30)], 29, 31, id="after the shorter time"),
        pytest.param([bearing(None)], 1000, None, id="never"),
    ],
)
def test_how_long_a_taint_is_borne(tolerations: list[dict[str, Any]], alive_s: int, gone_s: int | None) -> None:
    """The taint is put on by hand."""
    cluster, node = cluster_with(*tolerations)
    cluster.patch(NODE, node, {"spec": {"taints": [TAINT]}})
    if alive_s:
        cluster.advance(alive_s)
        assert cluster.exists(POD, "a")
    if gone_s is not None:
        cluster.advance(gone_s - alive_s)
        assert not cluster.exists(POD, "a")
        assert cluster.notes("TaintManagerEviction") == [
            "Pod/a TaintManagerEviction: Marking for deletion Pod default/a"
        ]


def test_a_node_that_recovers_keeps_its_pods() -> None:
    """The time begins anew with the next failure."""
    cluster, node = cluster_with()
    for _ in range(2):
        say(cluster, node, "Ready", "False")
        cluster.advance(200)
        say(cluster, node, "Ready", "True")
        cluster.advance(200)
    assert cluster.exists(POD, "a")
    say(cluster, node, "Ready", "False")
    cluster.advance(301)
    assert not cluster.exists(POD, "a")


def test_nothing_happens_where_nothing_is_heard() -> None:
    """A pod on an unreachable node stays on its way out until the node is heard of again."""
    cluster, node = cluster_with()
    say(cluster, node, "Ready", "Unknown")
    cluster.advance(301)
    pod = cluster.get(POD, "a")
    assert pod["metadata"]["deletionTimestamp"]
    [told] = [c for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert told["reason"] == "DeletionByTaintManager"
    say(cluster, node, "Ready", "True")
    cluster.advance(1)
    assert not cluster.exists(POD, "a")
