"""Several pod sets of one Workload on the same nodes: the rows of scheduling-cases.md §12 that need more than one placement."""

from __future__ import annotations

from typing import Any

import pytest

from support.nodes import BLOCK, GPU, HOST, RACK, node, nodes
from support.world import World, admits
from unit.core.scheduler.test_topology_cases import asking, places, pod_set, standing, submit, waiting

M = "b1{r1{x3:10} r2{x5,x1,x6:10}} b2{r1{x2:10} r2{x4:20}}"
LABELS = (BLOCK, RACK, HOST)


def world_of(objs: list[dict[str, Any]], *levels: str) -> World:
    """One ClusterQueue with ample quota of cpu, memory and gpu."""
    world = World()
    world.topology("default", *levels)
    world.flavor("tas-default", topologyName="default")
    world.nodes(objs)
    world.queue("cq", "tas-default:cpu500,mem500Gi,gpu500")
    return world


def placed(world: World, *pod_sets: dict[str, Any]) -> dict[str, dict[str, int]]:
    submit(world, "w", *pod_sets)
    return {name: places(decision.admission) for name, decision in admits(world.cycle()).items()}["w"]


def grouped(leader: dict[str, Any], workers: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    for each in (leader, workers):
        each["topologyRequest"]["podSetGroupName"] = "g"
    return leader, workers


def blocks(*cpu: str) -> list[dict[str, Any]]:
    return [node(f"n{i}", {BLOCK: f"b{i}"}, {"cpu": amount}) for i, amount in enumerate(cpu, 1)]


def test_the_pods_of_a_node_are_shared() -> None:
    """TP-19: the second pod set is told of the node's number of pods."""
    world = world_of([node("x1", {HOST: "x1"}, {"cpu": "2", "pods": "1"})], HOST)
    submit(world, "w", pod_set("one", 1, required=HOST), pod_set("two", 1, required=HOST))
    message = waiting(world, "w")[1]
    assert message.startswith("couldn't assign flavors to pod set two: ")
    assert message.endswith('excluded: resource "pods": 1')


def test_a_selector() -> None:
    """TP-23, TP-40: the node that matches; a label that no node has; the pod set that has no node is told."""
    objs = [node(name, {HOST: name, "zone": name[-1]}, {"cpu": "4"}) for name in ("x1", "x2")]
    wanting = [pod_set("one", 1, spec={"nodeSelector": {"zone": "2"}}, required=HOST)]
    assert placed(world_of(objs, HOST), *wanting) == {"one": {"x2": 1}}
    world = world_of(objs, HOST)
    never = pod_set("two", 1, spec={"nodeSelector": {"never": "match"}}, required=HOST)
    submit(world, "w", pod_set("one", 1, required=HOST), never)
    message = waiting(world, "w")[1]
    assert "pod set two" in message
    assert message.endswith("Total nodes: 2; excluded: nodeSelector: 2")


def test_pod_sets_fill_blocks_in_turn() -> None:
    """TP-37."""
    both = [pod_set(name, 3, preferred=BLOCK) for name in ("one", "two")]
    want = {"one": {"b1": 2, "b2": 1}, "two": {"b2": 1, "b3": 2}}
    assert placed(world_of(blocks("2", "2", "2"), BLOCK), *both) == want


def test_different_resources_meet_on_a_rack() -> None:
    """TP-38: what the first takes of cpu leaves memory for the second."""
    second = asking(pod_set("two", 1, "0", required=RACK), memory="1024")
    world = world_of(nodes(M), BLOCK, RACK)
    submit(world, "w", pod_set("one", 2, required=RACK), second)
    [(_, decision)] = admits(world.cycle()).items()
    assert places(decision.admission) == {"one": {"r1": 2}, "two": {"r1": 1}}


def test_remains_are_filled_up() -> None:
    """TP-39: the second finds the least that is left, on the host that the first began."""
    want = {"one": {"x2": 8}, "two": {"x2": 2}}
    assert (
        placed(world_of(nodes(M), *LABELS), pod_set("one", 8, required=BLOCK), pod_set("two", 2, unconstrained=True))
        == want
    )


def test_racks_that_one_took_are_left() -> None:
    """TP-43: usage of earlier pod sets counts where racks are the lowest level, too."""
    world = world_of(nodes("b1{r1{x1:1} r2{x2:1}} b2{r1{x3:1}}"), BLOCK, RACK)
    submit(world, "w", pod_set("one", 2, required=BLOCK), pod_set("two", 1, required=RACK))
    [(_, decision)] = admits(world.cycle()).items()
    second = decision.admission.pod_set_assignments[1].topology_assignment
    assert second is not None
    assert next(level for part in second.slices for level in part.values_per_level).universal == "b2"


FREE = [
    ("2500m", 1, "2500m", {"leader": {"l1": 1}, "workers": {"l1": 1}}),
    ("2500m", 2, "500m", {"leader": {"l1": 1}, "workers": {"l1": 2}}),
    ("1", 1, "1", {"leader": {"s2": 1}, "workers": {"s2": 1}}),
]


@pytest.mark.parametrize(("leader", "count", "worker", "want"), FREE)
def test_the_rack_where_both_fit(leader: str, count: int, worker: str, want: dict[str, dict[str, int]]) -> None:
    """TG-11: a leader and its workers go where together they fit; the smallest such rack."""
    world = world_of(nodes("small{s1,s2:2800m} large{l1:6}", (RACK, HOST)), RACK, HOST)
    standing(world, "held", "cq", pod_set("one", 1, "2500m"), {"s1": 1})
    found = placed(
        world, *grouped(pod_set("leader", 1, leader, required=RACK), pod_set("workers", count, worker, required=RACK))
    )
    assert found == want


def test_the_zone_that_holds_leader_and_workers_with_least_left() -> None:
    """TG-15: slices of one pod on racks, all in one zone."""
    zone = "cloud.com/zone"
    objs = [node(f"n{i}", {zone: f"dom{i}", RACK: f"r{i}"}, {"cpu": cpu}) for i, cpu in ((1, "10"), (2, "6"))]
    slices = {"podSetSliceRequiredTopology": RACK, "podSetSliceSize": 1}
    world = world_of(objs, zone, RACK)
    found = placed(world, *grouped(pod_set("leader", 1, required=zone), pod_set("workers", 5, required=zone, **slices)))
    assert found == {"leader": {"r2": 1}, "workers": {"r2": 5}}


def test_devices_of_a_node_are_shared() -> None:
    """What the first pod set takes of a device is not there for the second."""
    objs = [node(name, {HOST: name}, {"cpu": "8", GPU: "4"}) for name in ("x1", "x2")]
    both = [asking(pod_set(name, 1, required=HOST), **{GPU: "3"}) for name in ("one", "two")]
    assert placed(world_of(objs, HOST), *both) == {"one": {"x1": 1}, "two": {"x2": 1}}
