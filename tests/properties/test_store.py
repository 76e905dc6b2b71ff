"""The store against a slow twin that keeps every state it ever had."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.errors import Expired
from pykueue.api.objects import ObjectKey
from pykueue.apiserver.store import ChangeType, Store

KEYS = [ObjectKey(namespace, name) for namespace in ("a", "a-b", "b") for name in ("x", "y")]
STEPS = st.lists(st.tuples(st.sampled_from(("put", "remove")), st.sampled_from(KEYS)), max_size=60)


@settings(max_examples=200)
@given(steps=STEPS, ring=st.integers(1, 20))
def test_the_past_and_its_changes_agree_with_whole_copies(steps: list[tuple[str, ObjectKey]], ring: int) -> None:
    """Lists at any covered revision equal the copy made then; replaying changes from it leads to the present."""
    store = Store(ring_events=ring)
    storage = store.storage("things")
    copies: dict[int, dict[ObjectKey, dict]] = {store.revision: {}}
    for verb, key in steps:
        present = dict(copies[store.revision])
        if verb == "put":
            made = store.put(
                "things", key, {"metadata": {"namespace": key.namespace, "name": key.name}}, present.get(key)
            )
            present[key] = made
        elif key in present:
            store.remove("things", key, present.pop(key))
        copies[store.revision] = present
    now = copies[store.revision]
    for revision, then in copies.items():
        if revision < storage.covered_after:
            try:
                storage.list_at(revision)
            except Expired:
                continue
            raise AssertionError(f"revision {revision} is forgotten, but was listed")
        assert storage.list_at(revision) == [then[key] for key in sorted(then)]
        for namespace in ("a", "b"):
            assert storage.list_at(revision, namespace) == [
                then[key] for key in sorted(then) if key.namespace == namespace
            ]
        replayed = dict(then)
        for event in storage.events_after(revision):
            assert event.old == replayed.get(event.key)
            if event.type is ChangeType.DELETED:
                del replayed[event.key]
            else:
                replayed[event.key] = event.obj
        assert replayed == now
    assert len(storage.events) <= 2 * ring
