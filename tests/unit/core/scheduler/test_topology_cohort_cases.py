"""Topology and cohorts: rows TC of scheduling-cases.md §13."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.cycle import NO_LONGER_FITS
from support.nodes import GPU, HOST, node
from support.world import World, admits, pendings, victims
from unit.core.scheduler.test_topology_cases import asking, hosts, placed, places, pod_set, standing, submit, waiting

NO_RECOMPUTATION = Features({Gate.TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE: False})
CR = "InCohortReclamation"


def x1_y1() -> list[dict[str, Any]]:
    """The nodes of most rows."""
    return [
        node("x1", {HOST: "x1"}, {"cpu": "3", "memory": "5Gi"}),
        node("y1", {HOST: "y1"}, {"cpu": "5", "memory": "3Gi"}),
    ]


def cohort(
    nodes: list[dict[str, Any]], *queues: str, features: Features | None = None, quota: str = "cpu4,mem4Gi"
) -> World:
    """ClusterQueues of a cohort that may all reclaim from each other; the first also from itself."""
    world = World(features=features)
    world.topology("t", HOST)
    world.flavor("tas-default", topologyName="t")
    world.nodes(nodes)
    for name in queues:
        world.queue(name, f"tas-default:{quota}", "all", RWC="A", WCQ="L" if name == "a" else "N")
    return world


def tried(world: World, name: str) -> tuple[dict[str, dict[str, dict[str, int]]], str]:
    """One cycle: who got which places, and what another is told."""
    result = world.cycle()
    found = {key: places(decision.admission) for key, decision in admits(result).items()}
    return found, pendings(result)[name].message


def test_both_on_the_smallest_node_that_does() -> None:
    """TC-01."""
    world = cohort(x1_y1(), "a", "b")
    submit(world, "a1", pod_set("one", 1, preferred=HOST), queue="a", priority=2)
    submit(world, "b1", pod_set("one", 2, preferred=HOST), queue="b", priority=1)
    assert placed(world) == {"a1": {"one": {"x1": 1}}, "b1": {"one": {"x1": 2}}}


def test_borrowing_is_told() -> None:
    """TC-02: quota may be borrowed where a node has room."""
    world = cohort(x1_y1(), "a", "b")
    submit(world, "a1", pod_set("one", 1, "5"), queue="a")
    submit(world, "b1", asking(pod_set("one", 1, "0"), memory="5"), queue="b")
    found = admits(world.cycle())
    assert {name: places(d.admission) for name, d in found.items()} == {
        "a1": {"one": {"y1": 1}},
        "b1": {"one": {"x1": 1}},
    }
    assert found["a1"].flavors_considered == "one: tas-default(Fit;borrow=1)"


def test_the_second_looks_elsewhere() -> None:
    """TC-04: or is skipped without the gate."""
    for features in (None, NO_RECOMPUTATION):
        world = cohort(x1_y1(), "a", "b", features=features)
        submit(world, "a1", pod_set("one", 1, "2", preferred=HOST), queue="a", priority=2)
        submit(world, "b1", pod_set("one", 1, "2", preferred=HOST), queue="b", priority=1)
        if features is None:
            assert placed(world) == {"a1": {"one": {"x1": 1}}, "b1": {"one": {"y1": 1}}}
        else:
            assert tried(world, "b1") == ({"a1": {"one": {"x1": 1}}}, NO_LONGER_FITS)


def test_quota_that_is_gone_is_not_looked_for_elsewhere() -> None:
    """TC-05."""
    world = cohort(x1_y1(), "a", "b")
    submit(world, "a1", pod_set("one", 5, preferred=HOST), queue="a", priority=2)
    submit(world, "b1", pod_set("one", 5, preferred=HOST), queue="b", priority=1)
    assert tried(world, "b1") == ({"a1": {"one": {"y1": 5}}}, NO_LONGER_FITS)


def test_borrowed_over_two_nodes() -> None:
    """TC-06."""
    world = cohort(x1_y1(), "a", "b")
    submit(world, "a1", pod_set("one", 6, preferred=HOST), queue="a")
    assert placed(world) == {"a1": {"one": {"x1": 1, "y1": 5}}}


def test_a_recomputation_keeps_the_flavor() -> None:
    """TC-07: another flavor would do, but not in this cycle; so it is tried again at once."""
    world = World()
    world.topology("t", HOST)
    for i in (1, 2):
        world.flavor(f"f{i}", topologyName="t", nodeLabels={"pool": f"{i}"})
        world.nodes([node(f"node-{i}", {HOST: f"node-{i}", "pool": f"{i}"}, {"cpu": "8"})])
    world.queue("a", "f1:8", "all")
    world.queue("b", "f1:8→f2:8", "all")
    submit(world, "a1", pod_set("one", 8, required=HOST), queue="a", priority=10)
    submit(world, "b1", pod_set("one", 8, required=HOST), queue="b", priority=5)
    result = world.cycle()
    assert {name: places(d.admission) for name, d in admits(result).items()} == {"a1": {"one": {"node-1": 8}}}
    assert pendings(result)["b1"].reason.value == "WaitingForQuota"
    assert not world.is_parked("b1")


def test_equal_nodes() -> None:
    """TC-08: the second takes the other one, or waits without the gate."""
    for features in (None, NO_RECOMPUTATION):
        world = cohort(hosts(**{"node-1": "8", "node-2": "8"}), "a", "b", features=features, quota="8")
        submit(world, "a1", pod_set("one", 8, required=HOST), queue="a", priority=2)
        submit(world, "b1", pod_set("one", 8, required=HOST), queue="b", priority=1)
        want = {"a1": {"one": {"node-1": 8}}} | ({"b1": {"one": {"node-2": 8}}} if features is None else {})
        assert placed(world) == want


def test_a_recomputation_may_preempt() -> None:
    """TC-09: for quota, with the place moved to another node."""
    for features in (None, NO_RECOMPUTATION):
        world = World(features=features)
        world.topology("t", HOST)
        world.flavor("tas-default", topologyName="t")
        world.nodes(hosts(**{"node-1": "1", "node-2": "2", "node-3": "2"}))
        world.queue("a", "tas-default:2", "all")
        world.queue("b", "tas-default:2 BL0", "all", WCQ="L")
        standing(world, "b-low", "b", pod_set("one", 1, required=HOST), {"node-1": 1})
        submit(world, "a1", pod_set("one", 2, required=HOST), queue="a", priority=2)
        submit(world, "b1", pod_set("one", 2, required=HOST), queue="b", priority=2, t=1)
        result = world.cycle()
        assert {name: places(d.admission) for name, d in admits(result).items()} == {"a1": {"one": {"node-2": 2}}}
        assert victims(result) == ({"b-low": "InClusterQueue"} if features is None else {})
        if features is not None:
            assert pendings(result)["b1"].message == NO_LONGER_FITS


def preempting(policy: str, priority: int, features: Features | None = None) -> World:
    """`y1` alone; A may not borrow and holds a1 there; a2 and b1 want more than is left."""
    world = World(features=features)
    world.topology("t", HOST)
    world.flavor("tas-default", topologyName="t")
    world.nodes(x1_y1()[1:])
    world.queue("a", "tas-default:8 BL0", "all", RWC=policy, WCQ="L")
    world.queue("b", "tas-default:4", "all", RWC="A")
    standing(world, "a1", "a", pod_set("one", 2, required=HOST), {"y1": 2}, priority=priority)
    submit(world, "a2", pod_set("one", 4, required=HOST), queue="a", priority=2)
    submit(world, "b1", pod_set("one", 3, required=HOST), queue="b", priority=1)
    return world


def test_what_victims_free_is_not_for_others() -> None:
    """TC-10: it is parked, or tried again without the gate."""
    for features in (None, NO_RECOMPUTATION):
        world = preempting("A", 1, features)
        result = world.cycle()
        assert victims(result) == {"a1": "InClusterQueue"}
        assert admits(result) == {}
        assert world.is_parked("b1") == (features is None)


def test_a_place_is_kept_for_who_cannot_reclaim() -> None:
    """TC-11."""
    world = preempting("L", 2)
    result = world.cycle()
    assert (victims(result), admits(result)) == ({}, {})
    assert world.is_parked("a2")


def test_no_place_is_kept_for_who_can_always_reclaim() -> None:
    """TC-12."""
    world = preempting("A", 2)
    found, message = tried(world, "a2")
    assert found == {"b1": {"one": {"y1": 3}}}
    assert message.endswith("allows to fit only 3 out of 4 pod(s)")
    assert world.is_parked("a2")


def test_reclaiming_for_quota_and_a_place() -> None:
    """TC-13, TC-14: who borrows gives back; only as much as is needed."""
    world = cohort(x1_y1(), "a", "b")
    standing(world, "a1", "a", pod_set("one", 5), {"x1": 5}, priority=1)
    submit(world, "b1", pod_set("one", 4), queue="b")
    assert victims(world.cycle()) == {"a1": CR}
    world = cohort(x1_y1(), "a", "b")
    standing(world, "a1", "a", pod_set("one", 5), {"x1": 5}, priority=1)
    standing(world, "a2", "a", pod_set("one", 2), {"y1": 2}, priority=2)
    standing(world, "a3", "a", pod_set("one", 1), {"y1": 1}, priority=2)
    submit(world, "b1", pod_set("one", 3), queue="b", priority=3)
    assert victims(world.cycle()) == {"a1": CR}


def test_two_preemptors_share_no_victims() -> None:
    """TC-15: the second finds its own, or is skipped without the gate."""
    for features in (None, NO_RECOMPUTATION):
        world = cohort(x1_y1(), "a", "b", "c", features=features)
        standing(world, "a1", "a", pod_set("one", 5), {"x1": 3, "y1": 2}, priority=2)
        standing(world, "a2", "a", pod_set("one", 1), {"y1": 1}, priority=1)
        standing(world, "a3", "a", pod_set("one", 1), {"y1": 1}, priority=1)
        submit(world, "b1", pod_set("one", 3, required=HOST), queue="b", priority=3)
        submit(world, "c1", pod_set("one", 1, required=HOST), queue="c", priority=1)
        result = world.cycle()
        assert victims(result) == {"a2": CR, "a3": CR} | ({"a1": CR} if features is None else {})
        if features is not None:
            assert pendings(result)["c1"].message == NO_LONGER_FITS


def test_one_pod_for_two_pod_sets() -> None:
    """TC-16: the node takes a single pod, whatever the quota."""
    world = cohort(hosts(x1="3,1"), "a", "b")
    submit(world, "a1", pod_set("one", 1, required=HOST), pod_set("two", 1, required=HOST), queue="a")
    assert waiting(world, "a1")[0] == "TopologyPlacementFailed"
    assert world.is_parked("a1")


def test_victims_that_free_one_resource_only() -> None:
    """TC-17: quota of cpu fits, but no node has all of it free; so those who hold cpu are victims too."""
    world = World()
    world.topology("t", HOST)
    world.flavor("tas-default", topologyName="t")
    world.nodes([node(name, {HOST: name}, {"cpu": "8", GPU: "8"}) for name in ("node-1", "node-2")])
    world.cohort("all", "tas-default:cpu16,gpu16")
    for name in ("a", "b"):
        world.queue(name, "tas-default:cpu0 BL16,gpu0 BL16", "all", RWC="A", WCQ="L", BWC="L")
    both = {"node-1": 1, "node-2": 1}
    standing(world, "low-cpu", "a", pod_set("one", 2, "5"), both, priority=-1000)
    standing(world, "low-gpu", "a", asking(pod_set("one", 2, "10m"), **{GPU: "8"}), both, priority=-1000)
    submit(world, "standard", asking(pod_set("one", 1, "5"), **{GPU: "8"}), queue="b")
    assert sorted(victims(world.cycle())) == ["low-cpu", "low-gpu"]


@pytest.mark.parametrize("count", [3, 4])
def test_the_table_can_fail(count: int) -> None:
    """What the rows above rest on: three pods fit on `x1`, four do not."""
    world = cohort(x1_y1()[:1], "a", "b")
    submit(world, "a1", pod_set("one", count, required=HOST), queue="a")
    assert bool(placed(world)) == (count == 3)
