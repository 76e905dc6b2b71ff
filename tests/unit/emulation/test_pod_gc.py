"""Pods whose node is gone."""

from __future__ import annotations

from pykueue.api.kinds import NODE, POD
from pykueue.emulation.nodes import make_node
from pykueue.emulation.pod_gc import PodGarbageCollector
from support.cluster import Cluster
from support.emulated import finish, make_cluster, template


def cluster_with(**metadata: list[str]) -> tuple[Cluster, str]:
    """A running pod `a`, and its node."""
    cluster = make_cluster()
    cluster.create(POD, {**template(), "metadata": {"name": "a", **metadata}})
    cluster.settle()
    return cluster, cluster.get(POD, "a")["spec"]["nodeName"]


def test_collected_after_a_while() -> None:
    """Not at once: the node may come back."""
    cluster, node = cluster_with()
    cluster.delete(NODE, node)
    cluster.advance(39)
    assert cluster.get(POD, "a")["status"]["phase"] == "Running"
    cluster.advance(2)
    assert not cluster.exists(POD, "a")


def test_the_owner_sees_why() -> None:
    """A finalizer holds the pod: it is marked as failed, and deleted once."""
    cluster, node = cluster_with(finalizers=["example.com/held"])
    cluster.delete(NODE, node)
    cluster.advance(100)
    pod = cluster.get(POD, "a")
    assert (pod["status"]["phase"], pod["metadata"]["deletionGracePeriodSeconds"]) == ("Failed", 0)
    [told] = [c for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert (told["reason"], told["message"]) == ("DeletionByPodGC", "PodGC: node no longer exists")


def test_a_node_that_comes_back_keeps_its_pods() -> None:
    """And the next time it is missed the while begins anew."""
    cluster, node = cluster_with()
    for _ in range(2):
        cluster.delete(NODE, node)
        cluster.advance(30)
        cluster.create(NODE, make_node(node))
        cluster.advance(30)
    assert cluster.exists(POD, "a")


def test_a_pod_that_ended_stays_as_it_ended() -> None:
    """It is taken away, but not called failed."""
    cluster, node = cluster_with(finalizers=["example.com/held"])
    finish(cluster, "a")
    cluster.delete(NODE, node)
    cluster.advance(100)
    assert cluster.get(POD, "a")["status"]["phase"] == "Succeeded"


def test_a_node_without_orphans_is_missed_no_more() -> None:
    """Nodes come and go under ever new names: none is remembered when its last pod is gone."""
    cluster, node = cluster_with()
    cluster.delete(NODE, node)
    cluster.advance(100)
    collector = cluster._reconcilers[PodGarbageCollector.name]
    assert isinstance(collector, PodGarbageCollector)
    assert not cluster.exists(POD, "a")
    assert not collector._missed
