"""Placement against a twin that fills up leaves on small trees: it finds a place exactly when there is one, and never overfills a leaf."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.v1beta2 import TopologyRequest
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.place import Placement, place
from pykueue.core.tas.request import Layout, Strictness, resolve
from pykueue.core.tas.topology import NodeBook
from pykueue.core.tas.tree import Tree
from support.nodes import BLOCK, HOST, RACK, node

LEVELS = (BLOCK, RACK, HOST)
Case = tuple[NodeBook, TopologyRequest | None, int, int, int | None]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Nodes with cpu and memory, a request, pods, cpu per pod, cpu of the leader."""
    book = NodeBook()
    n_hosts = draw(st.integers(1, 5))
    for i in range(n_hosts):
        labels = {BLOCK: f"b{draw(st.integers(0, 1))}", RACK: f"r{draw(st.integers(0, 1))}", HOST: f"h{i}"}
        name = f"h{i}"
        book.set_node(name, node(name, labels, {"cpu": draw(st.integers(0, 5)), "pods": draw(st.integers(1, 5))}))
    fields: dict[str, Any] = {}
    strictness = draw(st.sampled_from(["required", "preferred", "unconstrained", "implied"]))
    main = draw(st.integers(0, 2))
    if strictness in ("required", "preferred"):
        fields[strictness] = LEVELS[main]
    elif strictness == "unconstrained":
        fields["unconstrained"] = True
    size = draw(st.integers(1, 3))
    if strictness in ("required", "preferred") and draw(st.booleans()):
        fields["pod_set_slice_required_topology"] = LEVELS[draw(st.integers(main, 2))]
        fields["pod_set_slice_size"] = size
    count = draw(st.integers(1, 6)) * fields.get("pod_set_slice_size", 1)
    leader = draw(st.none() | st.integers(0, 3))
    return book, TopologyRequest(**fields) if fields else None, count, draw(st.integers(0, 3)), leader


def demand(count: int, cpu: int) -> PodDemand:
    return PodDemand("main", count, demand_of_pod({"cpu": cpu * 1000} if cpu else {}), {})


def room(tree: Tree, leaf: int, workers: PodDemand, leader: PodDemand | None) -> int | None:
    """Pods that a leaf takes, by filling it up one by one; None if the leader does not fit."""
    left = dict(tree.free[leaf])

    def fill(pod: PodDemand) -> bool:
        for name, amount in pod.per_pod.items():
            left[name] = left.get(name, 0) - amount
        return all(v >= 0 for v in left.values())

    if leader is not None and not fill(leader):
        return None
    n = 0
    while fill(workers):
        n += 1
    return n


def leaves_under(tree: Tree, level: int, domain: int) -> list[int]:
    path = tree.paths[level][domain]
    return [leaf for leaf, full in enumerate(tree.paths[-1]) if full[: level + 1] == path]


def can_hold(tree: Tree, layout: Layout, leaves: list[int], workers: PodDemand, leader: PodDemand | None) -> bool:
    """Whether these leaves hold the slices, with the leader on some leaf: all leaves for the leader are tried."""
    for host in leaves if leader is not None else [None]:
        takes = {leaf: room(tree, leaf, workers, leader if leaf == host else None) for leaf in leaves}
        if None in takes.values():
            continue
        n_slices = 0
        for domain in range(len(tree.paths[layout.slice_level])):
            inside = [takes[leaf] or 0 for leaf in leaves_under(tree, layout.slice_level, domain) if leaf in takes]
            n_slices += sum(inside) // layout.slice_size
        if n_slices >= workers.count // layout.slice_size:
            return True
    return False


def regions(tree: Tree, layout: Layout) -> Iterator[list[int]]:
    """Sets of leaves that the request allows: one domain of the main level, or everything."""
    if layout.strictness is Strictness.REQUIRED:
        for domain in range(len(tree.paths[layout.main])):
            yield leaves_under(tree, layout.main, domain)
    else:
        yield list(range(len(tree.nodes)))


@settings(max_examples=300)
@given(cases(), st.booleans())
def test_finds_a_place_exactly_when_there_is_one(case: Case, is_mixed: bool) -> None:
    """The twin tries every domain and every leaf for the leader; greedy search over several blocks may only be stricter with leaders."""
    book, request, count, cpu, leader_cpu = case
    tree = book.tree(LEVELS, {})
    layout = resolve(LEVELS, request)
    assert isinstance(layout, Layout)
    workers, leader = demand(count, cpu), demand(1, leader_cpu) if leader_cpu is not None else None
    found = place("t", room_of(tree, Ledger(), "f"), layout, workers, leader, is_mixed=is_mixed)
    possible = any(can_hold(tree, layout, leaves, workers, leader) for leaves in regions(tree, layout))
    assert isinstance(found, Placement) == possible, (found, tree.paths)
    if isinstance(found, Placement):
        check(tree, layout, found, workers, leader)


def check(tree: Tree, layout: Layout, found: Placement, workers: PodDemand, leader: PodDemand | None) -> None:
    """Every pod has a place, no leaf is overfilled, slices are whole, a required domain is kept."""
    placed = {tree.leaf_of[d.values]: d.n_pods for d in found.workers}
    assert sum(placed.values()) == workers.count // layout.slice_size * layout.slice_size
    host = tree.leaf_of[found.leader.values] if found.leader is not None else None
    assert (host is not None) == (leader is not None)
    for leaf in {*placed, *([host] if host is not None else [])}:
        free = room(tree, leaf, workers, leader if leaf == host else None)
        assert free is not None
        assert placed.get(leaf, 0) <= free
    for level, size in layout.layers:
        for domain in range(len(tree.paths[level])):
            assert sum(placed.get(leaf, 0) for leaf in leaves_under(tree, level, domain)) % size == 0
    if layout.strictness is Strictness.REQUIRED:
        tops = {tree.paths[-1][leaf][: layout.main + 1] for leaf in itertools.chain(placed, [host] if leader else [])}
        assert len(tops) == 1
