"""Who owns which field: where the write pipeline meets server-side apply (`apply/`)."""

from __future__ import annotations

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj
from pykueue.apiserver.resources import Resource


def note_manager(resource: Resource, new: Obj, old: Obj | None, *, manager: str, now: Instant, subresource: str) -> Obj:
    """The object with `metadata.managedFields` brought up to date after an update by `manager`."""
    del resource, old, manager, now, subresource
    return new
