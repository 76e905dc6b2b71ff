"""`Transport` over HTTP: any Kubernetes API server.

It keeps a pool of connections, limits the rate of requests (`clientConnection`), waits once when the server asks for patience
(429 with Retry-After), and asks once more with new credentials after a 401. Watches count towards the rate when opened, not
while open. Errors of the library become `TransportError`; refusals become the `ApiError` that their Status tells.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from yarl import URL

from pykueue.api.errors import TooManyRequests, TransportError, Unauthorized, error_from_status
from pykueue.client.kubeconfig import ClusterAccess
from pykueue.client.watch import WatchDecoder
from pykueue.ports.transport import ApiRequest, WatchLine

REQUEST_TIMEOUT_S = 35.0
CONNECT_TIMEOUT_S = 10.0
_RETRY_AFTER_MAX_S = 30.0
_WATCH_SILENCE_S = 400.0  # longer than the time after which we ask the server to end a watch
_encoder = msgspec.json.Encoder()


def user_agent(version: str, commit: str = "unknown") -> str:
    """`kueue/0.1.0 (linux/amd64) unknown` (spec: config.md §4)."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine() or "unknown")
    return f"kueue/{version.partition('-')[0] or 'unknown'} ({platform.system().lower() or 'unknown'}/{machine}) {commit[:7]}"


class TokenBucket:
    """At most `burst` at once, and `qps` per second on average. A rate of 0 or less is no limit."""

    def __init__(self, qps: float, burst: int) -> None:
        """A full bucket."""
        self._qps, self._burst = qps, max(1, burst)
        self._tokens = float(self._burst)
        self._at: float | None = None

    def delay_s(self, now_s: float) -> float:
        """Take a token; how long to wait before using it."""
        if self._qps <= 0:
            return 0.0
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at) * self._qps)
        self._at = now_s
        self._tokens -= 1
        return max(0.0, -self._tokens / self._qps)


class HttpTransport:
    """`ports.transport.Transport` to one cluster. Made inside a running event loop; `close` it."""

    def __init__(
        self,
        access: ClusterAccess,
        *,
        agent: str = "kueue/unknown",
        qps: float = 300,
        burst: int = 500,
        connections_max: int = 100,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Prepare a transport; the first request connects.

        Args:
            access: server, TLS and credentials.
            agent: User-Agent.
            qps: requests per second on average; 0 or less for no limit.
            burst: requests at once.
            connections_max: open connections, watches included.
            timeout_s: of a request from beginning to end; watches have none but a limit of silence.
        """
        self._access, self._agent, self._timeout_s = access, agent, timeout_s
        self._connections_max = connections_max
        self._proxy = access.proxy_url or _proxy_of_environment(access.server)
        self._bucket = TokenBucket(qps, burst)
        self._session: aiohttp.ClientSession | None = None
        self._session_certificate = access.certificate

    async def request(self, request: ApiRequest) -> Any:
        """See `Transport.request`."""
        try:
            return await self._ask(request)
        except Unauthorized:
            # The token may have expired meanwhile; ask once with a new one.
            if not await self._access.refresh():
                raise
            await self._forget_session()
            return await self._ask(request)
        except TooManyRequests as error:
            wait_s = min(float((error.details or {}).get("retryAfterSeconds") or 1), _RETRY_AFTER_MAX_S)
            await asyncio.sleep(wait_s)
            return await self._ask(request)

    async def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        """See `Transport.watch`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=_WATCH_SILENCE_S)
        decoder = WatchDecoder()
        try:
            async with await self._send(request, timeout) as response:
                if response.status >= 400:
                    if response.status == 401 and await self._access.refresh():
                        await self._forget_session()
                    raise _refusal(response, await response.read())
                async for chunk in response.content.iter_any():
                    for line in decoder.feed(chunk):
                        yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"watch of {request.path}: {_told(error)}") from error

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._forget_session()

    async def _ask(self, request: ApiRequest) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with await self._send(request, timeout) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{request.method} {request.path}: {_told(error)}") from error
        if response.status >= 400:
            raise _refusal(response, body)
        if not body or "json" not in response.content_type:
            return body.decode(errors="replace")
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise TransportError(f"{request.method} {request.path}: the answer is not JSON: {error}") from error

    async def _send(self, request: ApiRequest, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        delay_s = self._bucket.delay_s(asyncio.get_running_loop().time())
        if delay_s:
            await asyncio.sleep(delay_s)
        headers = {"Accept": "application/json", "User-Agent": self._agent, **await self._access.headers()}
        data = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            data = _encoder.encode(request.body)
        url = URL(self._access.server.rstrip("/") + request.path)
        if self._session_certificate != self._access.certificate:
            await self._forget_session()  # a credential plugin gave another client certificate
        session = self._open_session()
        return await session.request(
            request.method, url, params=dict(request.query), data=data, headers=headers, timeout=limits,
            proxy=self._proxy, allow_redirects=False,
            server_hostname=self._access.tls_server_name or None,
        )  # fmt: skip

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            context = self._access.ssl_context()
            self._session_certificate = self._access.certificate
            connector = aiohttp.TCPConnector(
                limit=self._connections_max, ssl=context if context is not None else True, keepalive_timeout=60
            )
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def _forget_session(self) -> None:
        """Drop connections, which may have been opened with credentials that are no longer good."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _proxy_of_environment(server: str) -> str | None:
    """What `HTTPS_PROXY` and `NO_PROXY` say. Asked once: aiohttp would ask for each request, in a thread."""
    url = URL(server)
    if not url.host or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


def _refusal(response: aiohttp.ClientResponse, body: bytes) -> Exception:
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        text = body.decode(errors="replace").strip()
        status = {"message": text[:500] or f"HTTP {response.status} {response.reason}"}
    error = error_from_status(response.status, status)
    after = response.headers.get("Retry-After", "")
    if isinstance(error, TooManyRequests) and after.isdigit():
        error.details = {**(error.details or {}), "retryAfterSeconds": int(after)}
    return error


def _told(error: BaseException) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
