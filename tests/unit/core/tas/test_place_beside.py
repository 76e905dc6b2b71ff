"""Placement beside what is held already: several pod sets of one Workload, and Workloads that were there before.

The rest of the tables TP and TG of scheduling-cases.md §12.
"""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.conversion.topology import Domain
from pykueue.api.objects import ObjectKey
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import demand_of_pod
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.place import Placement, place
from pykueue.core.tas.request import Layout, resolve
from support.nodes import BLOCK, HOST, LEVELS, RACK, node, nodes
from support.world import World, admits, pendings
from unit.core.scheduler.test_topology_cases import places, pod_set, submit
from unit.core.tas.test_place import D, book_of, demand, request_of, run, shown

M = D.replace(":1", ":10").replace(":2", ":20")


def world_of(drawing: str | list[dict[str, Any]], levels: tuple[str, ...]) -> World:
    """A ClusterQueue with more quota than nodes."""
    world = World()
    world.topology("default", *levels)
    world.flavor("tas", topologyName="default")
    world.nodes(nodes(drawing) if isinstance(drawing, str) else drawing)
    world.queue("cq", "tas:99")
    return world


def blocks(*cpu: int) -> list[dict[str, Any]]:
    return [node(f"n{i}", {BLOCK: f"b{i}"}, {"cpu": c}) for i, c in enumerate(cpu, 1)]


TOGETHER: dict[str, tuple[Any, tuple[str, ...], list[dict[str, Any]], dict[str, dict[str, int]]]] = {
    "TP-37 the second continues where the first ended": (
        blocks(2, 2, 2), (BLOCK,), [pod_set("ps1", 3, preferred=BLOCK), pod_set("ps2", 3, preferred=BLOCK)],
        {"ps1": {"b1": 2, "b2": 1}, "ps2": {"b2": 1, "b3": 2}},
    ),
    "TP-39 remains of the first are taken": (
        M, (BLOCK, RACK, HOST), [pod_set("ps1", 8, required=BLOCK), pod_set("ps2", 2, unconstrained=True)],
        {"ps1": {"x2": 8}, "ps2": {"x2": 2}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOGETHER)
def test_pod_sets_see_each_other(name: str) -> None:
    """Each pod set is placed beside those before it."""
    drawing, levels, pod_sets, want = TOGETHER[name]
    world = world_of(drawing, levels)
    submit(world, "w", *pod_sets)
    assert places(admits(world.cycle())["w"].admission) == want


FAULTS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], str]] = {
    "TP-19 the first takes the only place": (
        [node("x1", {HOST: "x1"}, {"cpu": 2, "pods": "1"})],
        [pod_set("one", 1, required=HOST), pod_set("two", 1, required=HOST)],
        'Total nodes: 1; excluded: resource "pods": 1',
    ),
    "TP-40 the second may go nowhere": (
        [node(name, {HOST: name}, {"cpu": 4}) for name in ("x1", "x2")],
        [pod_set("one", 1, required=HOST), pod_set("two", 1, spec={"nodeSelector": {"never": "match"}}, required=HOST)],
        "Total nodes: 2; excluded: nodeSelector: 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_the_pod_set_without_a_place_is_told(name: str) -> None:
    """The text is that of the pod set that failed."""
    drawing, pod_sets, ending = FAULTS[name]
    world = world_of(drawing, (HOST,))
    submit(world, "w", *pod_sets)
    text = "couldn't assign flavors to pod set two: topology \"default\" doesn't allow to fit any of 1 pod(s). "
    assert pendings(world.cycle())["w"].message == text + ending


def test_different_resources_share_a_rack() -> None:
    """TP-38: what one takes of cpu leaves the memory."""
    book = book_of(M, (BLOCK, RACK, HOST))
    levels = (BLOCK, RACK)
    ledger = Ledger()
    room = room_of(book.tree(levels, {}), ledger, "f")
    layout = resolve(levels, request_of("req R"))
    assert isinstance(layout, Layout)
    first = place("default", room, layout, demand("1", 2), None, is_mixed=True)
    assert shown(first) == "b1,r1×2"
    assert isinstance(first, Placement)
    ledger.add([Places("f", first.levels, first.workers, demand("1", 2).per_pod)])
    assert shown(place("default", room, layout, demand("memory=1024", 1), None, is_mixed=True)) == "b1,r1×1"


def test_a_selector_narrows_the_hosts() -> None:
    """TP-23: to the one that matches, or to none."""
    drawing = [node("x5", {HOST: "x5", "disk": "ssd"}, {"cpu": 1}), node("x3", {HOST: "x3"}, {"cpu": 1})]
    assert shown(run(drawing, 1, "req H", levels=(HOST,), spec={"nodeSelector": {"disk": "ssd"}})) == "x5×1"
    nowhere = run(drawing[1:], 1, "req H", levels=(HOST,), spec={"nodeSelector": {"disk": "ssd"}})
    assert isinstance(nowhere, str)
    assert nowhere.endswith("Total nodes: 1; excluded: nodeSelector: 1")


def test_usage_of_wider_domains() -> None:
    """TP-43: where racks are leaves, racks are used up."""
    book, levels, ledger = book_of(D, (BLOCK, RACK, HOST)), (BLOCK, RACK), Ledger()
    used = (Domain(("b1", "r1"), 1), Domain(("b1", "r2"), 3))
    ledger.hold(ObjectKey("ns", "held"), [Places("f", levels, used, demand_of_pod({"cpu": 1000}))])
    layout = resolve(levels, request_of("req R"))
    assert isinstance(layout, Layout)
    room = room_of(book.tree(levels, {}), ledger, "f")
    assert shown(place("default", room, layout, demand("1", 1), None, is_mixed=True)) == "b2,r1×1"


LEADERS = {
    "TG-11 both need a host": ("2500m", "2500m", 1, "large", "large×1"),
    "TG-11 the leader leaves too little": ("2500m", "500m", 2, "large", "large×2"),
    "TG-11 both share what is free": ("1", "1", 1, "small-free", "small-free×1"),
}


@pytest.mark.parametrize("name", LEADERS)
def test_a_leader_beside_others(name: str) -> None:
    """A small rack with a host in use, and a large one."""
    leader, pods, count, host, want = LEADERS[name]
    book = book_of("b{small{small-used,small-free:2800m} large-rack{large:6}}", (BLOCK, RACK, HOST))
    levels, ledger = (BLOCK, RACK, HOST), Ledger()
    used = Places("f", (HOST,), (Domain(("small-used",), 1),), demand_of_pod({"cpu": 2500}))
    ledger.hold(ObjectKey("ns", "held"), [used])
    layout = resolve(levels, request_of("req R"))
    assert isinstance(layout, Layout)
    room = room_of(book.tree(levels, {}), ledger, "f")
    found = place("default", room, layout, demand(pods, count), demand(leader, 1), is_mixed=True)
    assert isinstance(found, Placement), found
    assert (found.leader, shown(found)) == (Domain((host,), 1), want)


def test_slices_of_one_beside_a_leader() -> None:
    """TG-15: the smallest zone that holds the leader and all slices."""
    LEVELS["Z"] = "zone"
    levels = ("zone", RACK, HOST)
    found = run("dom1{r1{h1:10}} dom2{r2{h2:6}}", 5, "req Z sl(R,1)", levels=levels, leader="1")
    assert isinstance(found, Placement)
    assert (found.leader, shown(found)) == (Domain(("h2",), 1), "h2×5")
