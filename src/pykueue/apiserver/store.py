"""The store: every object in its present state, and the recent past of each storage.

Objects are kept in memory, as plain dictionaries that are shared with every reader and never mutated. Each change takes
the next number of one global counter, the *revision*, which becomes the object's `resourceVersion`. Each storage (one per
kind, whatever its versions) remembers its latest changes in a ring. The ring serves three things with one mechanism:

* a watch resumes after any revision that the ring still covers, and learns of an overrun as `Expired` (410);
* a list at a former revision (`limit`/`continue`, `resourceVersionMatch=Exact`) is the present state with newer changes undone;
* an event is one shared value, so that whoever encodes it encodes it once for all watchers.

Rules: a change is on the journal before it is in memory, and in memory before anyone is told; the revision never goes
back; keys are ordered by namespace, then name. The store knows nothing of kinds, versions, HTTP or time; it is synchronous
and belongs to one event loop. `durable.py` is the journal on disk; `reads.py` and `writes.py` are the users.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Protocol

from pykueue.api.errors import Expired, InvariantError, PykueueError
from pykueue.api.objects import Obj, ObjectKey, with_metadata

RING_EVENTS = 8_192
"""How many changes of one storage are remembered at least; twice as many at most."""
ENCODED_EVENTS = 1_024
"""How many of them keep their encoded forms: watchers further behind encode again."""


class RacedError(PykueueError):
    """The object is not what the writer thought it is: read it again."""


class ChangeType(enum.Enum):
    """What a change did."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(slots=True, eq=False)
class StoredEvent:
    """One change. Shared by all watchers.

    Attributes:
        revision: the number of this change; the `resourceVersion` of `obj`.
        type: what happened.
        key: of the object.
        obj: its new state; for DELETED its last state, with the revision of the deletion.
        old: its former state; None for ADDED.
        encoded: forms that were made from this event, by whatever key their maker chose.
    """

    revision: int
    type: ChangeType
    key: ObjectKey
    obj: Obj
    old: Obj | None
    encoded: dict[Any, Any] = field(default_factory=dict)


