"""ControllerRevisions: what a template looked like when pods were made of it.

A revision is named after its owner and the hash of its data, so the same content is found again, and a set that goes back to an
older template takes up its revision with a higher number instead of making another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Patch
from pykueue.api.kinds import CONTROLLER_REVISION, Kind
from pykueue.api.objects import Obj
from pykueue.emulation import parts
from pykueue.ports.reader import Reader

_NAME_MAX = 223


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of an owner.

    Attributes:
        name: of the ControllerRevision, which is also the value of pods' revision labels.
        number: grows with each change.
        data: what is remembered.
        obj: the stored object; None for one that is about to be made.
    """

    name: str
    number: int
    data: Mapping[str, Any]
    obj: Obj | None = None


def revisions_of(reader: Reader, owner: Obj) -> list[Revision]:
    """An owner's revisions, oldest first."""
    found = [
        Revision(objects.name(obj), int(obj.get("revision") or 0), obj.get("data") or {}, obj)
        for obj in parts.owned(reader, CONTROLLER_REVISION, owner)
    ]
    return sorted(found, key=lambda r: (r.number, r.name))


def next_revision(
    reader: Reader, kind: Kind, owner: Obj, data: Mapping[str, Any], hash_label: Mapping[str, str]
) -> tuple[Revision, tuple[Command, ...], list[Revision]]:
    """The revision of the present data.

    Args:
        reader: the cache.
        kind: of the owner.
        owner: the set.
        data: what is to be remembered.
        hash_label: key of the label that names the revision on it; values are ignored.

    Returns:
        The revision, what must be written for it, and all revisions, oldest first, with it.
    """
    known = revisions_of(reader, owner)
    number = max((r.number for r in known), default=0)
    equal = next((r for r in reversed(known) if r.data == data), None)
    if equal is not None and equal.obj is not None:
        if equal.number == number:
            return equal, (), known
        taken = Revision(equal.name, number + 1, equal.data, equal.obj)
        body = {"revision": number + 1}
        others = [r for r in known if r is not equal]
        return taken, (Patch(CONTROLLER_REVISION, objects.key(equal.obj), body),), [*others, taken]
    hash_ = parts.content_hash(data)
    made = Revision(f"{objects.name(owner)[:_NAME_MAX]}-{hash_}", number + 1, data)
    selector = (objects.get_path(owner, "spec", "selector", "matchLabels") or {}) if owner.get("spec") else {}
    meta = {
        "name": made.name,
        "namespace": objects.namespace(owner),
        "labels": {**selector, **dict.fromkeys(hash_label, made.name), "controller.kubernetes.io/hash": hash_},
        "ownerReferences": [objects.make_owner_reference(kind, owner, controller=True)],
    }
    obj = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": meta,
        "data": data,
        "revision": made.number,
    }
    return made, (Create(CONTROLLER_REVISION, obj, exists_ok=True),), [*known, made]


def surplus_revisions(known: Sequence[Revision], live: Iterable[str], limit: int) -> tuple[Command, ...]:
    """Deletions of the oldest revisions that no pod is at, beyond the limit."""
    kept = frozenset(live)
    idle = [r for r in known if r.name not in kept and r.obj is not None]
    return tuple(
        Delete(CONTROLLER_REVISION, objects.key(r.obj), objects.uid(r.obj))
        for r in idle[: max(0, len(idle) - limit)]
        if r.obj is not None
    )
