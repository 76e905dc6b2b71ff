"""Balanced placement and preferred affinity: rows TB and TF of scheduling-cases.md §12."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.place import Placement, place
from pykueue.core.tas.request import Layout, resolve
from support.nodes import BLOCK, GPU, HOST, LEVELS, RACK, node
from unit.core.tas.test_place import book_of, demand, request_of, shown

SUB = "cloud.com/sub-block"
LEVELS["S"] = SUB
Drawing = dict[str, Any]


def hosts(drawing: Drawing, *levels: str) -> list[dict[str, Any]]:
    """Nodes of nested racks: `{"b1": {"r1": {"x1": 15}}}`; the numbers are GPUs."""
    found: list[dict[str, Any]] = []

    def walk(part: Drawing, path: tuple[str, ...]) -> None:
        for name, inner in part.items():
            if isinstance(inner, dict):
                walk(inner, (*path, name))
                continue
            labels = dict(zip(levels, (*path, name), strict=True))
            found.append(node(name, labels, {"cpu": "100", GPU: inner, "pods": 100}))

    walk(drawing, ())
    return found


def racks(*groups: list[int]) -> Drawing:
    """One block of racks; hosts are numbered through: x1, x2, ..."""
    return {"b1": numbered(groups)}


def numbered(groups: Any, first: int = 1) -> Drawing:
    found: Drawing = {f"r{first + i}": {} for i in range(len(groups))}
    number = 0
    for name, group in zip(found, groups, strict=True):
        for amount in group:
            number += 1
            found[name][f"x{number}"] = amount
    return found


def blocks(*groups: list[list[int]]) -> Drawing:
    """Blocks of racks, numbered through."""
    flat = [rack for group in groups for rack in group]
    every = numbered(flat)
    names = iter(every)
    return {f"b{i}": {rack: every[rack] for rack in (next(names) for _ in group)} for i, group in enumerate(groups, 1)}


def run(
    nodes: list[dict[str, Any]],
    levels: tuple[str, ...],
    count: int,
    request: str,
    *,
    leader: int | None = None,
    **options: Any,
) -> str:
    """The placement as `x1×2`, and the leader's host in front."""
    tree = book_of(nodes, levels).tree(levels, {})
    layout = resolve(levels, request_of(request))
    assert isinstance(layout, Layout)
    head = demand(f"{GPU}={leader}", 1) if leader is not None else None
    workers = demand(f"{GPU}=1", count)
    found = place(
        "t",
        room_of(tree, Ledger(), "f"),
        layout,
        workers,
        head,
        is_mixed=True,
        is_balanced=options.get("balanced", True),
    )
    assert isinstance(found, Placement), found
    where = f"L {found.leader.values[-1]} W " if found.leader is not None else ""
    return where + shown(found)


