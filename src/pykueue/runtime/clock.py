"""Time for the shell: the machine's, and one that stands still until it is told to move.

Everything in `runtime/` that waits for a time does it through a `Clock`, so that a whole manager runs in virtual time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

from pykueue.api.instant import SECOND_US, Instant


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Do not run it."""
        ...


class Clock(Protocol):
    """What time it is, and when it will be later."""

    def now(self) -> Instant:
        """The present time."""
        ...

    def call_at(self, due: Instant, callback: Callable[[], None]) -> Timer:
        """Run a callback in the event loop at this time, or soon if it is past."""
        ...


async def sleep_until(clock: Clock, due: Instant) -> None:
    """Wait until it is this time."""
    if due <= clock.now():
        await asyncio.sleep(0)
        return
    arrived = asyncio.Event()
    timer = clock.call_at(due, arrived.set)
    try:
        await arrived.wait()
    finally:
        timer.cancel()


async def sleep(clock: Clock, duration_us: int) -> None:
    """Wait this long."""
    await sleep_until(clock, Instant(clock.now() + duration_us))


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        """See `Clock.now`."""
        return Instant(time.time_ns() // 1000)

    def call_at(self, due: Instant, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`."""
        return asyncio.get_running_loop().call_later(max(0, due - self.now()) / SECOND_US, callback)


class _ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Stands still; `advance` moves it, and runs what falls due in order of time."""

    def __init__(self, now: Instant = Instant(1_700_000_000 * SECOND_US)) -> None:  # noqa: B008 - a number
        self._now = now
        self._timers: list[tuple[Instant, int, _ManualTimer]] = []
        self._order = itertools.count()

    def now(self) -> Instant:
        """See `Clock.now`."""
        return self._now

    def call_at(self, due: Instant, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    def next_due(self) -> Instant | None:
        """When the next timer falls due; None if there is none."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def advance(self, duration_us: int = 0, *, turns: int = 50) -> None:
        """Move on, stopping at every timer on the way.

        Args:
            duration_us: how far.
            turns: of the event loop that are granted after each stop, for what the timers set going.
        """
        end = Instant(self._now + duration_us)
        await _turn(turns)
        while (due := self.next_due()) is not None and due <= end:
            self._now = max(self._now, due)
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()
            await _turn(turns)
        self._now = end


async def _turn(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
