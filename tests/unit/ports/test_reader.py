"""The in-memory cache: newer states win, deletions stay, indexes follow."""

from __future__ import annotations

from typing import Any

from pykueue.api.events import Change
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.v1beta2 import Workload
from pykueue.ports.reader import Indexer


def make_pod(name: str, version: int, *, uid: str = "", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "uid": uid or name, "resourceVersion": str(version), "labels": labels}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta}


def test_an_older_state_never_replaces_a_newer_one() -> None:
    """The answer to a write and the watch event of it may arrive in any order."""
    cache = Indexer()
    assert cache.apply(POD, make_pod("a", 5)) is not None
    assert cache.apply(POD, make_pod("a", 4)) is None
    assert cache.apply(POD, make_pod("a", 5)) is None
    event = cache.apply(POD, make_pod("a", 6))
    assert event is not None
    assert event.change is Change.MODIFIED


def test_a_deleted_object_is_not_resurrected_by_a_late_answer() -> None:
    """A UID that was seen deleted never comes back; a new object of the same name does."""
    cache = Indexer()
    cache.apply(POD, make_pod("a", 1, uid="one"))
    assert cache.apply(POD, make_pod("a", 3, uid="one"), deleted=True) is not None
    assert cache.apply(POD, make_pod("a", 2, uid="one")) is None
    assert cache.get(POD, "ns", "a") is None
    assert cache.apply(POD, make_pod("a", 4, uid="two")) is not None


def test_indexes_follow_changes() -> None:
    """An object is found under its present values only."""
    cache = Indexer()
    cache.apply(POD, make_pod("early", 1, team="red"))
    cache.add_index(POD, "team", lambda obj: [obj["metadata"]["labels"].get("team", "")])
    cache.apply(POD, make_pod("late", 2, team="red"))
    assert [p["metadata"]["name"] for p in cache.by_index(POD, "team", "red")] == ["early", "late"]
    cache.apply(POD, make_pod("early", 3, team="blue"))
    cache.apply(POD, make_pod("late", 4), deleted=True)
    assert list(cache.by_index(POD, "team", "red")) == []
    assert [p["metadata"]["name"] for p in cache.by_index(POD, "team", "blue")] == ["early"]


def test_a_relist_tells_what_is_gone() -> None:
    """Deletions that a broken watch missed become events."""
    cache = Indexer()
    cache.apply(POD, make_pod("a", 1))
    cache.apply(POD, make_pod("b", 2))
    events = cache.replace(POD, [make_pod("b", 2), make_pod("c", 3)])
    assert [(e.change, e.new["metadata"]["name"]) for e in events] == [(Change.DELETED, "a"), (Change.ADDED, "c")]


def test_lists_are_sorted_and_selected() -> None:
    """By namespace and name, with labels."""
    cache = Indexer()
    for name, color in (("c", "red"), ("a", "red"), ("b", "blue")):
        cache.apply(POD, make_pod(name, 1, color=color))
    assert [p["metadata"]["name"] for p in cache.list(POD)] == ["a", "b", "c"]
    assert [p["metadata"]["name"] for p in cache.list(POD, "ns", {"color": "red"})] == ["a", "c"]
    assert list(cache.list(POD, "elsewhere")) == []


def test_decoding_is_done_once_per_state() -> None:
    """The same stored object gives the same typed value."""
    cache = Indexer()
    cache.apply(WORKLOAD, {"metadata": {"name": "w", "namespace": "ns", "uid": "u", "resourceVersion": "1"}})
    obj = cache.get(WORKLOAD, "ns", "w")
    assert obj is not None
    assert cache.typed(Workload, obj) is cache.typed(Workload, obj)
