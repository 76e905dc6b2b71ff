"""The contract of every reconciler, the product's own and those of the emulated cluster.

A reconciler is a pure, synchronous function of what the cache shows and of the time: `(reader, key, now) -> Result`.
It is level-based: it looks at the present state, never at what changed, and when the world already is as it should be it
returns no commands. The runtime (`runtime/loop.py`) calls it, one call per key at a time, and carries out the commands.
Results of a key's own writes are put into the cache before the key is reconciled again: a reconciler reads its own writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pykueue.api.commands import Command
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import ObjectKey
from pykueue.ports.reader import IndexFn, Reader


@dataclass(frozen=True, slots=True)
class Watch:
    """Which changes of which kind wake which keys of a reconciler.

    Attributes:
        kind: the resource to watch.
        keys: from an event (with old and new state) to the keys to reconcile; may read the cache. Errors are ours.
        delay_us: wait this long before reconciling, so that bursts become one pass.
    """

    kind: Kind
    keys: Callable[[ObjectEvent, Reader], Iterable[ObjectKey]]
    delay_us: int = 0


@dataclass(frozen=True, slots=True)
class Index:
    """An index that a reconciler needs in the cache; the same (kind, name) may be declared by several."""

    kind: Kind
    name: str
    fn: IndexFn


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconciler asks for.

    Attributes:
        commands: carried out in order, as one `Chain`: the first failure drops the rest and the key is retried with backoff.
        requeue_after_us: reconcile again after this time (timers: backoff ends, timeouts). None for never.
        error: something is not as it should be and only a retry can tell (a webhook's object not yet there, say):
            after the commands the key is retried with backoff, and this text is logged. Empty for none.
    """

    commands: tuple[Command, ...] = ()
    requeue_after_us: int | None = None
    error: str = ""


DONE = Result()


class Reconciler(Protocol):
    """One controller. `name` is unique; it is the reporter of its events unless `Emit.reporter` says otherwise."""

    @property
    def name(self) -> str:
        """Unique name, for logs, metrics and events."""
        ...

    def watches(self) -> Sequence[Watch]:
        """What wakes it."""
        ...

    def indexes(self) -> Sequence[Index]:
        """What it looks up by other than name."""
        ...

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """Look at one key and say what to do."""
        ...
