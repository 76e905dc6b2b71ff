"""Addresses, probes and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from pykueue.api.errors import ConfigError
from pykueue.runtime.serving import Server, is_loopback, metrics, parse_address, probes


@pytest.mark.parametrize(
    ("address", "in_cluster", "want"),
    [
        (":8081", True, ("0.0.0.0", 8081)),
        (":8081", False, ("127.0.0.1", 8081)),
        ("10.1.2.3:80", False, ("10.1.2.3", 80)),
        ("[::1]:8443", False, ("::1", 8443)),
        ("0", True, None),
        ("", True, None),
    ],
    ids=["all interfaces in a pod", "loopback outside", "an address", "IPv6", "off", "off by nothing"],
)
def test_addresses_are_read_as_gos(address: str, in_cluster: bool, want: tuple[str, int] | None) -> None:
    """An address without host means what is right where the manager runs."""
    assert parse_address(address, in_cluster=in_cluster) == want


@pytest.mark.parametrize("address", ["8081", "host:", "host:http", ":70000"])
def test_what_is_no_address_is_told(address: str) -> None:
    """The error names the address and the forms that are good."""
    with pytest.raises(ConfigError, match=r"host:port, :port or 0 is expected") as caught:
        parse_address(address, in_cluster=False)
    assert address in str(caught.value)


@pytest.mark.parametrize(
    ("host", "want"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("me", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, want: bool) -> None:
    """Addresses by their network, names only if they are `localhost`."""
    assert is_loopback(host) is want


def served(app: web.Application, story: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(app, "127.0.0.1", 0)
        await server.start()
        async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{server.port}") as session:
            await story(session)
        await server.stop()

    asyncio.run(main())


def test_readiness_names_what_is_not_ready() -> None:
    """500 with a line for each check while one fails, 200 afterwards; liveness does not ask."""
    faults = {"webhooks": "not yet"}

    async def story(session: aiohttp.ClientSession) -> None:
        async def ask(path: str) -> tuple[int, str]:
            async with session.get(path) as answer:
                return answer.status, await answer.text()

        assert await ask("/alive") == (200, "ok")
        status, told = await ask("/ready")
        assert status == 500
        assert told.splitlines() == ["[-]webhooks failed: not yet", "[+]certificates ok", "ready check failed"]
        faults.clear()
        assert await ask("/ready") == (200, "ok")

    checks = {"webhooks": lambda: faults.get("webhooks", ""), "certificates": lambda: ""}
    served(probes(checks, liveness="alive", readiness="ready"), story)


def test_metrics_are_served_behind_what_is_put_before_them() -> None:
    """The text format, if the middleware lets through."""
    registry = CollectorRegistry()
    Counter("seen", "Things seen", registry=registry).inc(3)

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        return await handler(request)  # type: ignore[no-any-return]

    async def story(session: aiohttp.ClientSession) -> None:
        async with session.get("/metrics") as answer:
            assert answer.status == 401
        async with session.get("/metrics", headers={"Authorization": "x"}) as answer:
            assert "seen_total 3.0" in await answer.text()
            assert answer.headers["Content-Type"].startswith("text/plain")

    served(metrics(registry, (guard,)), story)


def test_a_port_that_is_taken_is_told() -> None:
    """The manager does not start half: the address is named."""

    async def main() -> None:
        first = Server(web.Application(), "127.0.0.1", 0)
        await first.start()
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{first.port}.*cannot listen"):
            await Server(web.Application(), "127.0.0.1", first.port).start()
        await first.stop()

    asyncio.run(main())
