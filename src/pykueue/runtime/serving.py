"""Probes and metrics over HTTP.

`/healthz` answers while the process turns; `/readyz` when every check passes, else with the name and words of those that do not;
`/metrics` with the manager's series, to whom `scrape_auth.py` lets through. Addresses are read as Go's: `:8081` means all interfaces, which is right in a pod; outside of
a cluster it means loopback here, so that a laptop does not serve its network. `0` or nothing switches a server off.
Source: config.md §7.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pykueue.api.errors import AddressError, ConfigError

Check = Callable[[], str]
"""Empty if all is well, else what is not, in a person's words."""


def parse_address(address: str, *, in_cluster: bool) -> tuple[str, int] | None:
    """Host and port of a bind address; None if it switches the server off.

    Raises:
        ConfigError: not an address.
    """
    if address in ("", "0"):
        return None
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(address, ["not a bind address: host:port, :port or 0 is expected"])
    return host.strip("[]") or ("0.0.0.0" if in_cluster else "127.0.0.1"), int(port)  # noqa: S104 - asked for, in a pod


def probes(checks: Mapping[str, Check], *, liveness: str = "healthz", readiness: str = "readyz") -> web.Application:
    """The application that answers probes.

    Args:
        checks: by name, what must be well before traffic may come.
        liveness: path, without slash.
        readiness: path, without slash.
    """

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def ready(_: web.Request) -> web.Response:
        told = {name: check() for name, check in checks.items()}
        if not any(told.values()):
            return web.Response(text="ok")
        lines = [f"[-]{name} failed: {fault}" if fault else f"[+]{name} ok" for name, fault in told.items()]
        return web.Response(status=500, text="\n".join([*lines, f"{readiness} check failed\n"]))

    app = web.Application()
    app.router.add_get(f"/{liveness}", alive)
    app.router.add_get(f"/{readiness}", ready)
    return app


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def metrics(registry: CollectorRegistry, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The application that answers scrapes.

    Args:
        registry: what is shown.
        middlewares: put before it, such as `ScrapeAuthorizer.middleware`.
    """

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=middlewares)
    app.router.add_get("/metrics", scrape)
    return app


class Server:
    """One application on one address."""

    def __init__(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Prepare; `start` opens the socket. Port 0 is any free one."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        self._host, self._port, self._tls = host, port, tls
        self._site: web.TCPSite | None = None
        self.port = 0
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen.

        Raises:
            AddressError: the address is not to be had.
        """
        await self._runner.setup()
        try:
            await self._open(self._port)
        except AddressError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def reopen(self, tls: ssl.SSLContext) -> None:
        """Listen with another context from now on; connections that are open stay.

        Raises:
            AddressError: somebody else took the address meanwhile.
        """
        assert self._site is not None
        await self._site.stop()
        self._tls = tls
        await self._open(self.port)

    async def _open(self, port: int) -> None:
        self._site = web.TCPSite(self._runner, self._host, port, ssl_context=self._tls)
        try:
            await self._site.start()
        except OSError as error:
            raise AddressError(f"{self._host}:{port}", [f"cannot listen: {error.strerror}"]) from error

    async def stop(self) -> None:
        """Close the socket."""
        await self._runner.cleanup()
