"""The product on one page.

One task owns the state: it takes what the world tells out of the inbox, feeds cache, engine and reconcilers, runs cycles of the
engine while they are due, and hands commands to `Effects`, whose ends come back through the inbox. Nothing here waits but for
the inbox or for a time. Events are taken in before a cycle is run. Followers keep cache and engine warm, and do nothing.

Until every kind was listed once, nothing is told to anybody; then all of it is, kind by kind, so that what the engine sees at
the start does not depend on which list came first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pykueue.api.errors import PykueueError
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import key
from pykueue.ports.engine import Engine
from pykueue.runtime.cache import Cache
from pykueue.runtime.clock import Clock
from pykueue.runtime.dispatch import Dispatch, Pass
from pykueue.runtime.effects import Effects
from pykueue.runtime.inbox import Changed, Elected, Ended, Inbox, Item, Listed
from pykueue.runtime.metrics import RuntimeMetrics

ITEMS_PER_TURN, PASSES_PER_TURN = 100, 10
DECISIONS_PER_TURN = 200
"""After so many no further cycle is run in a turn; some ten milliseconds."""
_AT_ONCE = Instant(0)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Loop:
    """The single owner of cache, engine and queue."""

    inbox: Inbox
    cache: Cache
    dispatch: Dispatch
    engine: Engine | None
    effects: Effects
    clock: Clock
    metrics: RuntimeMetrics
    synced: asyncio.Event
    leading: bool = False
    _no_cycle_before: Instant = _AT_ONCE

    async def run(self) -> None:
        """Turn until cancelled."""
        while True:
            due = self.next_due()
            if due is not None and due <= self.clock.now():
                self.inbox.wake()
            timer = self.clock.call_at(due, self.inbox.wake) if due is not None else None
            await self.inbox.wait()
            if timer is not None:
                timer.cancel()
            self.turn()
            await asyncio.sleep(0)  # effects and watches have their turn

    def turn(self) -> None:
        """Take in what is there, run what is due, hand out commands."""
        now = self.clock.now()
        self.metrics.inbox.set(len(self.inbox))
        for item in self.inbox.drain(ITEMS_PER_TURN):
            try:
                self._take(item, now)
            except Exception:
                _log.exception("loop: %.500r could not be taken in", item)
                self.metrics.faults.labels("loop").inc()
        if not (self.leading and self.synced.is_set()):
            return
        if self.engine is not None and not self.inbox:
            self._cycles(self.engine, now)
            self.dispatch.wake(self.engine.take_woken(), now)
        for _ in range(PASSES_PER_TURN):
            work = self.dispatch.next_pass(now) if self.effects.has_room() else None
            if work is None:
                break
            if work.result.commands:
                self.effects.start(work.result.commands, work.reconciler, work.cause, _reply(self.inbox, work))
            else:
                self.dispatch.finish(work, None, now)

    def next_due(self) -> Instant | None:
        """When the next turn is due without any event."""
        if not (self.leading and self.synced.is_set()):
            return None
        now = self.clock.now()
        due = [self.dispatch.queue.next_due(now)] if self.effects.has_room() else []
        if self.engine is not None and (cycle := self.engine.next_cycle_at(now)) is not None:
            due.append(max(cycle, self._no_cycle_before))
        return min((instant for instant in due if instant is not None), default=None)

    def _take(self, item: Item, now: Instant) -> None:
        match item:
            case Listed() | Changed():
                for event in self.cache.take(item):
                    if self.synced.is_set():
                        self._tell(event, now)
                if not self.synced.is_set() and not self.cache.unsynced:
                    self._start(now)
            case Ended(Pass() as work, error):
                self.dispatch.finish(work, error, now)
            case Ended(int() as token, error):
                assert self.engine is not None
                self.engine.finished(token, error, now)
            case Elected():
                self.leading = True
                self.metrics.leader.set(1)
                if self.synced.is_set():
                    self._wake_everything(now)

    def _start(self, now: Instant) -> None:
        self.synced.set()
        for event in self.cache.everything(self.engine.kinds()) if self.engine is not None else ():
            self._apply(event, now)
        if self.leading:
            self._wake_everything(now)

    def _wake_everything(self, now: Instant) -> None:
        for event in self.cache.everything():
            self.dispatch.take(event, now)

    def _tell(self, event: ObjectEvent, now: Instant) -> None:
        self._apply(event, now)
        if self.leading:
            self.dispatch.take(event, now)

    def _apply(self, event: ObjectEvent, now: Instant) -> None:
        if self.engine is None:
            return
        try:
            self.engine.apply(event, self.cache.reader, now)
        except Exception:
            _log.exception("engine: %s %s could not be taken in", event.kind.kind, key(event.new))
            self.metrics.faults.labels("engine").inc()

    def _cycles(self, engine: Engine, now: Instant) -> None:
        """Run the cycle that is due, and those that are due at once after it: a cycle takes only one Workload of each queue."""
        n_decisions = 0
        while n_decisions < DECISIONS_PER_TURN:
            due = engine.next_cycle_at(now)
            if due is None or max(due, self._no_cycle_before) > now:
                return
            n = self._cycle(engine, now)
            if not n:
                return
            n_decisions += n

    def _cycle(self, engine: Engine, now: Instant) -> int:
        """Run one cycle; how many decisions it gave to carry out."""
        try:
            with self.metrics.cycles.time():
                effects = engine.cycle(self.cache.reader, now)
        except Exception:
            _log.exception("engine: the cycle was given up; the next one is in a second")
            self.metrics.faults.labels("cycle").inc()
            self._no_cycle_before = Instant(now + SECOND_US)
            return 0
        for fault in engine.take_faults():
            _log.error("engine: %s was given up", fault.what, exc_info=fault.error)
            self.metrics.faults.labels("cycle").inc()
        for effect in effects:
            self.effects.start(
                effect.commands, "scheduler", f"decision {effect.token}", _reply(self.inbox, effect.token)
            )
        return len(effects)


def _reply(inbox: Inbox, work: Pass | int) -> Callable[[PykueueError | None], Awaitable[None]]:
    async def ended(error: PykueueError | None) -> None:
        await inbox.put(Ended(work, error))

    return ended
