"""A manager: informers, loop, effects and recorder over one transport, with or without an engine.

Kueue's part of the product is one manager with engine and lease; the emulated cluster's controllers are another without both. Any
number lives in one process; they share nothing but what the transport leads to.

`run` ends when cancelled or `stop` is called: first no new work is begun, then what is under way may end, then the events
that wait are written, and the lease is released.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api.errors import TransportError
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import Kind
from pykueue.ports.engine import Engine
from pykueue.ports.reader import Indexer, Reader
from pykueue.ports.reconcile import Reconciler
from pykueue.ports.requests import Write
from pykueue.ports.transport import Transport
from pykueue.runtime import heap
from pykueue.runtime.cache import Cache, Scope
from pykueue.runtime.clock import Clock, SystemClock, sleep
from pykueue.runtime.dispatch import Dispatch
from pykueue.runtime.effects import Effects
from pykueue.runtime.inbox import Elected, Inbox
from pykueue.runtime.informers import Informer
from pykueue.runtime.lease import LeaseElector, LeaseLost
from pykueue.runtime.loop import Loop
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.recorder import Recorder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """What differs between managers.

    Attributes:
        name: for logs and as field manager of writes that name none.
        scopes: kinds of which only a part is cached.
        more_kinds: kinds to cache though no reconciler watches them (read by webhooks, say).
        cache_sync_timeout_us: how long the first lists may take.
        freeze_after_sync: tell the garbage collector to leave the caches alone once they are filled; for a process
            that is a manager and nothing else, since it is told to the whole process.
        stop_grace_s: how long work may take to end when the manager stops.
        requests_max: writes at a time.
        rewrite: a write, by what the cache shows, in the form in which it is sent.
    """

    name: str = "pykueue"
    scopes: Sequence[Scope] = ()
    more_kinds: Sequence[Kind] = ()
    cache_sync_timeout_us: int = 120 * SECOND_US
    freeze_after_sync: bool = False
    stop_grace_s: float = 5.0
    requests_max: int = 32
    rewrite: Callable[[Write, Reader], Write] = lambda command, _: command
    instance: str = field(default_factory=lambda: f"pykueue-{socket.gethostname()}")


class Manager:
    """Runs reconcilers, and an engine if there is one."""

    def __init__(
        self,
        transport: Transport,
        reconcilers: Sequence[Reconciler],
        *,
        engine: Engine | None = None,
        clock: Clock | None = None,
        lease: LeaseElector | None = None,
        options: ManagerOptions | None = None,
        metrics: RuntimeMetrics | None = None,
    ) -> None:
        """A manager that has not begun.

        Args:
            transport: the API server. Closing it is the caller's business.
            reconcilers: with different names.
            engine: the scheduler, if this manager has one.
            clock: the machine's, unless a test brings its own.
            lease: None acts at once, as a single replica.
            options: see there.
            metrics: a registry of its own, unless one is given.
        """
        self.options = options or ManagerOptions()
        self.metrics = metrics or RuntimeMetrics()
        self._clock, self._lease = clock or SystemClock(), lease
        self._inbox = Inbox()
        given = {scope.kind: scope for scope in self.options.scopes}
        wanted = [*(engine.kinds() if engine is not None else ()), *self.options.more_kinds]
        wanted += [watch.kind for reconciler in reconcilers for watch in reconciler.watches()]
        wanted += [index.kind for reconciler in reconcilers for index in reconciler.indexes()]
        self._cache = Cache(given.get(kind, Scope(kind)) for kind in dict.fromkeys(wanted))
        self._recorder = Recorder(transport, self._clock, self.metrics, instance=self.options.instance)
        self._effects = Effects(
            transport, self._recorder, self.metrics, self._inbox.put,
            field_manager=self.options.name, requests_max=self.options.requests_max,
            rewrite=lambda command: self.options.rewrite(command, self._cache.reader),
        )  # fmt: skip
        dispatch = Dispatch(reconcilers, self._cache.reader, self.metrics)
        self._synced = asyncio.Event()
        self._loop = Loop(
            self._inbox, self._cache, dispatch, engine, self._effects, self._clock, self.metrics, self._synced
        )
        self._informers = [
            Informer(scope, transport, self._inbox.put, self._clock, self.metrics)
            for scope in self._cache.scopes.values()
        ]
        self._stopping = asyncio.Event()

    @property
    def reader(self) -> Indexer:
        """The cache, for webhooks and views; read it from the event loop's thread alone."""
        return self._cache.reader

    def is_synced(self) -> bool:
        """Whether every kind was listed."""
        return self._synced.is_set()

    def is_leading(self) -> bool:
        """Whether this replica acts."""
        return self._loop.leading

    def is_idle(self) -> bool:
        """Whether nothing waits, runs or may run now; timers in the future do not count."""
        now = self._clock.now()
        due = self._loop.next_due()
        return self.is_synced() and not self._inbox and self._effects.is_idle() and (due is None or due > now)

    def next_due(self) -> Instant | None:
        """When the next timer falls due, for tests in virtual time."""
        return self._loop.next_due()

    async def wait_until_synced(self) -> None:
        """Wait until every kind was listed."""
        await self._synced.wait()

    async def run(self) -> None:
        """Run until stopped or cancelled.

        Raises:
            LeaseLost: another replica may be acting: the process must end.
            TransportError: the caches were not filled in time.
        """
        if self.options.freeze_after_sync:
            heap.pause()
        grace_s = self.options.stop_grace_s
        try:
            await self._run_tasks()
        except LeaseLost:
            grace_s = 0.0  # another replica may act: what is under way must not go on
            raise
        finally:
            await self._effects.stop(grace_s)
            await self._flush_events()
            if self._lease is not None:
                await self._lease.release()

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    async def _run_tasks(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Any]] = [loop.create_task(informer.run()) for informer in self._informers]
        tasks += [loop.create_task(work) for work in (self._loop.run(), self._recorder.run(), self._lead())]
        tasks += [loop.create_task(self._watch_sync()), loop.create_task(self._stopping.wait())]
        essential = set(tasks)
        try:
            while not self._stopping.is_set():
                done, essential = await asyncio.wait(essential, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _lead(self) -> None:
        """Become the leader, and stay it."""
        if self._lease is None:
            await self._inbox.put(Elected())
            return
        await self._synced.wait()
        await self._lease.acquire()
        _log.info("%s: elected", self.options.name)
        await self._inbox.put(Elected())
        await self._lease.keep()

    async def _watch_sync(self) -> None:
        """Give up if the caches are not filled in time.

        Raises:
            TransportError: with the kinds that are missing, and why.
        """
        timer = asyncio.ensure_future(sleep(self._clock, self.options.cache_sync_timeout_us))
        synced = asyncio.ensure_future(self._synced.wait())
        try:
            await asyncio.wait((timer, synced), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            synced.cancel()
        if not self._synced.is_set():
            missing = [i for i in self._informers if i.scope.kind in self._cache.unsynced]
            told = "; ".join(f"{i.scope.kind.plural}: {i.error or 'no answer'}" for i in missing)
            raise TransportError(f"{self.options.name}: caches were not filled in time ({told})")
        if self.options.freeze_after_sync:
            heap.settle()

    async def _flush_events(self) -> None:
        try:
            await asyncio.wait_for(self._recorder.flush(), self.options.stop_grace_s)
        except TimeoutError:
            _log.warning("%s: some events were not recorded before the end", self.options.name)
