"""Replacing a lost node: rows TR of scheduling-cases.md §12."""

from __future__ import annotations

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.replace import Loss, replace_node
from pykueue.core.tas.request import Layout, resolve
from pykueue.core.tas.topology import NodeBook
from support.nodes import BLOCK, HOST, LEVELS, RACK, nodes
from unit.core.tas.test_place import demand, request_of


def run(drawing: str, request: str, lost: str, held: dict[str, int], *levels: str) -> dict[str, int] | str:
    """Replace one host of an assignment; nothing else is in use."""
    book = NodeBook()
    chosen = levels or (BLOCK, RACK, HOST)
    for obj in nodes(drawing, chosen):
        book.set_node(obj["metadata"]["name"], obj)
    layout = resolve(chosen, request_of(request))
    assert isinstance(layout, Layout)
    loss = Loss([Domain((host,), n) for host, n in held.items()], (lost,))
    room = room_of(book.tree(chosen, {}), Ledger(), "f")
    found = replace_node("default", room, layout, loss, pods=demand("1", 1), is_mixed=True)
    return found if isinstance(found, str) else {d.values[0]: d.n_pods for d in found}


def test_stays_in_the_required_rack() -> None:
    """TR-02: racks whose names begin alike are not the same rack."""
    drawing = "b{rack-a{x2:0} rack-ab{x3:1}}"
    want = (
        'topology "default" doesn\'t allow to fit any of 1 pod(s). Total nodes: 2; excluded: resource "cpu": 1, '
        "topologyDomain: 1"
    )
    assert run(drawing, "req R", "x1", {"x1": 1, "x2": 1}) == want


def test_completes_a_slice() -> None:
    """TR-03: the slice that would be broken decides the rack."""
    drawing = "b{r1{x1,x2:1} r2{x4:1,x5:2}}"
    found = run(drawing, "req B sl(R,2)", "x3", {"x1": 1, "x2": 1, "x3": 1, "x4": 1})
    assert found == {"x1": 1, "x2": 1, "x4": 2}


def test_no_room_in_the_slice() -> None:
    """TR-04."""
    drawing = "b{r1{x1,x2:1} r2{x4:500m}}"
    found = run(drawing, "req B sl(R,2)", "x3", {"x1": 1, "x2": 1, "x3": 1, "x4": 1})
    want = (
        'topology "default" doesn\'t allow to fit any of 1 pod(s). Total nodes: 3; excluded: resource "cpu": 1, '
        "topologyDomain: 2"
    )
    assert found == want


def test_the_innermost_broken_layer_decides() -> None:
    """TR-05: the sub-rack, not the rack."""
    LEVELS["S"] = "sub"
    drawing = "b{r1{s1{x1,x2:4} s2{x4:8}} r2{s3{x5,x6:8}}}"
    held = dict.fromkeys(("x1", "x2", "x3", "x4"), 2)
    assert run(drawing, "req B (R,8)(S,4)(H,2)", "x3", held, BLOCK, RACK, "sub", HOST) == {"x1": 2, "x2": 2, "x4": 4}


def test_a_layer_needs_one_host() -> None:
    """TR-06: two pods that belong on one host do not go to two."""
    drawing = "b{r1{x1,x2:2} r2{x4,x5:1}}"
    want = 'topology "default" doesn\'t allow to fit any of 1 slice(s). Total nodes: 4; excluded: topologyDomain: 2'
    assert run(drawing, "req B (R,4)(H,2)", "x3", dict.fromkeys(("x1", "x2", "x3", "x4"), 2)) == want


def test_takes_the_place_of_the_lost_one() -> None:
    """The order of domains is the order of ranks: those that stay keep theirs."""
    found = run("b{r1{x1,x3,x9:1}}", "pref R", "x2", {"x1": 1, "x2": 1, "x3": 1}, BLOCK, RACK, HOST)
    assert isinstance(found, dict)
    assert next(iter(found)) == "x1"
    assert list(found)[-1] == "x3"


def test_a_stale_domain() -> None:
    """Two nodes gone at once cannot be replaced one by one."""
    want = (
        "Cannot replace the node, because the existing topologyAssignment is invalid, "
        "as it contains the stale domain x2"
    )
    assert run("b{r1{x3:1}}", "pref R", "x1", {"x1": 1, "x2": 1}) == want
