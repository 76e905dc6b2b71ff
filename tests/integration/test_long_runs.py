"""What a manager meets that runs for months: a connection that was gone for long, and certificates that are renewed while they are served."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import CONFIG_MAP, NAMESPACE, VALIDATING_WEBHOOKS
from pykueue.api.objects import ObjectKey, get_path, key
from pykueue.apiserver.server import EmbeddedApiServer
from pykueue.cli.webhook_manifests import webhook_configurations
from pykueue.client.http import HttpTransport
from pykueue.client.kubeconfig import load_access
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.certificates import CHECK_INTERVAL_US, CertificateRotator
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.manager import Manager
from pykueue.runtime.serving import Server
from pykueue.runtime.webhook_server import webhook_application

WAIT_S_MAX = 20.0
DAY_US = 86_400 * SECOND_US


async def until(test: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not test():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.01)


class Line:
    """A TCP connection to a server that can be cut, and mended again."""

    def __init__(self, host: str, port: int) -> None:
        self._target, self._is_cut = (host, port), False
        self._streams: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """The port to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        self._is_cut = True
        for stream in self._streams:
            stream.transport.abort()

    def mend(self) -> None:
        self._is_cut = False

    async def close(self) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        if self._is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._target)
        ends = {writer, back}
        self._streams |= ends
        await asyncio.wait(
            [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._streams -= ends
        for end in ends:
            end.transport.abort()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass bytes on until one end breaks."""
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        return


class Onlooker:
    """A reconciler that wants ConfigMaps in the cache, and does nothing."""

    name = "onlooker"

    def watches(self) -> Sequence[Watch]:
        def same(event: ObjectEvent, _reader: Reader) -> Iterable[ObjectKey]:
            return (key(event.new),)

        return (Watch(CONFIG_MAP, same),)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        del reader, key, now
        return DONE


class Remote:
    """A server whose memory of changes is short, and a manager that reaches it over a line."""

    RING = 8

    def __init__(self, server: EmbeddedApiServer, line: Line, manager: Manager) -> None:
        self.line, self.manager = line, manager
        self._ask = server.transport(user_agent="kubectl")

    async def create(self, *names: str) -> None:
        for name in names:
            await self._ask.request(ApiRequest("POST", CONFIG_MAP.path("default"), body={"metadata": {"name": name}}))

    async def delete(self, name: str) -> None:
        await self._ask.request(ApiRequest("DELETE", CONFIG_MAP.path("default", name)))

    def seen(self) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.manager.reader.list(CONFIG_MAP, "default")]

    def n_lists(self) -> float | None:
        return self.manager.metrics.registry.get_sample_value("pykueue_relists_total", {"kind": "ConfigMap"})


def play(folder: Path, story: Callable[[Remote], Awaitable[None]]) -> None:
    """Tell a story of a manager at the other end of a line."""

    async def main() -> None:
        server = EmbeddedApiServer()
        resource = server.registry.for_kind(CONFIG_MAP)
        assert resource is not None
        server.store.storage(resource.storage_name)._ring_events = Remote.RING
        config = await server.listen()
        port = int(server.url.rpartition(":")[2])
        line = Line("127.0.0.1", port)
        (folder / "kubeconfig").write_text(config.replace(server.url, f"https://127.0.0.1:{await line.open()}"))
        transport = HttpTransport(load_access(folder / "kubeconfig"), qps=10_000, burst=10_000)
        manager = Manager(transport, [Onlooker()])
        running = asyncio.create_task(manager.run())
        try:
            await manager.wait_until_synced()
            await story(Remote(server, line, manager))
        finally:
            manager.stop()
            await running
            await transport.close()
            await line.close()
            await server.close()

    asyncio.run(main())


def test_a_watch_that_was_cut_for_long_is_listed_anew(tmp_path: Path) -> None:
    """Its version is too old (410): what came meanwhile is there, and what went, whose deletion nobody tells any more, is gone."""

    async def story(remote: Remote) -> None:
        await remote.create("goes", "stays")
        await until(lambda: {"goes", "stays"} <= set(remote.seen()))
        remote.line.cut()
        await remote.delete("goes")
        names = [f"new{number}" for number in range(4 * Remote.RING)]
        await remote.create(*names)
        n_lists = remote.n_lists()
        remote.line.mend()
        await until(lambda: "goes" not in remote.seen())
        assert {"stays", *names} <= set(remote.seen())
        assert remote.n_lists() == (n_lists or 0) + 1
        await remote.create("later")
        await until(lambda: "later" in remote.seen())
        assert remote.n_lists() == (n_lists or 0) + 1

    play(tmp_path, story)


def test_a_watch_that_was_cut_for_a_moment_is_resumed(tmp_path: Path) -> None:
    """The server still remembers what came meanwhile: it is told, and nothing is listed."""

    async def story(remote: Remote) -> None:
        await remote.create("goes")
        await until(lambda: "goes" in remote.seen())
        n_lists = remote.n_lists()
        remote.line.cut()
        await remote.delete("goes")
        await remote.create("comes")
        remote.line.mend()
        await until(lambda: "comes" in remote.seen())
        assert "goes" not in remote.seen()
        assert remote.n_lists() == n_lists

    play(tmp_path, story)


def test_certificates_are_renewed_while_they_are_served() -> None:
    """The API server is told of the new authority, new connections meet the new certificate, and open ones go on."""

    async def main() -> None:
        server = EmbeddedApiServer()
        transport = server.transport(user_agent="kueue")
        for kind, body in ((NAMESPACE, {"metadata": {"name": "kueue-system"}}), *_configurations()):
            await transport.request(ApiRequest("POST", kind.path(), body=body))
        now = Instant(time.time_ns() // 1000)
        first = _rotator(transport, ManualClock(Instant(now - 276 * DAY_US)))
        await first.ensure()
        clock = ManualClock(Instant(now - 2 * DAY_US))
        rotator = _rotator(transport, clock)
        assert (await rotator.ensure()) == first.pair
        webhooks = Server(webhook_application(()), "127.0.0.1", 0, rotator.context)
        await webhooks.start()
        old = await _trust(transport)
        async with _session(webhooks) as open_before, _session(webhooks) as new_connections:
            await _ask(open_before, old)
            rotation = asyncio.create_task(rotator.run())
            await clock.advance(2 * DAY_US + CHECK_INTERVAL_US)
            await until(lambda: rotator.pair != first.pair)
            await clock.advance()
            new = await _trust(transport)
            await _ask(new_connections, new)
            await _ask(open_before, old)
            async with _session(webhooks) as late:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await _ask(late, old)
            rotation.cancel()
        await webhooks.stop()
        await server.close()

    asyncio.run(main())


def _configurations() -> list[tuple[Any, Any]]:
    return [
        (VALIDATING_WEBHOOKS, c)
        for c in webhook_configurations("kueue-system")
        if c["kind"] == VALIDATING_WEBHOOKS.kind
    ]


def _rotator(transport: Transport, clock: ManualClock) -> CertificateRotator:
    return CertificateRotator(
        transport, clock, namespace="kueue-system", secret="kueue-webhook-server-cert",
        service="kueue-webhook-service", names=("127.0.0.1",),
    )  # fmt: skip


async def _trust(transport: Transport) -> ssl.SSLContext:
    """A client as the API server is one: it trusts the authority that the webhook configuration names."""
    (configuration,) = (await transport.request(ApiRequest("GET", VALIDATING_WEBHOOKS.path())))["items"]
    (bundle,) = {get_path(webhook, "clientConfig", "caBundle") for webhook in configuration["webhooks"]}
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())


def _session(server: Server) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(base_url=f"https://127.0.0.1:{server.port}")


async def _ask(session: aiohttp.ClientSession, trust: ssl.SSLContext) -> None:
    """A request that the server answers, if only by saying that there is no such page."""
    async with session.get("/", ssl=trust) as answer:
        assert answer.status == 404
