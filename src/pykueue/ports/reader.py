"""The read port: a synchronous view of the local cache.

`Reader` is all that reconcilers and webhooks may look at. `Indexer` is its in-memory form, used by the runtime's
informers, by the simulation and by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from pykueue.api.events import Change, ObjectEvent
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey, key, labels, matches_labels, resource_version

T = TypeVar("T", bound=msgspec.Struct)

IndexFn = Callable[[Obj], Iterable[str]]
"""The values under which an object is found in one index."""


class Reader(Protocol):
    """Read the cache. Results are shared objects: never mutate them. Lists are sorted by namespace and name."""

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        ...

    def list(self, kind: Kind, namespace: str = "", selector: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """All objects of a kind; of one namespace if it is not empty; with these labels."""
        ...

    def by_index(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        """Objects which a registered index lists under this value."""
        ...

    def typed(self, cls: type[T], obj: Obj) -> T:
        """A raw object of one of our own kinds, decoded; decoding is cached per stored object."""
        ...


class Indexer:
    """A `Reader` over plain dictionaries, fed by `apply`.

    Resource versions are compared as integers: an older state never replaces a newer one, so that results of our own
    writes and watch events may arrive in any order.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[ObjectKey, Obj]] = {}
        self._index_fns: dict[tuple[Kind, str], IndexFn] = {}
        self._indexes: dict[tuple[Kind, str], dict[str, dict[ObjectKey, None]]] = {}
        self._deleted: dict[Kind, dict[str, int]] = {}
        self._decoded: dict[int, tuple[Obj, msgspec.Struct]] = {}

    def add_index(self, kind: Kind, index: str, fn: IndexFn) -> None:
        """Register an index; objects already known are indexed at once. Registering the same name again is a no-op."""
        if (kind, index) in self._index_fns:
            return
        self._index_fns[kind, index] = fn
        table = self._indexes.setdefault((kind, index), {})
        for object_key, obj in self._objects.get(kind, {}).items():
            for value in fn(obj):
                table.setdefault(value, {})[object_key] = None

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """See `Reader.get`."""
        return self._objects.get(kind, {}).get(ObjectKey(namespace, name))

    def list(self, kind: Kind, namespace: str = "", selector: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """See `Reader.list`."""
        found = sorted(
            (item for item in self._objects.get(kind, {}).items() if not namespace or item[0].namespace == namespace),
            key=lambda item: item[0],
        )
        if selector:
            wanted = {"matchLabels": selector}
            return [obj for _, obj in found if matches_labels(wanted, labels(obj))]
        return [obj for _, obj in found]

    def by_index(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        """See `Reader.by_index`."""
        keys = self._indexes[kind, index].get(value, {})
        objects = self._objects.get(kind, {})
        return [objects[object_key] for object_key in sorted(keys)]

    def typed(self, cls: type[T], obj: Obj) -> T:
        """See `Reader.typed`."""
        cached = self._decoded.get(id(obj))
        if cached is not None and cached[0] is obj and isinstance(cached[1], cls):
            return cached[1]
        decoded = msgspec.convert(obj, cls)
        self._decoded[id(obj)] = (obj, decoded)
        return decoded

    def apply(self, kind: Kind, obj: Obj, *, deleted: bool = False) -> ObjectEvent | None:
        """Take in a state of an object; None if it is already known or older than what is known."""
        object_key, version = key(obj), int(resource_version(obj) or 0)
        table = self._objects.setdefault(kind, {})
        old = table.get(object_key)
        uid = str((obj.get("metadata") or {}).get("uid") or "")
        graves = self._deleted.setdefault(kind, {})
        if old is None and uid and uid in graves:
            return None
        old_uid = str((old.get("metadata") or {}).get("uid") or "") if old is not None else ""
        old_version = int(resource_version(old) or 0) if old is not None else 0
        if deleted:
            self._bury(graves, uid, version)
            if old is None or (old_uid and uid and old_uid != uid):
                return None
            self._drop(kind, object_key, old)
            return ObjectEvent(kind, Change.DELETED, obj, old)
        if old is not None and version and version <= old_version:
            return None
        if old is not None:
            self._drop(kind, object_key, old)
        table[object_key] = obj
        for (index_kind, index), fn in self._index_fns.items():
            if index_kind == kind:
                for value in fn(obj):
                    self._indexes[kind, index].setdefault(value, {})[object_key] = None
        return ObjectEvent(kind, Change.ADDED if old is None else Change.MODIFIED, obj, old)

    def replace(self, kind: Kind, listed: Iterable[Obj]) -> Sequence[ObjectEvent]:
        """Take in a fresh list: what is not in it is gone."""
        events = []
        fresh = {key(obj): obj for obj in listed}
        for object_key, old in list(self._objects.get(kind, {}).items()):
            if object_key not in fresh:
                self._drop(kind, object_key, old)
                events.append(ObjectEvent(kind, Change.DELETED, old, old))
        events.extend(event for obj in fresh.values() if (event := self.apply(kind, obj)))
        return events

    @staticmethod
    def _bury(graves: dict[str, int], uid: str, version: int) -> None:
        """Remember deleted UIDs for a while, so that a late answer to a write does not resurrect the object."""
        if not uid:
            return
        graves[uid] = version
        if len(graves) > 10_000:
            for stale in list(graves)[:5_000]:
                del graves[stale]

    def _drop(self, kind: Kind, object_key: ObjectKey, old: Obj) -> None:
        del self._objects[kind][object_key]
        self._decoded.pop(id(old), None)
        for (index_kind, index), fn in self._index_fns.items():
            if index_kind == kind:
                table = self._indexes[kind, index]
                for value in fn(old):
                    if (keys := table.get(value)) is not None:
                        keys.pop(object_key, None)
                        if not keys:
                            del table[value]
