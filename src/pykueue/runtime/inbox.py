"""The one queue between the world and the loop: bounded and ordered.

Watches, results of writes and ends of chains are put here by tasks that wait while it is full; the loop alone takes them out,
many at a time, and never waits to put. So a flood of events slows the watches down, not the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pykueue.api.errors import PykueueError
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj


@dataclass(frozen=True, slots=True)
class Listed:
    """A fresh list of a kind: what is not in it is gone.

    Attributes:
        kind: of the objects.
        objects: all of them.
        version: resource version of the list; objects that are newer in the cache stay there.
        served: False if the cluster does not serve the kind; then there are no objects.
    """

    kind: Kind
    objects: Sequence[Obj]
    version: int = 0
    served: bool = True


@dataclass(frozen=True, slots=True)
class Changed:
    """A state of an object, from a watch or from the answer to a write of ours.

    Attributes:
        kind: of the object.
        obj: its state; after a deletion at least its name, namespace and uid.
        deleted: it is gone.
        written: the answer to a write: the object may lie outside of what is cached.
    """

    kind: Kind
    obj: Obj
    deleted: bool = False
    written: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A piece of work has been carried out, or has failed.

    Attributes:
        work: as the loop named it when it handed out the commands.
        error: why it failed; None if it did not.
    """

    work: object
    error: PykueueError | None = None


@dataclass(frozen=True, slots=True)
class Elected:
    """This process is the leader from now on."""


Item: TypeAlias = Listed | Changed | Ended | Elected


class Inbox:
    """Items in order of arrival. One consumer, any number of producers in the same event loop."""

    def __init__(self, length_max: int = 10_000) -> None:
        """An empty inbox that holds this many items before producers wait."""
        self._items: deque[Item] = deque()
        self._length_max = length_max
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: Item) -> None:
        """Add an item; waits while the inbox is full."""
        while len(self._items) >= self._length_max:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._filled.set()

    def wake(self) -> None:
        """Let the consumer look, though there is no item: a time has come."""
        self._filled.set()

    async def wait(self) -> None:
        """Wait for an item or for `wake`."""
        await self._filled.wait()

    def drain(self, n_max: int) -> list[Item]:
        """Take out the oldest items, at most this many; maybe none."""
        taken = [self._items.popleft() for _ in range(min(n_max, len(self._items)))]
        if not self._items:
            self._filled.clear()
        if len(self._items) < self._length_max:
            self._room.set()
        return taken
