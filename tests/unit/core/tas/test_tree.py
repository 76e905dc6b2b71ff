"""Trees as nodes and pods change them: one leaf at a time, and anew only for paths that were never there."""

from __future__ import annotations

from typing import Any

from pykueue.api.objects import ObjectKey
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import Wishes
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.topology import NodeBook
from pykueue.core.tas.tree import Tree
from support.nodes import BLOCK, HOST, RACK, node, nodes

LEVELS = (BLOCK, RACK, HOST)
DRAWING = "b1{r1{x1:1,x2:2} r2{x3:3}} b2{r1{x4:4}}"
ANYWHERE = Wishes((), {}, None)


def book_of(drawing: str = DRAWING) -> NodeBook:
    book = NodeBook()
    for obj in nodes(drawing):
        book.set_node(obj["metadata"]["name"], obj)
    return book


def drawn(name: str) -> dict[str, Any]:
    return next(obj for obj in nodes(DRAWING) if obj["metadata"]["name"] == name)


def tree_of(book: NodeBook, levels: tuple[str, ...] = LEVELS) -> Tree:
    return book.tree(levels, {})


def test_levels_are_sorted_arrays() -> None:
    """Children are neighbours, the leaves below a domain are a range."""
    tree = tree_of(book_of())
    assert tree.paths[1] == [("b1", "r1"), ("b1", "r2"), ("b2", "r1")]
    assert [array.tolist() for array in tree.parents] == [[-1, -1], [0, 0, 1], [0, 0, 1, 2]]
    assert [array.tolist() for array in tree.starts] == [[0, 2, 3], [0, 2, 3, 4]]
    assert tree.leaves_below(0, 0) == range(3)
    assert tree.leaves_below(1, 1) == range(2, 3)
    assert [tree.ancestor(leaf, 0) for leaf in range(4)] == [0, 0, 0, 1]


def test_a_node_that_changes_changes_its_leaf() -> None:
    """More cpu, or a taint, is news of one leaf."""
    book = book_of()
    tree = tree_of(book)
    tainted = node(
        "x3", {BLOCK: "b1", RACK: "r2", HOST: "x3"}, {"cpu": 9}, taints=[{"key": "k", "effect": "NoSchedule"}]
    )
    assert tree.eligibility(ANYWHERE).mask.tolist() == [True] * 4
    start = tree.changes.end
    book.set_node("x3", tainted)
    assert tree_of(book) is tree
    assert set(tree.changes.since(start) or ()) == {2}
    assert tree.free[2]["cpu"] == 9000
    assert tree.eligibility(ANYWHERE).mask.tolist() == [True, True, False, True]
    assert tree.eligibility(ANYWHERE).tally() == {'taint "k:NoSchedule"': 1}
    book.set_node("x3", drawn("x3"))
    assert tree.eligibility(ANYWHERE).tally() == {}


def test_a_node_that_goes_may_come_back() -> None:
    """Its domain stays behind, without nodes, and is filled again with what pods use there."""
    book = book_of()
    tree = tree_of(book)
    key = ObjectKey("ns", "p")
    pod = {"metadata": {}, "spec": {"nodeName": "x4", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}}
    book.set_pod(key, pod)
    assert tree.free[3] == {"cpu": 3000, "memory": 1 << 30, "pods": 9}
    book.set_node("x4", None)
    assert tree_of(book) is tree
    assert (tree.n_live, ("x4",) in tree.leaf_of, tree.live_domains(0).tolist()) == (3, False, [True, False])
    assert tree.eligibility(ANYWHERE).mask.tolist() == [True, True, True, False]
    book.set_pod(key, None)
    book.set_node("x4", drawn("x4"))
    assert tree_of(book) is tree
    assert tree.free[3] == {"cpu": 4000, "memory": 1 << 30, "pods": 10}
    assert tree.leaf_of[("x4",)] == 3
    assert tree.eligibility(ANYWHERE).mask.all()


def test_a_rack_without_nodes_takes_nothing() -> None:
    """Also where pods with other wishes ask for the first time after its nodes went."""
    book = book_of()
    tree = tree_of(book, (BLOCK, RACK))
    book.set_node("x3", None)
    assert tree_of(book, (BLOCK, RACK)) is tree
    assert tree.eligibility(ANYWHERE).mask.tolist() == [True, False, True]


def test_what_makes_a_tree_anew() -> None:
    """A path or a resource that was never there, and when most nodes are gone."""
    for change in (
        node("x9", {BLOCK: "b1", RACK: "r1", HOST: "x9"}, {"cpu": 1}),
        node("x1", {BLOCK: "b1", RACK: "r2", HOST: "x1"}, {"cpu": 1}),
        node("x1", {BLOCK: "b1", RACK: "r1", HOST: "x1"}, {"example.com/gpu": 1}),
    ):
        book = book_of()
        tree = tree_of(book)
        book.set_node(change["metadata"]["name"], change)
        assert tree_of(book) is not tree
        assert tree_of(book).n_live == len({obj["metadata"]["name"] for obj in [*nodes(DRAWING), change]})
    book = book_of()
    tree = tree_of(book)
    book.set_node("x1", None)
    assert tree_of(book) is tree
    book.set_node("x2", None)
    assert tree_of(book) is not tree
    assert tree_of(book).paths[0] == [("b1",), ("b2",)]


def test_trees_that_nobody_wants_are_dropped() -> None:
    """A tree goes with the last flavor that is placed in it; the others stay, and their rooms are made anew."""
    book = book_of()
    kept, dropped = tree_of(book), tree_of(book, (RACK, HOST))
    room = room_of(kept, Ledger(), "f")
    book.keep_trees([(LEVELS, {})])
    assert tree_of(book) is kept
    assert tree_of(book, (RACK, HOST)) is not dropped
    assert room_of(kept, room.ledger, "f") is not room


def test_nodes_without_foreign_pods_are_not_remembered() -> None:
    """Autoscaled nodes have ever new names: what pods used on them goes with the last of these pods."""
    book, key = book_of(), ObjectKey("ns", "p")
    requests = {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    book.set_pod(key, {"metadata": {"name": "p"}, "spec": {"nodeName": "x1", **requests}})
    assert list(book._foreign) == ["x1"]
    book.set_pod(key, None)
    assert not book._foreign
