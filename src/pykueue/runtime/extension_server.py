"""The server that the API server passes requests on to: TLS, who asks, whether he may, in this order.

Who asks is told by the front proxy (`front_proxy.py`), else by a bearer token, else he is anonymous. Whether he may, the API server says (`reviews.py`).
Probes are for everybody. Refusals are Status objects, in Kubernetes' words. What is served, the application behind knows.

Connections present the proxy's certificate to TLS, which therefore must know its authority; when that changes, the socket is opened anew with the new
one. Connections that are open stay.

Source: observability.md §3; Kubernetes documentation, "Kubernetes API Aggregation Layer".
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pykueue.api.errors import ApiError, Forbidden, InternalError, PykueueError, TooManyRequests, Unauthorized
from pykueue.api.pem import ascii_pem
from pykueue.runtime.front_proxy import FrontProxySource
from pykueue.runtime.reviews import ANONYMOUS, Access, Identity, Reviews, bearer_token
from pykueue.runtime.serving import Server

_OPEN_PATHS = frozenset(("/healthz", "/livez", "/readyz"))
_MASTERS = "system:masters"
_log = logging.getLogger(__name__)
AccessOf = Callable[[str, str], Access]
"""What a method and a path ask for."""


class ExtensionAuth:
    """Lets through who may ask."""

    def __init__(self, reviews: Reviews, source: FrontProxySource, access_of: AccessOf) -> None:
        """Judge by these."""
        self._reviews, self._source, self._access_of = reviews, source, access_of

    @property
    def middleware(self) -> Middleware:
        """To be put before an application."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in _OPEN_PATHS:
                try:
                    await self.judge(request)
                except ApiError as error:
                    body = msgspec.json.encode(error.to_status())
                    return web.Response(status=error.code, body=body, content_type="application/json")
            return await handler(request)

        return check

    async def judge(self, request: web.Request) -> None:
        """Whether a request may pass.

        Raises:
            Unauthorized: nobody knows who asks.
            Forbidden: he may not.
            TooManyRequests: many others ask at this moment.
            InternalError: the API server could not be asked.
        """
        access = self._access_of(request.method, request.path)
        try:
            identity = await self._identity(request)
            # As in all of Kubernetes' extension servers: the API server itself, and administrators of last resort, need no rule.
            is_allowed = _MASTERS in identity.groups or await self._reviews.allows(identity, access)
        except (Unauthorized, TooManyRequests):
            raise
        except PykueueError as error:
            raise _not_asked(request, error) from error
        if not is_allowed:
            raise _forbidden(identity, access)

    async def _identity(self, request: web.Request) -> Identity:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        proxy = self._source.proxy
        told = proxy.identity(request.headers.items(), certificate) if proxy is not None else None
        if told is not None:
            return told
        token = bearer_token(request.headers.get("Authorization", ""))
        if not token:
            return ANONYMOUS
        identity = await self._reviews.identify(token)
        if identity is None:
            raise Unauthorized("Unauthorized")
        return identity.authenticated()


class ExtensionServer:
    """One application behind TLS that knows the front proxy's authority."""

    def __init__(
        self,
        app: web.Application,
        address: tuple[str, int],
        context: Callable[[], ssl.SSLContext],
        source: FrontProxySource,
    ) -> None:
        """Prepare; `start` opens the socket.

        Args:
            app: with `ExtensionAuth.middleware` before it.
            address: host and port; port 0 is any free one.
            context: makes a context with the serving certificate.
            source: of the authority.
        """
        self._app, self._address = app, address
        self._context, self._source = context, source
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._server.port if self._server is not None else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            AddressError: the address is not to be had.
            ConfigError: the serving certificate cannot be used.
        """
        await self._source.look()
        server = Server(self._app, *self._address, self._tls())
        await server.start()
        self._server = server

    async def watch(self) -> None:
        """Follow the proxy's authority, for ever."""
        await self._source.watch(self._reopen)

    async def stop(self) -> None:
        """Close the socket."""
        if self._server is not None:
            await self._server.stop()

    async def _reopen(self) -> bool:
        """Serve with the authority as it is now; False if that cannot be done yet."""
        assert self._server is not None
        try:
            await self._server.reopen(self._tls())
        except PykueueError as error:
            _log.warning("requests that the API server passes on cannot be served, it is tried again: %s", error)
            return False
        return True

    def _tls(self) -> ssl.SSLContext:
        context, proxy = self._context(), self._source.proxy
        if proxy is None:
            return context
        try:
            context.load_verify_locations(cadata=ascii_pem(proxy.authority.encode()))
        except ssl.SSLError as error:
            _log.warning("the authority of the API server's front proxy cannot be used: %s", error)
            return context
        context.verify_mode = ssl.CERT_OPTIONAL
        # Authorities of clusters are often older than the strict rules; Kubernetes does not ask for them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def _not_asked(request: web.Request, error: PykueueError) -> InternalError:
    _log.warning("a request for %s could not be authorized: %s", request.path, error)
    return InternalError("Internal error occurred: the API server could not be asked who may do this")


def _forbidden(identity: Identity, access: Access) -> Forbidden:
    """In Kubernetes' words."""
    if access.path:
        return Forbidden(f'forbidden: User "{identity.name}" cannot {access.verb} path "{access.path}"', details={})
    resource = "/".join(part for part in (access.resource, access.subresource) if part)
    scope = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    why = f'User "{identity.name}" cannot {access.verb} resource "{resource}" in API group "{access.group}" {scope}'
    details = {"name": access.name, "group": access.group, "kind": access.resource}
    return Forbidden(f'{access.resource}.{access.group} "{access.name}" is forbidden: {why}', details=details)
