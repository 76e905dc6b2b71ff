"""Elastic jobs with topology: rows TE of scheduling-cases.md §12."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.core.features import Features, Gate
from support.nodes import HOST, nodes
from support.world import World, admits
from unit.core.scheduler.test_second_pass_cases import run_on
from unit.core.scheduler.test_topology_cases import places, pod_set, waiting

ELASTIC = {"kueue.x-k8s.io/elastic-job": "true"}
FEATURES = Features({Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS: True})


def world_of(drawing: str, features: Features | None = None) -> World:
    world = World(features=features or FEATURES)
    world.topology("t", HOST)
    world.flavor("tas-default", topologyName="t")
    world.nodes(nodes(drawing, (HOST,)))
    world.queue("cq", "tas-default:50")
    return world


def resize(world: World, pod_sets: list[dict[str, Any]], held: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Where the pods of a slice go that replaces one with these places."""
    old = [each | {"count": sum(held[each["name"]].values())} for each in pod_sets]
    run_on(world, "old", old, held)
    annotations = ELASTIC | {"kueue.x-k8s.io/workload-slice-replacement-for": "ns/old"}
    world.workload("new", "cq", "1", pod_sets=pod_sets, metadata={"annotations": annotations})
    [(_, decision)] = admits(world.cycle()).items()
    assert decision.replaces is not None
    return places(decision.admission)


def grouped(count: int) -> list[dict[str, Any]]:
    request = {"unconstrained": True, "podSetGroupName": "g"}
    return [pod_set("leader", 1, **request), pod_set("workers", count, **request)]


RESIZED = {
    "TE-01 grows on another host": ("x1,x2,x3:2", 4, {"x1": 2}, {"x1": 2, "x2": 2}),
    "TE-02 grows where most is free": ("x1,x2,x3:2", 4, {"x1": 1, "x2": 1}, {"x1": 1, "x2": 1, "x3": 2}),
    "TE-03 shrinks from the end": ("x1,x2:4", 3, {"x1": 3, "x2": 2}, {"x1": 3}),
    "TE-03 stays": ("x1,x2:4", 3, {"x1": 2, "x2": 1}, {"x1": 2, "x2": 1}),
    "grows on its own host": ("x1:4,x2:1", 4, {"x1": 1, "x2": 1}, {"x1": 3, "x2": 1}),
    "a host is gone": ("x1:4,x2:1", 3, {"x9": 2}, {"x1": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", RESIZED)
def test_who_runs_stays(name: str) -> None:
    """Only the difference is placed."""
    drawing, count, held, want = RESIZED[name]
    assert resize(world_of(drawing), [pod_set("main", count)], {"main": held}) == {"main": want}


def test_the_leader_stays() -> None:
    """TE-04."""
    found = resize(world_of("x1:2,x2:1,x3:2"), grouped(4), {"leader": {"x2": 1}, "workers": {"x1": 2}})
    assert found == {"leader": {"x2": 1}, "workers": {"x1": 2, "x3": 2}}


def test_without_the_leaders_host_all_are_placed_anew() -> None:
    """TE-05: and what they held before does not stand in their way."""
    found = resize(world_of("x1:2,x2:3,x3:3"), grouped(4), {"leader": {"x9": 1}, "workers": {"x1": 2}})
    assert found == {"leader": {"x1": 1}, "workers": {"x1": 1, "x2": 3}}


@pytest.mark.parametrize("word", ["required", "preferred"])
def test_only_unconstrained(word: str) -> None:
    """TE-06."""
    world = world_of("x1:2")
    pod_sets = [pod_set("main", 1, **{word: HOST})]
    world.workload("w", "cq", "1", pod_sets=pod_sets, metadata={"annotations": ELASTIC})
    text = (
        f"couldn't assign flavors to pod set main: {word} topology is not supported with ElasticJobsViaWorkloadSlices"
    )
    assert waiting(world, "w") == ("TopologyPlacementFailed", text)


def test_without_the_gate_a_slice_is_placed_anew() -> None:
    """The places of the replaced slice mean nothing then, but that they are taken."""
    found = resize(world_of("x1,x2:2", Features({})), [pod_set("main", 2)], {"main": {"x1": 1}})
    assert found == {"main": {"x2": 2}}


def test_a_resized_job_holds_its_places_once() -> None:
    """After the replacement the ledger has the new slice's places, and nothing of the old one."""
    world = world_of("x1,x2,x3:2")
    resize(world, [pod_set("main", 4)], {"main": {"x1": 2}})
    held = {spot.values: amounts["cpu"] for spot, amounts in world.engine._cache.ledger._held.items()}
    assert held == {("x1",): 2000, ("x2",): 2000}


def test_another_takes_no_place_of_a_growing_job() -> None:
    """Both in one cycle: the difference that the first takes is not there for the second."""
    world = world_of("x1:3")
    world.queue("other", "tas-default:50")
    world.workload("rival", "other", "1", priority=-1, pod_sets=[pod_set("main", 2)])
    found = resize_with_rival(world)
    assert found == {"new": {"main": {"x1": 2}}}


def resize_with_rival(world: World) -> dict[str, dict[str, dict[str, int]]]:
    run_on(world, "old", [pod_set("main", 1)], {"main": {"x1": 1}})
    annotations = ELASTIC | {"kueue.x-k8s.io/workload-slice-replacement-for": "ns/old"}
    world.workload("new", "cq", "1", pod_sets=[pod_set("main", 2)], metadata={"annotations": annotations})
    return {name: places(decision.admission) for name, decision in admits(world.cycle()).items()}
