"""A transport that fails now and then, by a seeded plan, in the ways real ones do.

* a write is refused with a Conflict although nobody else wrote;
* a write is done and its answer lost;
* a write or read is refused with 429 or 503;
* a watch ends, or tells that its resource version is too old;
* the process dies: from the chosen write on nothing is asked or answered any more (`Crash`).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pykueue.api.errors import Conflict, Expired, ServiceUnavailable, TooManyRequests, TransportError
from pykueue.ports.transport import ApiRequest, Transport, WatchLine


@dataclass
class Faults:
    """How often what happens; probabilities per request or watch line."""

    seed: int
    conflict: float = 0.05
    lost_answer: float = 0.03
    busy: float = 0.02
    watch_ends: float = 0.01
    watch_expires: float = 0.003
    crash_at_write: int | None = None
    on_crash: Callable[[], None] = lambda: None
    writes: int = 0
    crashed: bool = False
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def calm(self) -> None:
        """No more faults: what is left must now come to rest."""
        self.conflict = self.lost_answer = self.busy = self.watch_ends = self.watch_expires = 0.0


class FaultyTransport:
    """Asks another transport, when it feels like it."""

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def request(self, request: ApiRequest) -> Any:
        faults = self._faults
        self._die_if_crashed()
        if request.method == "GET":
            if faults.dice.random() < faults.busy:
                raise ServiceUnavailable("the server is busy")
            return await self._inner.request(request)
        faults.writes += 1
        if faults.crash_at_write is not None and faults.writes >= faults.crash_at_write:
            # Half of the crashes come just before the write, half just after it.
            if faults.dice.random() < 0.5:
                await self._inner.request(request)
            faults.crashed = True
            faults.story.append(f"crash at write {faults.writes}: {request.method} {request.path}")
            faults.on_crash()
            self._die_if_crashed()
        roll = faults.dice.random()
        if roll < faults.conflict:
            raise Conflict(
                "the object has been modified; please apply your changes to the latest version and try again"
            )
        if roll < faults.conflict + faults.busy:
            raise TooManyRequests("too many requests")
        answer = await self._inner.request(request)
        if faults.dice.random() < faults.lost_answer:
            raise TransportError("connection reset")
        return answer

    async def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        faults = self._faults
        self._die_if_crashed()
        async for line in self._inner.watch(request):
            self._die_if_crashed()
            roll = faults.dice.random()
            if roll < faults.watch_expires:
                raise Expired("too old resource version")
            if roll < faults.watch_expires + faults.watch_ends:
                return
            yield line

    async def close(self) -> None:
        await self._inner.close()

    def _die_if_crashed(self) -> None:
        if self._faults.crashed:
            raise TransportError("the process is gone")
