"""The API server on the wire: aiohttp in front of the request core. Thin on purpose.

It authenticates (bearer token or client certificate), reads bodies up to their limit, encodes answers, and streams watches.
JSON is the only encoding: clients that offer protobuf as well get JSON. A change is encoded once for all watchers that see
it in the same form; the bytes are kept with the change.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from pykueue.api.errors import ApiError, RequestEntityTooLarge, Unauthorized
from pykueue.apiserver.bodies import MAX_BODY_BYTES
from pykueue.apiserver.extension import ExtensionApi, refusal
from pykueue.apiserver.handler import ApiHandler
from pykueue.apiserver.messages import ADMIN_USER, HttpRequest, Response, User
from pykueue.apiserver.watching import WatchEvent, WatchStream

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_OPEN_PATHS = frozenset(("/healthz", "/livez", "/readyz", "/version"))
_SHUTDOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Who may come in: holders of the token, and of certificates that our authority signed."""

    token: str

    def user(self, authorization: str, certificate: dict[str, Any] | None) -> User:
        """The user behind a request.

        Raises:
            Unauthorized: none, or a wrong token.
        """
        if authorization:
            scheme, _, value = authorization.partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(value.strip().encode(), self.token.encode()):
                return User(ADMIN_USER)
            raise Unauthorized("Unauthorized")
        if certificate:
            subject = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
            names = [value for key, value in subject if key == "commonName"]
            groups = [value for key, value in subject if key == "organizationName"]
            if names:
                return User(names[0], (*groups, "system:authenticated"))
        raise Unauthorized("Unauthorized")


class HttpServer:
    """Serves a handler on one address."""

    def __init__(
        self, handler: ApiHandler, authenticator: Authenticator, host: str, port: int, tls: ssl.SSLContext | None
    ) -> None:
        """Prepare a server; `start` opens the socket.

        Args:
            handler: the request core.
            authenticator: who may come in.
            host: address to listen on.
            port: 0 for any free one.
            tls: None serves plain HTTP, for tests.
        """
        self._handler = handler
        self._authenticator = authenticator
        self._address = (host, port)
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self.url = ""
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is not to be had.
        """
        app = web.Application(client_max_size=MAX_BODY_BYTES + 1)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True)
        await self._runner.setup()
        host, port = self._address
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls, backlog=1024)
        await site.start()
        assert site._server is not None
        bound = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if self._tls else 'http'}://{shown}:{bound}"

    async def stop(self) -> None:
        """End all watches, finish answers that are under way, and close the socket."""
        for stream in tuple(self._streams):
            stream.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, raw: web.Request) -> web.StreamResponse:
        try:
            request = await self._read(raw)
        except ApiError as error:
            return _send(refusal(error))
        answer = await self._handler.handle(request)
        if isinstance(answer, Response):
            return _send(answer)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            return await _stream(raw, answer, request)
        finally:
            self._streams.discard(task)

    async def _read(self, raw: web.Request) -> HttpRequest:
        """The request as the core sees it.

        Raises:
            Unauthorized: nobody we know.
            RequestEntityTooLarge: the body is too large.
        """
        user = User("system:anonymous", ("system:unauthenticated",))
        if raw.path not in _OPEN_PATHS:
            certificate = raw.transport.get_extra_info("peercert") if raw.transport else None
            user = self._authenticator.user(raw.headers.get("Authorization", ""), certificate)
        body = None
        if raw.can_read_body:
            try:
                body = await raw.read()
            except web.HTTPRequestEntityTooLarge as error:
                raise RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY_BYTES} bytes") from error
        return _request(raw, user, body or None)


def extension_application(api: ExtensionApi, middlewares: Sequence[Middleware]) -> web.Application:
    """The application that answers for an extension API server.

    Args:
        api: what is served.
        middlewares: put before it: they let through who may ask.
    """

    async def serve(raw: web.Request) -> web.Response:
        return _send(api.handle(_request(raw, User(), None)))

    app = web.Application(middlewares=middlewares)
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def _request(raw: web.Request, user: User, body: bytes | None) -> HttpRequest:
    return HttpRequest(
        method=raw.method,
        path=raw.path,
        query=_first_of_each(raw.query.items()),
        body=body,
        content_type=raw.content_type if raw.headers.get("Content-Type") else "application/json",
        accept=raw.headers.get("Accept", "application/json"),
        user_agent=raw.headers.get("User-Agent", ""),
        user=user,
    )


def _first_of_each(pairs: Any) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    return first


def _send(answer: Response) -> web.Response:
    body = answer.body
    content = (
        body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _encoder.encode(body) + b"\n"
    )
    response = web.Response(status=answer.status, body=content)
    response.headers["Content-Type"] = answer.content_type
    response.headers["Cache-Control"] = "no-cache, private"
    for name, value in answer.headers.items():
        response.headers[name] = value
    for warning in answer.warnings:
        response.headers.add("Warning", f'299 - "{_quoted(warning)}"')
    return response


def _quoted(text: str) -> str:
    """Text inside of a quoted-string of a header."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


async def _stream(raw: web.Request, stream: WatchStream, request: HttpRequest) -> web.StreamResponse:
    response = web.StreamResponse(status=200)
    response.headers["Content-Type"] = "application/json"
    response.headers["Cache-Control"] = "no-cache, private"
    response.enable_chunked_encoding()
    await response.prepare(raw)
    encode = encoder_for(stream)
    batches = stream.batches()
    try:
        async for batch in batches:
            await response.write(b"".join([encode(event) for event in batch]))
        await response.write_eof()
    except ConnectionError:
        _log.debug("watch of %s: the client went away", request.path)
    finally:
        await batches.aclose()
    return response


def encoder_for(stream: WatchStream) -> Callable[[WatchEvent], bytes]:
    """How to write an event as a line; encoded changes are kept for the next watcher."""
    version, transform = stream.resource.kind, stream.transform
    if transform is not None:
        return lambda event: _encode_event(transform(event))

    def encode(event: WatchEvent) -> bytes:
        if event.source is None:
            return _encode_event(event)
        form = ("line", event.type, version)
        line: bytes | None = event.source.encoded.get(form)
        if line is None:
            line = event.source.encoded[form] = _encode_event(event)
        return line

    return encode


def _encode_event(event: WatchEvent) -> bytes:
    """One line of a watch."""
    return _encoder.encode({"type": event.type, "object": event.object}) + b"\n"
