"""What the world tells pure code: a closed vocabulary.

Watches, timers and finished commands all become events in one bounded, ordered inbox (`runtime/inbox.py`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj


class Change(enum.Enum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object as seen now, and as it was seen before.

    Attributes:
        kind: which resource.
        change: what happened.
        new: the present object; for DELETED its last state.
        old: the former state in the cache; None for ADDED.
    """

    kind: Kind
    change: Change
    new: Obj
    old: Obj | None = None
