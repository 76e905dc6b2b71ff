"""The whole product in one process and in virtual time: API server, emulated cluster, and a manager that crashes and comes back.

There are no sockets and no threads, and time moves only when every task waits for it: a run is decided by its seed alone. The manager
speaks through `FaultyTransport`; after a crash another one, with nothing but what the API server holds, takes its place. Between two
lives webhooks look at what the dead one saw last, as those of another replica would that hears nothing new.

    async with SimulatedCluster.start(seed=7) as cluster:
        await cluster.apply(CLUSTER_QUEUE, {...})
        await cluster.advance(30)
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pykueue.api.commands import Emit
from pykueue.api.conversion import convert
from pykueue.api.errors import PykueueError, TransportError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, format_time
from pykueue.api.kinds import KUEUE_GROUP, LEASE, NAMESPACE, NODE, Kind
from pykueue.api.objects import Obj
from pykueue.apiserver.server import EmbeddedApiServer, Sources
from pykueue.cli.cluster import _LWS_CONFIGURATION, _install_definitions
from pykueue.cli.manifests import shipped_configuration
from pykueue.cli.wiring import CACHED_KINDS, WEBHOOK_CONFIGURATION, assemble
from pykueue.core.configuration import load
from pykueue.emulation.setup import emulated_kinds, emulated_reconcilers, emulated_webhooks, node_objects
from pykueue.ports.reconcile import Reconciler
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.admission import InProcessAdmission, WebhookSet
from pykueue.runtime.clock import ManualClock, sleep
from pykueue.runtime.manager import Manager, ManagerOptions
from support.authorized import AuthorizedTransport
from support.faults import Faults, FaultyTransport

TURNS_MAX = 300_000
"""Turns of the event loop within one instant, after which something runs in circles."""


class SimulatedCluster:
    """A cluster whose manager does not live long."""

    def __init__(
        self,
        seed: int,
        *,
        configuration: str = "",
        feature_gates: str = "",
        writes_per_life: int = 60,
        is_faulty: bool = True,
    ) -> None:
        """A cluster that has not begun; use `start`.

        Args:
            seed: decides everything.
            configuration: of the manager; the shipped one unless given.
            feature_gates: as on the command line.
            writes_per_life: how many writes a manager lives for, at most; the crash comes at any of them.
            is_faulty: False for a manager that lives for ever, and a server that always answers.
        """
        self.dice = random.Random(seed)
        self.clock = ManualClock()
        self.story: list[str] = []
        self.refused: list[str] = []
        self.lives = 0
        numbers, letters = itertools.count(1), random.Random(seed)
        suffix: Callable[[], str] = lambda: "".join(letters.choices("bcdfghjklmnpqrstvwxz2456789", k=5))  # noqa: E731
        self.server = EmbeddedApiServer(
            converters={KUEUE_GROUP: convert},
            sources=Sources(self.clock.now, lambda: f"uid-{next(numbers):06}", suffix),
        )
        self.user = self.server.transport(user_agent="kubectl")
        self._config, self._features = load(
            configuration or shipped_configuration(), "simulation", feature_gates=feature_gates
        )
        self._writes_per_life, self._is_faulty = writes_per_life, is_faulty
        self._faults = Faults(0)
        self._emulated = emulated_reconcilers()
        self._reconcilers: Sequence[Reconciler] = ()
        self._emulation = self._make_emulation()
        self._product: Manager | None = None
        self._watchers: list[Callable[[], None]] = []
        self._is_over = self._is_introduced = False

    @classmethod
    @asynccontextmanager
    async def start(cls, seed: int, **options: Any) -> AsyncIterator[SimulatedCluster]:
        """A running cluster with nodes; it ends with the context."""
        cluster = cls(seed, **options)
        await _install_definitions(cluster.user)
        for kind, objs in ((NODE, node_objects("default")), (NAMESPACE, [{"metadata": {"name": "kueue-system"}}])):
            for obj in objs:
                await cluster.create(kind, obj)
        tasks = [asyncio.create_task(cluster._emulation.run()), asyncio.create_task(cluster._live())]
        try:
            await cluster.advance(1)
            while not cluster._is_introduced:
                await cluster.advance(1)
            yield cluster
        finally:
            cluster._is_over = True
            for manager in (cluster._emulation, cluster._product):
                if manager is not None:
                    manager.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await cluster.server.close()

    # What a user does.

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Obj:
        """Create an object; in namespace `default` unless it says otherwise.

        Raises:
            ApiError: refused.
        """
        meta = dict(obj["metadata"])
        if kind.namespaced:
            meta.setdefault("namespace", "default")
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": meta}
        answer: Obj = await self.user.request(ApiRequest("POST", kind.path(meta.get("namespace", "")), body=body))
        return answer

    async def patch(self, kind: Kind, name: str, body: Mapping[str, Any], subresource: str = "") -> None:
        """Patch an object by merging.

        Raises:
            ApiError: refused.
        """
        path = kind.path("default" if kind.namespaced else "", name, subresource)
        await self.user.request(ApiRequest("PATCH", path, {}, body, "application/merge-patch+json"))

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete an object in the background, as kubectl does.

        Raises:
            ApiError: refused.
        """
        path = kind.path("default" if kind.namespaced else "", name)
        await self.user.request(ApiRequest("DELETE", path, {"propagationPolicy": "Background"}))

    def list(self, kind: Kind) -> Sequence[Obj]:
        """All objects of a kind, by namespace and name, as stored."""
        resource = self.server.registry.for_kind(kind)
        assert resource is not None
        storage = self.server.store.storage(resource.storage_name)
        return [resource.from_storage(obj) for obj in storage.list()]

    def writes_after(self, revision: int) -> Sequence[str]:
        """What was written since, without the heartbeats of nodes."""
        names = {r.storage_name: r.kind.kind for r in self.server.registry if r.kind not in (LEASE, NODE)}
        writes = [
            (event.revision, f"{event.type.value} {kind} {event.key}")
            for name, kind in names.items()
            for event in self.server.store.storage(name).events
            if event.revision > revision
        ]
        return [told for _, told in sorted(writes)]

    # What time does.

    def on_turn(self, watcher: Callable[[], None]) -> None:
        """Call this whenever anything may have changed."""
        self._watchers.append(watcher)

    def tell(self, line: str) -> None:
        """Add to the story."""
        self.story.append(f"{format_time(self.clock.now())} {line}")

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that falls due.

        Raises:
            AssertionError: something runs in circles.
        """
        end = self.clock.now() + int(seconds * SECOND_US)
        await self._come_to_rest()
        while (due := self.clock.next_due()) is not None and due <= end:
            await self.clock.advance(max(due - self.clock.now(), 0), turns=0)
            await self._come_to_rest()
        await self.clock.advance(end - self.clock.now(), turns=0)

    async def calm(self) -> None:
        """End all faults; the manager that comes next lives on."""
        self._is_faulty = False
        self._faults.calm()
        self._faults.crash_at_write = None
        self.tell("faults end")
        await self.advance(5)

    @property
    def managers(self) -> Sequence[Manager]:
        """The product's, if it lives, and that of the emulation."""
        return [manager for manager in (self._product, self._emulation) if manager is not None]

    def is_idle(self) -> bool:
        """Whether nobody has anything to do now."""
        return self._product is not None and self._product.is_idle() and self._emulation.is_idle()

    def restless(self) -> Iterator[str]:
        """What reconcilers would still do to a cluster at rest; each of them should be content with what it sees."""
        now = self.clock.now()
        for manager, reconcilers in ((self._product, self._reconcilers), (self._emulation, self._emulated)):
            assert manager is not None
            reader = manager.reader
            for reconciler in reconcilers:
                events = [
                    ObjectEvent(w.kind, Change.ADDED, o) for w in reconciler.watches() for o in reader.list(w.kind)
                ]
                woken = {
                    k: None for e in events for w in reconciler.watches() if w.kind == e.kind for k in w.keys(e, reader)
                }
                for object_key in woken:
                    result = reconciler.reconcile(reader, object_key, now)
                    # Events may be told again whenever somebody looks: Kueue does, about groups that lack pods for one.
                    writes = [command for command in result.commands if not isinstance(command, Emit)]
                    if writes or result.error:
                        yield f"{reconciler.name} is not content with {object_key}: {result.error} {writes}"

    # How it works.

    async def _come_to_rest(self) -> None:
        """Grant turns until every task waits for time: what is ready to run is then this task alone."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
            for watcher in self._watchers:
                watcher()
            if not ready:
                return
        raise AssertionError(f"{TURNS_MAX} turns within one instant; somebody runs in circles")

    def _make_emulation(self) -> Manager:
        options = ManagerOptions(name="kube-controller-manager", more_kinds=emulated_kinds())
        transport = self.server.transport(user_agent="kube-controller-manager")
        return Manager(transport, self._emulated, clock=self.clock, options=options)

    async def _live(self) -> None:
        """One manager after the other."""
        while not self._is_over:
            await self._live_once()
            pause_us = self.dice.randrange(3 * SECOND_US)
            await sleep(self.clock, pause_us)

    async def _live_once(self) -> None:
        self.lives += 1
        crashed = asyncio.Event()
        self._faults = Faults(self.dice.randrange(1 << 32), on_crash=crashed.set, story=self.story)
        harshness = self.dice.choice((1, 1, 4))
        self._faults.conflict *= harshness
        self._faults.lost_answer *= harshness
        self._faults.busy *= harshness
        self._faults.watch_ends *= harshness
        if self._is_faulty:
            self._faults.crash_at_write = self.dice.randint(1, self._writes_per_life)
        else:
            self._faults.calm()
        parts = assemble(self._config, self._features)
        self._reconcilers = parts.reconcilers
        self._product = manager = Manager(
            FaultyTransport(self._authorized(), self._faults), parts.reconcilers,
            engine=parts.controller, clock=self.clock,
            options=ManagerOptions(
                name="kueue", more_kinds=CACHED_KINDS, stop_grace_s=0.0, instance="kueue-simulated", rewrite=parts.rewrite
            ),
        )  # fmt: skip
        running = asyncio.create_task(manager.run())
        introduced = asyncio.create_task(self._introduce(manager, parts.webhooks))
        waiting = asyncio.create_task(crashed.wait())
        try:
            await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
            self.tell(f"manager {self.lives} is gone")
        finally:
            for task in (introduced, waiting):
                task.cancel()
            running.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            if outcome is not None and not isinstance(outcome, asyncio.CancelledError | TransportError):
                raise AssertionError(f"the manager ended with {outcome!r}")

    def _authorized(self) -> AuthorizedTransport:
        """The manager's way in: it may do what its roles allow, and trying more is a fault."""
        return AuthorizedTransport(self.server.transport(user_agent="kueue"), self.refused.append)

    async def _introduce(self, manager: Manager, webhooks: Sequence[Any]) -> None:
        """Let the API server call this manager's webhooks once it sees everything."""
        await manager.wait_until_synced()
        self._is_introduced = True
        self.server.set_admission(
            InProcessAdmission(
                [
                    WebhookSet(
                        WEBHOOK_CONFIGURATION, webhooks, manager.reader, ("kube-system", self._config.namespace)
                    ),
                    WebhookSet(_LWS_CONFIGURATION, emulated_webhooks(), self._emulation.reader, ()),
                ]
            )
        )


async def attempt(cluster: SimulatedCluster, what: str, action: Any) -> bool:
    """Await what a user does, and tell it; False if it was refused."""
    try:
        await action
    except PykueueError as error:
        cluster.tell(f"user: {what}: refused: {error}")
        return False
    cluster.tell(f"user: {what}")
    return True
