"""The store: revisions, ring, lists of the past, races."""

from __future__ import annotations

import pytest

from pykueue.api.errors import Expired, InvariantError
from pykueue.api.objects import ObjectKey
from pykueue.apiserver.store import ChangeType, RacedError, Store


def make(name: str, value: int = 0) -> dict:
    return {"metadata": {"name": name, "namespace": "ns"}, "value": value}


def key(name: str, namespace: str = "ns") -> ObjectKey:
    return ObjectKey(namespace, name)


def names(objects) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_each_change_takes_the_next_revision() -> None:
    """The counter is global, and becomes the object's resourceVersion; a deletion counts as well."""
    store = Store()
    first = store.put("pods", key("a"), make("a"), None)
    second = store.put("jobs", key("b"), make("b"), None)
    gone = store.remove("pods", key("a"), first)
    assert [obj["metadata"]["resourceVersion"] for obj in (first, second, gone)] == ["2", "3", "4"]
    assert store.revision == 4


def test_arguments_are_not_changed() -> None:
    """The object handed in stays as it was."""
    store, obj = Store(), make("a")
    store.put("pods", key("a"), obj, None)
    assert obj == make("a")


def test_lists_are_ordered_by_namespace_and_name() -> None:
    """Whatever the order of creation; a namespace's list has no neighbours with a common prefix."""
    store = Store()
    for namespace, name in (("b", "x"), ("a", "z"), ("a-b", "m"), ("a", "a")):
        store.put("pods", key(name, namespace), {"metadata": {"name": name, "namespace": namespace}}, None)
    assert names(store.storage("pods").list()) == ["a", "z", "m", "x"]
    assert names(store.storage("pods").list("a")) == ["a", "z"]
    assert names(store.storage("pods").list("nope")) == []


def test_a_writer_with_an_outdated_state_is_told() -> None:
    """Creating what exists, changing what changed, removing what is gone: all are races."""
    store = Store()
    first = store.put("pods", key("a"), make("a"), None)
    with pytest.raises(RacedError):
        store.put("pods", key("a"), make("a"), None)
    second = store.put("pods", key("a"), make("a", 1), first)
    with pytest.raises(RacedError):
        store.remove("pods", key("a"), first)
    store.remove("pods", key("a"), second)
    with pytest.raises(RacedError):
        store.remove("pods", key("a"), second)
    assert store.revision == 4


def test_the_past_is_the_present_with_changes_undone() -> None:
    """A list at any covered revision is what a list was then."""
    store = Store()
    then: dict[int, list] = {store.revision: []}
    states: dict[str, dict] = {}
    for step, name in enumerate("abcabacbbca"):
        if name in states and step % 3 == 0:
            store.remove("pods", key(name), states.pop(name))
        else:
            states[name] = store.put("pods", key(name), make(name, step), states.get(name))
        then[store.revision] = list(store.storage("pods").list())
    for revision, want in then.items():
        assert store.storage("pods").list_at(revision) == want
        assert store.storage("pods").list_at(revision, "ns") == want


def test_a_forgotten_past_is_expired() -> None:
    """The ring keeps the latest changes; older revisions answer 410 with the oldest that is left."""
    store = Store(ring_events=10)
    obj = None
    for value in range(21):
        obj = store.put("pods", key("a"), make("a", value), obj)
    storage = store.storage("pods")
    assert len(storage.events) == 10
    with pytest.raises(Expired, match=r"too old resource version: 5 \(12\)"):
        storage.events_after(5)
    assert [event.revision for event in storage.events_after(20)] == [21, 22]


def test_events_tell_old_and_new() -> None:
    """An event holds both states, so that selectors can be asked about either."""
    store = Store()
    first = store.put("pods", key("a"), make("a"), None)
    second = store.put("pods", key("a"), make("a", 1), first)
    store.remove("pods", key("a"), second)
    events = store.storage("pods").events_after(1)
    assert [event.type for event in events] == [ChangeType.ADDED, ChangeType.MODIFIED, ChangeType.DELETED]
    assert [event.old for event in events] == [None, first, second]
    assert events[2].obj["metadata"]["resourceVersion"] == "4"


def test_listeners_are_woken_after_each_change_until_they_leave() -> None:
    """What a listener reads when woken includes the change."""
    store, seen = Store(), []
    storage = store.storage("pods")
    leave = storage.subscribe(lambda: seen.append(len(storage.objects)))
    obj = store.put("pods", key("a"), make("a"), None)
    store.put("jobs", key("a"), make("a"), None)
    store.remove("pods", key("a"), obj)
    leave()
    store.put("pods", key("b"), make("b"), None)
    assert seen == [1, 0]


def test_only_empty_storages_are_dropped() -> None:
    """Dropping one with objects in it would lose them."""
    store = Store()
    obj = store.put("foos", key("a"), make("a"), None)
    with pytest.raises(InvariantError):
        store.drop_storage("foos")
    store.remove("foos", key("a"), obj)
    store.drop_storage("foos")
    store.drop_storage("never-there")
