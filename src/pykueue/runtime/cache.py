"""The local cache as the loop keeps it: an `Indexer`, and which part of the cluster it shows.

It turns lists and changes into events, in an order that makes sense to a reader: an object that was deleted and made
anew under its name is told as a deletion and an addition. `managedFields` are dropped, for nobody reads them and they are
a third of a small object (`config.md` §6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pykueue.api.events import Change, ObjectEvent
from pykueue.api.kinds import Kind
from pykueue.api.objects import (
    Obj,
    key,
    labels,
    matches_labels,
    metadata,
    namespace,
    resource_version,
    uid,
    with_metadata,
)
from pykueue.ports.reader import Indexer
from pykueue.runtime.inbox import Changed, Listed


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects of a kind are cached.

    Attributes:
        kind: which kind.
        namespace: only of this one; empty for all.
        labels: only with these labels.
        fields: field selector in Kubernetes' form; empty for all. Answers to our writes are then not cached, since only
            the server can tell whether they match.
    """

    kind: Kind
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    fields: str = ""

    def covers(self, obj: Obj) -> bool:
        """Whether the answer to a write belongs into the cache."""
        if self.fields or (self.namespace and namespace(obj) != self.namespace):
            return False
        return not self.labels or matches_labels({"matchLabels": dict(self.labels)}, labels(obj))


class Cache:
    """An `Indexer` fed by lists, watches and answers to writes."""

    def __init__(self, scopes: Iterable[Scope]) -> None:
        """An empty cache of these kinds."""
        self.reader = Indexer()
        self.scopes = {scope.kind: scope for scope in scopes}
        self.unsynced: dict[Kind, None] = dict.fromkeys(self.scopes)
        """Kinds that were never listed."""

    def take(self, item: Listed | Changed) -> Sequence[ObjectEvent]:
        """Take in a list or a change; what is new about it."""
        return self._listed(item) if isinstance(item, Listed) else self._changed(item)

    def everything(self, kinds: Iterable[Kind] | None = None) -> Iterable[ObjectEvent]:
        """Every object, as if it were new; kinds in the order given."""
        for kind in self.scopes if kinds is None else kinds:
            for obj in self.reader.list(kind):
                yield ObjectEvent(kind, Change.ADDED, obj)

    def _listed(self, item: Listed) -> Sequence[ObjectEvent]:
        self.unsynced.pop(item.kind, None)
        fresh = {key(obj): slim(item.kind, obj) for obj in item.objects}
        events: list[ObjectEvent] = []
        for obj in self.reader.list(item.kind):
            successor = fresh.get(key(obj))
            if successor is None:
                # Our own write, newer than the list: the watch that follows will tell about it.
                if item.served and int(resource_version(obj) or 0) > item.version > 0:
                    fresh[key(obj)] = obj
            elif uid(successor) != uid(obj):
                events += self._apply(item.kind, obj, deleted=True)
        events += self.reader.replace(item.kind, fresh.values())
        return events

    def _changed(self, item: Changed) -> Sequence[ObjectEvent]:
        scope = self.scopes.get(item.kind)
        if scope is None or (item.written and not item.deleted and not scope.covers(item.obj)):
            return ()
        obj = slim(item.kind, item.obj)
        known = self.reader.get(item.kind, *key(obj))
        events: list[ObjectEvent] = []
        if known is not None and uid(known) != uid(obj) and uid(obj):
            if item.deleted or int(resource_version(obj) or 0) < int(resource_version(known) or 0):
                return ()
            events += self._apply(item.kind, known, deleted=True)
        if item.deleted and known is not None:
            # A Status that tells of a deletion has no object: readers get the last state that was seen.
            obj = obj if resource_version(obj) else known
        return [*events, *self._apply(item.kind, obj, deleted=item.deleted)]

    def _apply(self, kind: Kind, obj: Obj, *, deleted: bool) -> Sequence[ObjectEvent]:
        event = self.reader.apply(kind, obj, deleted=deleted)
        return () if event is None else (event,)


def slim(kind: Kind, obj: Obj) -> Obj:
    """The object without `managedFields`, and with the type that list items lack."""
    if "managedFields" in metadata(obj):
        obj = with_metadata(obj, managedFields=None)
    if "kind" not in obj:
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    return obj
