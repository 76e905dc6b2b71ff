"""Owners and dependents; namespaces and what is in them."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api import objects
from pykueue.api.kinds import CONFIG_MAP, JOB, NAMESPACE, POD, SECRET, SERVICE, STATEFUL_SET
from pykueue.emulation.garbage_collector import UNSEEN_US, GarbageCollector
from support.cluster import Cluster
from support.emulated import make_cluster, phases, stateful_set

KINDS = (CONFIG_MAP, SECRET, SERVICE)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster([GarbageCollector(KINDS)], definitions=())


def owned_by(*owners: objects.Obj, blocks: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": objects.name(o),
            "uid": objects.uid(o),
            "blockOwnerDeletion": blocks,
        }
        for o in owners
    ]


def test_dependents_follow_their_owner(cluster: Cluster) -> None:
    """In the background the owner goes first, then what it owned, down the tree."""
    top = cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    middle = cluster.create(CONFIG_MAP, {"metadata": {"name": "middle", "ownerReferences": owned_by(top)}})
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": owned_by(middle)}})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "top")
    assert cluster.names(CONFIG_MAP) == ["middle"]
    cluster.settle()
    assert (cluster.names(CONFIG_MAP), cluster.names(SECRET)) == ([], [])


def test_foreground_deletes_from_the_leaves(cluster: Cluster) -> None:
    """In the foreground what is owned goes first."""
    top = cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    middle = cluster.create(CONFIG_MAP, {"metadata": {"name": "middle", "ownerReferences": owned_by(top)}})
    held = {"name": "leaf", "ownerReferences": owned_by(middle), "finalizers": ["example.com/hold"]}
    cluster.create(SECRET, {"metadata": held})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "top", propagation="Foreground")
    cluster.settle()
    assert cluster.names(CONFIG_MAP) == ["middle", "top"]
    assert objects.is_deleting(cluster.get(SECRET, "leaf"))
    cluster.patch(SECRET, "leaf", {"metadata": {"finalizers": None}})
    cluster.settle()
    assert (cluster.names(CONFIG_MAP), cluster.names(SECRET)) == ([], [])


def test_foreground_does_not_wait_for_what_does_not_block(cluster: Cluster) -> None:
    """Without blockOwnerDeletion the owner goes, and the dependent after it."""
    top = cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    free = {"name": "free", "ownerReferences": owned_by(top, blocks=False), "finalizers": ["example.com/hold"]}
    cluster.create(SECRET, {"metadata": free})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "top", propagation="Foreground")
    cluster.settle()
    assert cluster.names(CONFIG_MAP) == []
    assert objects.is_deleting(cluster.get(SECRET, "free"))


def test_orphans_stay(cluster: Cluster) -> None:
    """Orphaned dependents lose their reference and stay."""
    top = cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": owned_by(top)}})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "top", propagation="Orphan")
    cluster.settle()
    assert cluster.names(CONFIG_MAP) == []
    assert "ownerReferences" not in cluster.get(SECRET, "leaf")["metadata"]


def test_one_owner_of_two_is_enough(cluster: Cluster) -> None:
    """An object stays as long as one owner does, and forgets the other."""
    first = cluster.create(CONFIG_MAP, {"metadata": {"name": "first"}})
    second = cluster.create(CONFIG_MAP, {"metadata": {"name": "second"}})
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": owned_by(first, second)}})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "first")
    cluster.settle()
    assert [ref.name for ref in objects.owner_references(cluster.get(SECRET, "leaf"))] == ["second"]
    cluster.delete(CONFIG_MAP, "second")
    cluster.settle()
    assert cluster.names(SECRET) == []


def test_an_owner_that_never_was_counts_as_gone_after_a_while(cluster: Cluster) -> None:
    """What the cache does not show may only be late: it is waited for."""
    ghost = {"metadata": {"name": "ghost", "uid": "no-such-uid"}}
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": owned_by(ghost)}})
    cluster.advance(UNSEEN_US / 1e6 - 1)
    assert cluster.names(SECRET) == ["leaf"]
    cluster.advance(2)
    assert cluster.names(SECRET) == []


def test_an_owner_of_the_same_name_is_another_one(cluster: Cluster) -> None:
    """References are to UIDs."""
    top = cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": owned_by(top)}})
    cluster.settle()
    cluster.delete(CONFIG_MAP, "top")
    cluster.create(CONFIG_MAP, {"metadata": {"name": "top"}})
    cluster.settle()
    assert cluster.names(SECRET) == []


def test_kinds_that_are_not_collected_count_as_present(cluster: Cluster) -> None:
    """Nothing is deleted for an owner that nobody here can know."""
    ref = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "y"}
    cluster.create(SECRET, {"metadata": {"name": "leaf", "ownerReferences": [ref]}})
    cluster.advance(60)
    assert cluster.names(SECRET) == ["leaf"]


def test_namespaces_take_their_contents_with_them() -> None:
    """A deleted namespace is emptied, and then gone; others are not touched."""
    cluster = make_cluster()
    cluster.create(NAMESPACE, {"metadata": {"name": "team"}})
    for namespace in ("team", "default"):
        manifest = stateful_set()
        manifest["metadata"]["namespace"] = namespace
        cluster.create(STATEFUL_SET, manifest)
    cluster.settle()
    assert len(phases(cluster)) == 3
    cluster.delete(NAMESPACE, "team")
    cluster.settle(until_idle_s=5)
    assert "team" not in cluster.names(NAMESPACE)
    assert {objects.namespace(pod) for pod in cluster.list(POD)} == {"default"}
    assert cluster.names(JOB) == []
