"""The port between the loop and the admission engine.

The engine is the pure brain (`core/engine.py`) with its decisions turned into commands (`controllers/admission.py`). The loop owns
it: it feeds events in order, runs a cycle when one is due and this process is the leader, and reports how each effect ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pykueue.api.commands import Command
from pykueue.api.errors import PykueueError
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import ObjectKey
from pykueue.ports.reader import Reader


@dataclass(frozen=True, slots=True)
class EngineEffect:
    """Commands of one decision.

    Attributes:
        token: identifies the decision when its end is reported; unique within the process.
        commands: carried out as one `Chain`.
    """

    token: int
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in our own code that was kept from stopping others.

    Attributes:
        what: was being done, for the log.
        error: with its traceback.
    """

    what: str
    error: Exception


class Engine(Protocol):
    """What the loop drives. Every method is synchronous and does no I/O."""

    def kinds(self) -> Sequence[Kind]:
        """The kinds it must see."""
        ...

    def apply(self, event: ObjectEvent, reader: Reader, now: Instant) -> None:
        """Take in a change, on every replica, leader or not."""
        ...

    def next_cycle_at(self, now: Instant) -> Instant | None:
        """When the next cycle is due: `now` or earlier means at once, None means not before another event."""
        ...

    def cycle(self, reader: Reader, now: Instant) -> Sequence[EngineEffect]:
        """Run one scheduling cycle; what it admits is assumed until `finished` tells."""
        ...

    def finished(self, token: int, error: PykueueError | None, now: Instant) -> None:
        """An effect's commands are done, or failed: then what was assumed is forgotten and requeued."""
        ...

    def take_faults(self) -> Sequence[Fault]:
        """What failed in our own code since the last call; whatever hung on it was given up, and nothing else."""
        ...

    def take_woken(self) -> Sequence[tuple[str, ObjectKey]]:
        """Reconciler names and keys whose inputs changed inside the engine since the last call (queue statuses, say)."""
        ...