BALANCED: dict[str, tuple[Drawing, int, str, int | None, str]] = {
    "TB-01 two halves": (racks([15], [15]), 25, "pref R", None, "x1×13 x2×12"),
    "TB-02 the two largest": (racks([15], [13], [10]), 23, "pref R", None, "x1×12 x2×11"),
    "TB-03 no slice to spare": (racks([20], [15], [10]), 25, "pref R sl(H,5)", None, "x2×15 x3×10"),
    "TB-04 the block of equals": (blocks([[20], [10]], [[15], [15]]), 22, "pref R", None, "x3×11 x4×11"),
    "TB-05 the block with the higher threshold": (
        blocks([[14], [11]], [[15], [10]]), 25, "pref R", None, "x1×14 x2×11",
    ),
    "TB-06 one rack that holds all": (racks([15], [15], [15, 15]), 25, "pref R sl(H,5)", None, "x3×15 x4×10"),
    "TB-08 hosts of a rack": (blocks([[15, 13, 10], [20, 8]]), 22, "pref H sl(H,2)", None, "x2×12 x3×10"),
    "TB-09 hosts of another rack": (blocks([[20, 8], [15, 13, 10]]), 22, "pref H", None, "x3×11 x4×11"),
    "TB-10 with a leader": (racks([20], [15], [12]), 25, "pref R sl(H,5)", 1, "L x3 W x2×15 x3×10"),
    "TB-11 the more even rack": (racks([10, 5], [5, 5, 5]), 15, "pref R", None, "x3×5 x4×5 x5×5"),
    "the block whose racks are fewer": (blocks([[5], [5]], [[5, 5]]), 10, "pref R", None, "x3×5 x4×5"),
    "TB-12 the more even rack first": (racks([8, 8, 8], [16, 8]), 24, "pref R", None, "x1×8 x2×8 x3×8"),
    "TB-14 a leader beside the larger half": (racks([6], [5]), 10, "pref R", 1, "L x1 W x1×5 x2×5"),
    "TB-14 a leader with room": (racks([7], [5]), 10, "pref R", 1, "L x1 W x1×5 x2×5"),
    "TB-15 no balance": (
        blocks([[3], [3], [8]], [[11]]), 7, "pref B", 5, "L x3 W x1×3 x2×1 x3×3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BALANCED)
def test_balances(name: str) -> None:
    """How many pods each host gets."""
    drawing, count, request, leader, want = BALANCED[name]
    levels = (BLOCK, RACK, HOST)
    assert run(hosts(drawing, *levels), levels, count, request, leader=leader) == want


def test_four_levels() -> None:
    """TB-07: racks are balanced; below each rack its own pods go where fits are best, in slices of hosts or in single pods."""
    levels = (BLOCK, SUB, RACK, HOST)
    drawing = {"b": {"sb1": {"r1": {"x1": 18}, "r2": {"x2": 8}}, "sb2": {"r3": {"x3": 15}, "r4": {"x4": 9, "x5": 7}}}}
    assert run(hosts(drawing, *levels), levels, 20, "pref S sl(H,2)") == "x3×10 x4×8 x5×2"
    assert run(hosts(drawing, *levels), levels, 20, "pref S sl(R,2)") == "x3×10 x4×3 x5×7"


def test_the_widest_level() -> None:
    """TB-13: all racks are siblings."""
    drawing = {"r1": {"x1": 21, "x2": 9}, "r2": {"x3": 11, "x4": 10, "x5": 10}}
    assert run(hosts(drawing, RACK, HOST), (RACK, HOST), 23, "pref R") == "x1×12 x3×11"


@pytest.mark.parametrize("request_", ["req B", "unc", "pref R"])
def test_only_preferences_are_balanced(request_: str) -> None:
    """A required or unconstrained request is placed as ever; and so is everything without the gate."""
    levels, drawing = (BLOCK, RACK, HOST), racks([15], [15])
    is_on = not request_.startswith("pref")
    assert run(hosts(drawing, *levels), levels, 25, request_, balanced=is_on) == "x1×15 x2×10"


# --- preferred affinity ---------------------------------------------------------------------------------------------------

REGION = "region"


def terms(*wanted: tuple[str, str, int]) -> list[dict[str, Any]]:
    return [
        {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}
        for key, value, weight in wanted
    ]


WEST = terms((REGION, "us-west", 10))


def liking(
    text: str,
    count: int,
    request: str,
    *levels: str,
    preferences: list[dict[str, Any]] | None = None,
    leader: str | None = None,
) -> str:
    """Nodes as `rack/host:cpu`, a `!` behind the cpu for the region that is liked; in the order of the levels."""
    objs = []
    for part in text.split():
        match = re.fullmatch(r"(.+):(\d+)(!?)", part)
        assert match is not None
        labels = dict(zip(levels, match.group(1).split("/"), strict=True))
        labels[REGION] = "us-west" if match.group(3) else "us-east"
        objs.append(node(labels[HOST], labels, {"cpu": match.group(2), "pods": 100}))
    tree = book_of(objs, levels).tree(levels, {})
    layout = resolve(levels, request_of(request))
    assert isinstance(layout, Layout)
    workers = replace(demand("1", count), preferences=WEST if preferences is None else preferences)
    head = demand(leader, 1) if leader is not None else None
    found = place("t", room_of(tree, Ledger(), "f"), layout, workers, head, is_mixed=True)
    assert isinstance(found, Placement), found
    where = f"L {found.leader.values[-1]} W " if found.leader is not None else ""
    return where + shown(found)


def test_the_liked_node() -> None:
    """TF-01, TF-03: even if it is the smaller one."""
    assert liking("r1/a:4 r2/b:4!", 1, "pref R", RACK, HOST) == "b×1"
    assert liking("r1/east:8 r2/west:2!", 1, "pref R", RACK, HOST) == "west×1"


def test_weights_add_up() -> None:
    """TF-02: of a host, and of the domains above it."""
    preferences = terms((BLOCK, "b1", 10), (RACK, "r1", 100))
    text = "b1/r1/a:1 b1/r2/b:1 b2/r1/c:1"
    for request in ("pref H", "pref R", "req B"):
        assert liking(text, 1, request, BLOCK, RACK, HOST, preferences=preferences) == "a×1"


def test_who_insists_takes_a_lesser_one() -> None:
    """TF-04: the liked rack does not hold all."""
    text = "pref/p:2! secondary/secondary-large-1:4 secondary/secondary-large-2:4"
    assert liking(text, 4, "req R", RACK, HOST) == "secondary-large-1×4"


def test_who_prefers_takes_what_is_liked_and_more() -> None:
    """TF-05: rather both switches of a rack than the one that holds all and is not liked."""
    switch = LEVELS["X"] = "switch"
    assert liking("r/s1/a:2! r/s2/b:4", 4, "pref X", RACK, switch, HOST) == "a×2 b×2"


def test_hosts_that_are_liked_come_first() -> None:
    """TF-06: best fits are looked for only among those that are liked as much."""
    assert liking("a:2! b:1! c:2 d:1", 5, "pref H", HOST) == "a×2 b×1 c×2"
    assert liking("a:2! b:1! c:2 d:1 e:1", 5, "unc", HOST) == "a×2 b×1 d×1 e×1"


def test_the_workers_preference_does_not_move_the_leader() -> None:
    """TF-07: it runs where it can."""
    text = "us-east-1:16 us-west-1:2! us-west-2:2!"
    assert liking(text, 4, "pref H", HOST, leader="16") == "L us-east-1 W us-west-1×2 us-west-2×2"
