"""The emulated kubelet, with everything else that plays a cluster."""

from __future__ import annotations

from pykueue.api.kinds import POD
from support.emulated import make_cluster, template


def test_a_bound_pod_runs_and_a_deleted_one_vanishes() -> None:
    """Pods run at once, and go when they are deleted."""
    cluster = make_cluster()
    cluster.create(POD, {**template(), "metadata": {"name": "a"}})
    cluster.settle()
    assert cluster.get(POD, "a")["status"]["phase"] == "Running"
    cluster.delete(POD, "a")
    cluster.settle()
    assert not cluster.exists(POD, "a")


def test_a_deleted_pod_stays_as_it_is_while_it_is_held() -> None:
    """What a finalizer holds is for its owner to see and to let go: its grace is over, its status is as it was."""
    cluster = make_cluster()
    cluster.create(POD, {**template(), "metadata": {"name": "a", "finalizers": ["example.com/held"]}})
    cluster.settle()
    cluster.delete(POD, "a")
    cluster.settle()
    pod = cluster.get(POD, "a")
    assert (pod["status"]["phase"], pod["metadata"]["deletionGracePeriodSeconds"]) == ("Running", 0)
    cluster.patch(POD, "a", {"metadata": {"finalizers": None}})
    cluster.settle()
    assert not cluster.exists(POD, "a")


def test_a_pod_that_ended_stays_as_it_ended() -> None:
    """What somebody says of a pod's end is left alone when the pod is deleted."""
    cluster = make_cluster()
    cluster.create(POD, {**template(), "metadata": {"name": "a", "finalizers": ["example.com/held"]}})
    cluster.settle()
    cluster.patch(POD, "a", {"status": {"phase": "Succeeded"}}, subresource="status")
    cluster.delete(POD, "a")
    cluster.settle()
    assert cluster.get(POD, "a")["status"]["phase"] == "Succeeded"
