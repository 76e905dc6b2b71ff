"""Where a queue stands."""

from __future__ import annotations

from pykueue.api.objects import ObjectKey
from support.world import World


def test_a_cluster_queue() -> None:
    """What it has, who waits in which order, and why the first does not start."""
    world = World()
    world.cohort("root", "f:1")
    world.queue("cq", "f:2→g:0", "root", strict=True)
    world.workload("a", "cq", "2", at="f")
    world.workload("b", "cq", "2", t=2)
    world.workload("c", "cq", "2", 7, t=3)
    told = world.engine.explainer(world.now).cluster_queue("cq", n_told=1)
    assert told is not None
    assert (told.kind, told.queue, told.path, told.strategy) == ("ClusterQueue", "cq", "/root/cq", "StrictFIFO")
    assert (told.is_active, told.pending, told.reserving, told.admitted) == (True, 2, 1, 1)
    assert [(w.position, w.workload, w.priority) for w in told.waiting] == [(1, "ns/c", 7)]
    assert told.head is not None
    assert (told.head.workload, told.head.reason) == ("ns/c", "WaitingForQuota")
    assert [(f.flavor, r.resource, r.nominal, r.used, r.free) for f in told.flavors for r in f.resources] == [
        ("f", "cpu", "2", "2", "1"),
        ("g", "cpu", "0", "0", "0"),
    ]


def test_a_local_queue_among_others() -> None:
    """Its Workloads keep their places in the order of the ClusterQueue."""
    world = World()
    world.queue("cq", "f:1")
    world.local("team", "cq")
    world.workload("b", "cq", "2", t=1)
    world.workload("c", "team", "2", t=2)
    told = world.engine.explainer(world.now).local_queue(ObjectKey("ns", "team"))
    assert told is not None
    assert (told.kind, told.queue, told.cluster_queue, told.pending) == ("LocalQueue", "ns/team", "cq", 1)
    assert [(w.position, w.workload) for w in told.waiting] == [(2, "ns/c")]
    assert told.head is not None
    assert told.head.ahead == ("ns/b",)


def test_queues_that_are_inactive() -> None:
    """The reason is that of the condition."""
    world = World()
    world.queue("cq", "f:1", missing=("f",))
    world.local("team", "gone")
    world.workload("w", "cq", "1")
    explainer = world.engine.explainer(world.now)
    told = explainer.cluster_queue("cq")
    assert told is not None
    assert (told.is_active, told.reason) == (False, "FlavorNotFound")
    assert told.head is not None
    assert (told.head.state, told.head.message) == ("Blocked", "ClusterQueue cq is inactive")
    lost = explainer.local_queue(ObjectKey("ns", "team"))
    assert lost is not None
    assert (lost.is_active, lost.reason, lost.path, lost.flavors) == (False, "ClusterQueueDoesNotExist", "", ())
