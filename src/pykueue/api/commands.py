"""What pure code may ask the world to do: a closed vocabulary.

A reconciler returns commands; `runtime/effects.py` carries them out through a client. Commands are values: they can be
compared, printed and replayed. Writes are patches that name a field owner, or creations and deletions of whole
objects; nobody writes a whole object back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey


class PatchType(enum.Enum):
    """The three patch formats besides apply."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Create:
    """POST an object; its `metadata` may have `generateName`."""

    kind: Kind
    obj: Obj
    exists_ok: bool = False
    """AlreadyExists counts as success."""
    refused: Emit | None = None
    """Recorded if the API says no for the object's own sake; the API's words follow the note."""


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH an object or one of its sub-resources.

    A precondition on the resource version is a `metadata.resourceVersion` inside `body`; on the UID, `metadata.uid`.
    """

    kind: Kind
    key: ObjectKey
    body: Any
    type: PatchType = PatchType.MERGE
    subresource: str = ""
    missing_ok: bool = False
    """NotFound counts as success."""
    field_manager: str = ""
    """Owner of the fields, if it is not the writer as a whole."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of an object or of its status."""

    kind: Kind
    obj: Obj
    field_manager: str
    subresource: str = ""
    force: bool = True
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE an object; NotFound counts as success unless told otherwise."""

    kind: Kind
    key: ObjectKey
    uid: str = ""
    """Precondition, if not empty."""
    propagation: str = "Background"
    """`Background`, `Foreground` or `Orphan`."""
    grace_period_s: int | None = None
    missing_ok: bool = True


@dataclass(frozen=True, slots=True)
class Bind:
    """POST a `binding` of a pod to a node: what a pod scheduler does."""

    pod: ObjectKey
    node: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Record an Event (events.k8s.io) about an object."""

    kind: Kind
    about: Obj
    """The object, or at least its `metadata` with name, namespace and uid."""
    type: str
    """`Normal` or `Warning`."""
    reason: str
    note: str
    """Cut to 1024 characters by the shell."""
    reporter: str = ""
    """Reporting controller; empty for the reconciler's own name."""
    action: str = ""
    """What was done; empty for the reason."""
    is_routine: bool = False
    """One of many alike, that tells what the objects say as well: in a burst the shell leaves some out."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Commands that are carried out one after another; the first failure drops the rest."""

    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Commands that are carried out side by side; a failure of one never cancels the others, and is told after all."""

    commands: tuple[Command, ...]


Command: TypeAlias = Create | Patch | Apply | Delete | Bind | Emit | Chain | Together