class Journal(Protocol):
    """Where changes are made durable."""

    def load(self) -> tuple[int, Iterable[tuple[str, ObjectKey, Obj]]]:
        """The last revision and all objects with their storage names."""
        ...

    def put(self, storage: str, key: ObjectKey, revision: int, obj: Obj) -> None:
        """Record a new state; returns when it survives the end of this process."""
        ...

    def remove(self, storage: str, key: ObjectKey, revision: int) -> None:
        """Record a deletion; returns when it survives the end of this process."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class Storage:
    """One kind's objects and their recent changes. Read it; `Store` writes it."""

    def __init__(self, name: str, base_revision: int, ring_events: int) -> None:
        self.name = name
        self.objects: dict[ObjectKey, Obj] = {}
        self.events: list[StoredEvent] = []
        self.covered_after = base_revision
        """Every change with a greater revision is in `events`."""
        self._keys: list[ObjectKey] = []
        self._ring_events = ring_events
        self._listeners: dict[int, Callable[[], None]] = {}
        self._next_listener = 0

    def get(self, key: ObjectKey) -> Obj | None:
        """The present state of an object."""
        return self.objects.get(key)

    def list(self, namespace: str = "") -> Sequence[Obj]:
        """The present state of all objects, or of one namespace's, ordered by key."""
        objects = self.objects
        return [objects[key] for key in self._range(namespace)]

    def list_at(self, revision: int, namespace: str = "") -> Sequence[Obj]:
        """The state as of a former revision.

        Raises:
            Expired: changes since then are forgotten.
        """
        newer = self.events_after(revision)
        if not newer:
            return self.list(namespace)
        past: dict[ObjectKey, Obj | None] = {}
        for event in reversed(newer):
            past[event.key] = event.old
        keys = [key for key in self._range(namespace) if key not in past]
        keys.extend(
            key for key, old in past.items() if old is not None and (not namespace or key.namespace == namespace)
        )
        return [past.get(key) or self.objects[key] for key in sorted(keys)]

    def events_after(self, revision: int) -> Sequence[StoredEvent]:
        """All changes with a greater revision, oldest first.

        Raises:
            Expired: the ring does not reach back that far.
        """
        if revision < self.covered_after:
            raise Expired(f"too old resource version: {revision} ({self.covered_after})")
        events = self.events
        if not events or events[-1].revision <= revision:
            return ()
        return events[bisect_right(events, revision, key=attrgetter("revision")) :]

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each change; the answer ends that. `wake` must not raise and must not write."""
        number = self._next_listener
        self._next_listener += 1
        self._listeners[number] = wake

        def unsubscribe() -> None:
            self._listeners.pop(number, None)

        return unsubscribe

    def _range(self, namespace: str) -> Sequence[ObjectKey]:
        if not namespace:
            return self._keys
        start = bisect_left(self._keys, ObjectKey(namespace, ""))
        return self._keys[start : bisect_left(self._keys, ObjectKey(namespace + "\0", ""), start)]

    def _load(self, key: ObjectKey, obj: Obj) -> None:
        self.objects[key] = obj
        self._keys.append(key)

    def _sort(self) -> None:
        self._keys.sort()

    def _take(self, event: StoredEvent) -> None:
        if event.type is ChangeType.DELETED:
            del self.objects[event.key]
            del self._keys[bisect_left(self._keys, event.key)]
        else:
            if event.old is None:
                insort(self._keys, event.key)
            self.objects[event.key] = event.obj
        self.events.append(event)
        if len(self.events) > ENCODED_EVENTS:
            self.events[-ENCODED_EVENTS - 1].encoded.clear()
        if len(self.events) > 2 * self._ring_events:
            cut = len(self.events) - self._ring_events
            self.covered_after = self.events[cut - 1].revision
            del self.events[:cut]
        for wake in tuple(self._listeners.values()):
            wake()


class Store:
    """All storages under one revision counter."""

    def __init__(self, journal: Journal | None = None, *, ring_events: int = RING_EVENTS) -> None:
        """Load what the journal holds.

        Args:
            journal: where changes are made durable; None keeps them in memory alone.
            ring_events: how many changes each storage remembers at least.
        """
        self._journal = journal
        self._ring_events = ring_events
        self._storages: dict[str, Storage] = {}
        self.revision = 1
        if journal is not None:
            revision, entries = journal.load()
            self.revision = max(1, revision)
            for name, key, obj in entries:
                self.storage(name)._load(key, obj)
            for storage in self._storages.values():
                storage._sort()

    def storage(self, name: str) -> Storage:
        """The storage of this name, empty if nothing was ever stored there."""
        found = self._storages.get(name)
        if found is None:
            found = self._storages[name] = Storage(name, self.revision, self._ring_events)
        return found

    def put(self, name: str, key: ObjectKey, obj: Obj, expected: Obj | None) -> Obj:
        """Store a new state.

        Args:
            name: of the storage.
            key: of the object; the caller has put the same into its metadata.
            obj: the new state; its `resourceVersion` is replaced.
            expected: the state that it was made from, the very object; None to create.

        Returns:
            The object as stored.

        Raises:
            RacedError: the present state is not `expected`.
        """
        storage = self.storage(name)
        old = storage.objects.get(key)
        if old is not expected:
            raise RacedError(f"{name} {key} changed meanwhile")
        revision = self.revision + 1
        stored = with_metadata(obj, resourceVersion=str(revision))
        if self._journal is not None:
            self._journal.put(name, key, revision, stored)
        self.revision = revision
        storage._take(StoredEvent(revision, ChangeType.ADDED if old is None else ChangeType.MODIFIED, key, stored, old))
        return stored

    def remove(self, name: str, key: ObjectKey, expected: Obj, last: Obj | None = None) -> Obj:
        """Remove an object.

        Args:
            name: of the storage.
            key: of the object.
            expected: its present state, the very object.
            last: the state that watchers are told of, if it differs.

        Returns:
            The last state, with the revision of the deletion.

        Raises:
            RacedError: the present state is not `expected`.
        """
        storage = self.storage(name)
        old = storage.objects.get(key)
        if old is None or old is not expected:
            raise RacedError(f"{name} {key} changed meanwhile")
        revision = self.revision + 1
        gone = with_metadata(last or old, resourceVersion=str(revision))
        if self._journal is not None:
            self._journal.remove(name, key, revision)
        self.revision = revision
        storage._take(StoredEvent(revision, ChangeType.DELETED, key, gone, old))
        return gone

    def drop_storage(self, name: str) -> None:
        """Forget an empty storage and its past: its kind is served no longer.

        Raises:
            InvariantError: there still are objects.
        """
        storage = self._storages.get(name)
        if storage is None:
            return
        if storage.objects:
            raise InvariantError(f"storage {name} is dropped with {len(storage.objects)} objects in it")
        del self._storages[name]

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
