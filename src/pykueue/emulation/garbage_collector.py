"""The garbage collector: objects go when all their owners are gone, before them in the foreground, or stay as orphans.

It works over the kinds it is given, as one reconciler: a key's namespace is `<position of the kind>:<namespace>`.

* An object with a `foregroundDeletion` finalizer waits until no dependent that blocks it (`blockOwnerDeletion`) is left.
* An object with an `orphan` finalizer goes after its dependents have lost their reference to it.
* An object loses references to owners that are gone while others are left, and is deleted when none is.

An owner that the cache does not show may be one that the cache does not show *yet*: kinds are watched independently. It counts as
gone if its deletion was seen, or if it stayed unseen for a while. That memory is the only state here; losing it costs a delay.
References to kinds that are not collected count as present.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Delete, Patch
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey, OwnerReference
from pykueue.emulation import parts
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
UNSEEN_US = 3 * SECOND_US
"""After this time an owner that never was seen counts as gone."""
_MEMORY_MAX = 100_000


@dataclass(slots=True)
class _Owners:
    """References of an object, by the state of the owner."""

    solid: list[OwnerReference] = field(default_factory=list)
    gone: list[OwnerReference] = field(default_factory=list)
    waiting: list[OwnerReference] = field(default_factory=list)
    """Owners that are deleted in the foreground and wait for their dependents."""
    unseen_us: int = 0
    """How long to wait until what is unseen counts as gone; 0 if nothing is in doubt."""


class GarbageCollector:
    """Collects objects of the given kinds."""

    name = "garbage-collector"

    def __init__(self, kinds: Sequence[Kind]) -> None:
        """Collect these kinds."""
        self._kinds = tuple(kinds)
        self._positions = {kind: position for position, kind in enumerate(self._kinds)}
        self._by_reference = {(kind.group, kind.kind): kind for kind in self._kinds}
        self._gone: dict[str, None] = {}
        self._unseen: dict[str, Instant] = {}

    def watches(self) -> Sequence[Watch]:
        """Everything of every kind."""
        return tuple(Watch(kind, self._wakes) for kind in self._kinds)

    def indexes(self) -> Sequence[Index]:
        """Dependents by owner, in every kind."""
        return tuple(parts.owned_index(kind) for kind in self._kinds)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        position, _, namespace = key.namespace.partition(":")
        kind = self._kinds[int(position)]
        obj = reader.get(kind, namespace, key.name)
        if obj is None:
            return DONE
        if objects.is_deleting(obj):
            held = objects.finalizers(obj)
            if ORPHAN in held:
                return Result(self._orphan(reader, kind, obj))
            return Result(self._foreground(reader, kind, obj)) if FOREGROUND in held else DONE
        if not objects.metadata(obj).get("ownerReferences"):
            return DONE
        owners = self._owners(reader, obj, now)
        if owners.unseen_us:
            return Result(requeue_after_us=owners.unseen_us)
        return Result(self._collect(reader, kind, obj, owners))

    def _wakes(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        obj, meta = event.new, objects.metadata(event.new)
        held = meta.get("finalizers") or ()
        if event.change is Change.DELETED:
            self._remember(objects.uid(obj))
            yield from (self._key(kind, dep) for kind, dep in self._dependents(reader, obj))
            for ref in objects.owner_references(obj):
                owner = self._owner(reader, objects.namespace(obj), ref)
                if owner is not None and FOREGROUND in objects.finalizers(owner[1]):
                    yield self._key(*owner)
            return
        if event.old is not None and _same_bonds(meta, objects.metadata(event.old)):
            return
        if meta.get("ownerReferences") or ORPHAN in held or FOREGROUND in held:
            yield self._key(event.kind, obj)
        if FOREGROUND in held and meta.get("deletionTimestamp"):
            yield from (self._key(kind, dep) for kind, dep in self._dependents(reader, obj))

    def _key(self, kind: Kind, obj: Obj) -> ObjectKey:
        return ObjectKey(f"{self._positions[kind]}:{objects.namespace(obj)}", objects.name(obj))

    def _remember(self, uid: str) -> None:
        self._unseen.pop(uid, None)
        self._gone[uid] = None
        _bound(self._gone)

    def _dependents(self, reader: Reader, owner: Obj) -> list[tuple[Kind, Obj]]:
        uid = objects.uid(owner)
        return [(kind, dep) for kind in self._kinds for dep in reader.by_index(kind, parts.OWNER_UID, uid)]

    def _owner(self, reader: Reader, namespace: str, ref: OwnerReference) -> tuple[Kind, Obj] | None:
        """The owner a reference names, if it is that very object."""
        kind = self._by_reference.get((ref.api_version.rpartition("/")[0], ref.kind))
        if kind is None:
            return None
        owner = reader.get(kind, namespace if kind.namespaced else "", ref.name)
        return (kind, owner) if owner is not None and objects.uid(owner) == ref.uid else None

    def _owners(self, reader: Reader, obj: Obj, now: Instant) -> _Owners:
        found = _Owners()
        for ref in objects.owner_references(obj):
            owner = self._owner(reader, objects.namespace(obj), ref)
            if owner is not None:
                self._unseen.pop(ref.uid, None)
                is_waiting = objects.is_deleting(owner[1]) and FOREGROUND in objects.finalizers(owner[1])
                (found.waiting if is_waiting else found.solid).append(ref)
            elif (ref.api_version.rpartition("/")[0], ref.kind) not in self._by_reference:
                found.solid.append(ref)
            elif ref.uid in self._gone:
                found.gone.append(ref)
            else:
                doubt_us = self._unseen.setdefault(ref.uid, now) + UNSEEN_US - now
                _bound(self._unseen)
                if doubt_us > 0:
                    found.unseen_us = max(found.unseen_us, doubt_us)
                else:
                    self._remember(ref.uid)
                    found.gone.append(ref)
        return found

    def _collect(self, reader: Reader, kind: Kind, obj: Obj, owners: _Owners) -> tuple[Command, ...]:
        lost = [*owners.gone, *owners.waiting]
        if not lost:
            return ()
        if owners.solid:
            return (_without_references(kind, obj, {ref.uid for ref in lost}),)
        held = objects.finalizers(obj)
        # A foreground deletion goes down the tree; otherwise what the object itself was marked with counts.
        foreground = bool(owners.waiting) and bool(self._dependents(reader, obj))
        policy = "Foreground" if foreground or FOREGROUND in held else "Orphan" if ORPHAN in held else "Background"
        return (Delete(kind, objects.key(obj), objects.uid(obj), policy),)

    def _foreground(self, reader: Reader, kind: Kind, obj: Obj) -> tuple[Command, ...]:
        """Let the object go once nothing blocks it; until then its dependents are deleted by their own passes."""
        uid = objects.uid(obj)
        blocked = any(
            ref.get("uid") == uid and ref.get("blockOwnerDeletion")
            for _, dep in self._dependents(reader, obj)
            for ref in objects.metadata(dep).get("ownerReferences") or ()
        )
        return () if blocked else (_without_finalizer(kind, obj, FOREGROUND),)

    def _orphan(self, reader: Reader, kind: Kind, obj: Obj) -> tuple[Command, ...]:
        uid = objects.uid(obj)
        freed = [_without_references(dep_kind, dep, {uid}) for dep_kind, dep in self._dependents(reader, obj)]
        return (*parts.together(freed), _without_finalizer(kind, obj, ORPHAN))


def _bound(known: dict[str, Any]) -> None:
    """Forget the older half of what would be too much."""
    if len(known) > _MEMORY_MAX:
        for stale in list(known)[: _MEMORY_MAX // 2]:
            del known[stale]


def _same_bonds(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Most changes of an object are none of the collector's business."""
    return all(new.get(f) == old.get(f) for f in ("ownerReferences", "finalizers", "deletionTimestamp"))


def _without_references(kind: Kind, obj: Obj, uids: set[str]) -> Command:
    kept = [ref for ref in objects.metadata(obj).get("ownerReferences") or () if ref.get("uid") not in uids]
    meta = {"uid": objects.uid(obj), "resourceVersion": objects.resource_version(obj), "ownerReferences": kept or None}
    return Patch(kind, objects.key(obj), {"metadata": meta}, missing_ok=True)


def _without_finalizer(kind: Kind, obj: Obj, name: str) -> Command:
    kept = [finalizer for finalizer in objects.finalizers(obj) if finalizer != name]
    meta = {"uid": objects.uid(obj), "resourceVersion": objects.resource_version(obj), "finalizers": kept or None}
    return Patch(kind, objects.key(obj), {"metadata": meta}, missing_ok=True)
