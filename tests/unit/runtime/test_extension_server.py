"""Requests that the API server passes on, over TLS: who asks, whether he may, and authorities that change."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from pykueue import pki
from pykueue.api.errors import ConfigError, TransportError
from pykueue.cli.visibility import access_of
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.certificates import make_pair
from pykueue.runtime.clock import ManualClock, SystemClock
from pykueue.runtime.extension_server import ExtensionAuth, ExtensionServer
from pykueue.runtime.front_proxy import CONFIG_MAP_PATH, LOOK_INTERVAL_US, FrontProxySource
from pykueue.runtime.reviews import Reviews

OF_CQ = "/apis/visibility.kueue.x-k8s.io/v1beta2/clusterqueues/cq/pendingworkloads"
OF_LQ = "/apis/visibility.kueue.x-k8s.io/v1beta2/namespaces/ns/localqueues/lq/pendingworkloads"


class Authority:
    """Signs certificates of clients."""

    def __init__(self) -> None:
        self.key = pki.new_key()
        self.cert = pki.authority(_name("front-proxy-ca"), self.key, dt.datetime.now(dt.UTC), dt.timedelta(days=1))

    @property
    def pem(self) -> str:
        return pki.certificate_pem(self.cert).decode()

    def client(self, folder: Path, name: str) -> ssl.SSLContext:
        """TLS of a client with a certificate of this name."""
        key, now = pki.new_key(), dt.datetime.now(dt.UTC)
        cert = pki.certificate(_name(name), key, (self.cert, self.key), now, dt.timedelta(days=1))
        file = folder / f"{name}-{id(self)}.pem"
        file.write_bytes(pki.certificate_pem(cert) + pki.key_pem(key))
        context = trusting()
        context.load_cert_chain(file)
        return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def trusting() -> ssl.SSLContext:
    """A client that verifies nobody, as the API server does."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Cluster:
    """Tells of its front proxy, knows the token `good` of Ann, and lets Ann read ClusterQueues."""

    def __init__(self, authority: str) -> None:
        self.authority = authority
        self.is_away = self.has_no_certificate = False

    async def request(self, request: ApiRequest) -> Any:
        if request.path == CONFIG_MAP_PATH:
            headers = {
                "requestheader-username-headers": '["X-Remote-User"]',
                "requestheader-group-headers": '["X-Remote-Group"]',
            }
            names = {"requestheader-allowed-names": '["proxy"]', "requestheader-client-ca-file": self.authority}
            return {"data": headers | names}
        if self.is_away:
            raise TransportError("no route")
        spec = request.body["spec"]
        if "token" in spec:
            is_known = spec["token"] == "good"
            return {"status": {"authenticated": is_known, **({"user": {"username": "ann"}} if is_known else {})}}
        attributes = spec.get("resourceAttributes") or {}
        return {"status": {"allowed": spec["user"] == "ann" and attributes.get("resource") == "clusterqueues"}}


Ask = Callable[..., Awaitable[tuple[int, str]]]


def play(cluster: Cluster, story: Callable[[Ask, ManualClock], Awaitable[None]]) -> None:
    """Serve an application that says `served`, and let a client ask it."""

    async def main() -> None:
        clock, now = ManualClock(), SystemClock().now()
        source = FrontProxySource(cluster, clock)  # type: ignore[arg-type]
        auth = ExtensionAuth(Reviews(cluster, clock), source, access_of)  # type: ignore[arg-type]

        async def served(_: web.Request) -> web.Response:
            return web.Response(text="served")

        app = web.Application(middlewares=[auth.middleware])
        app.router.add_route("*", "/{path:.*}", served)
        pair = make_pair(("localhost",), now)

        def context() -> ssl.SSLContext:
            if cluster.has_no_certificate:
                raise ConfigError("/visibility", ["half of it was renewed"])
            return pair.server_context()

        server = ExtensionServer(app, ("127.0.0.1", 0), context, source)
        await server.start()
        watching = asyncio.create_task(server.watch())

        async def ask(path: str, tls: ssl.SSLContext | None = None, **headers: str) -> tuple[int, str]:
            url = f"https://127.0.0.1:{server.port}{path}"
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, ssl=tls or trusting(), headers=named) as answer,
            ):
                if answer.status == 200:
                    return 200, await answer.text()
                told = await answer.json()
                return answer.status, f"{told['kind']} {told['reason']}: {told['message']}"

        try:
            await story(ask, clock)
        finally:
            watching.cancel()
            await server.stop()

    asyncio.run(main())


def test_who_is_asked_for(tmp_path: Path) -> None:
    """The proxy speaks for others; who may not, is told in Kubernetes' words; its administrators need no rule."""
    authority = Authority()
    proxy = authority.client(tmp_path, "proxy")

    async def story(ask: Ask, _: ManualClock) -> None:
        assert await ask(OF_CQ, proxy, X_Remote_User="ann") == (200, "served")
        assert await ask(OF_LQ, proxy, X_Remote_User="ann") == (
            403,
            (
                'Status Forbidden: localqueues.visibility.kueue.x-k8s.io "lq" is forbidden: User "ann" cannot get resource '
                '"localqueues/pendingworkloads" in API group "visibility.kueue.x-k8s.io" in the namespace "ns"'
            ),
        )
        assert await ask("/version", proxy, X_Remote_User="bob") == (
            403, 'Status Forbidden: forbidden: User "bob" cannot get path "/version"',
        )  # fmt: skip
        assert await ask(OF_LQ, proxy, X_Remote_User="root", X_Remote_Group="system:masters") == (200, "served")

    play(Cluster(authority.pem), story)


def test_who_is_not_the_proxy_speaks_for_himself(tmp_path: Path) -> None:
    """Headers count for nothing without its certificate, and one of another name or authority is no certificate."""
    authority, stranger = Authority(), Authority()
    claims = {"X_Remote_User": "root", "X_Remote_Group": "system:masters"}

    async def story(ask: Ask, _: ManualClock) -> None:
        refused = (
            'Status Forbidden: clusterqueues.visibility.kueue.x-k8s.io "cq" is forbidden: User "system:anonymous" cannot '
            'get resource "clusterqueues/pendingworkloads" in API group "visibility.kueue.x-k8s.io" at the cluster scope'
        )
        assert await ask(OF_CQ, **claims) == (403, refused)
        assert await ask(OF_CQ, authority.client(tmp_path, "other"), **claims) == (
            401,
            "Status Unauthorized: Unauthorized",
        )
        with pytest.raises(aiohttp.ClientError):
            await ask(OF_CQ, stranger.client(tmp_path, "proxy"), **claims)
        assert await ask(OF_CQ, Authorization="Bearer good") == (200, "served")
        assert await ask(OF_CQ, Authorization="Bearer bad") == (401, "Status Unauthorized: Unauthorized")
        assert await ask("/readyz") == (200, "served")

    play(Cluster(authority.pem), story)


def test_while_the_api_server_is_away_nobody_passes() -> None:
    """But probes."""
    cluster = Cluster(Authority().pem)

    async def story(ask: Ask, _: ManualClock) -> None:
        cluster.is_away = True
        status, told = await ask(OF_CQ, Authorization="Bearer good")
        assert (status, told.partition(":")[0]) == (500, "Status InternalError")
        assert await ask("/healthz") == (200, "served")

    play(cluster, story)


def test_a_new_authority_is_trusted_and_the_old_one_is_not(tmp_path: Path) -> None:
    """Within a minute, on the same port."""
    old, new = Authority(), Authority()
    cluster = Cluster(old.pem)

    async def story(ask: Ask, clock: ManualClock) -> None:
        of_old, of_new = old.client(tmp_path, "proxy"), new.client(tmp_path, "proxy")
        assert await ask(OF_CQ, of_old, X_Remote_User="ann") == (200, "served")
        cluster.authority = new.pem
        await clock.advance(LOOK_INTERVAL_US)
        assert await ask(OF_CQ, of_new, X_Remote_User="ann") == (200, "served")
        with pytest.raises(aiohttp.ClientError):
            await ask(OF_CQ, of_old, X_Remote_User="ann")

    play(cluster, story)


def test_a_new_authority_is_tried_again_until_it_is_served(tmp_path: Path) -> None:
    """The serving certificate was not to be had at the moment of the change: a minute later it is."""
    old, new = Authority(), Authority()
    cluster = Cluster(old.pem)

    async def story(ask: Ask, clock: ManualClock) -> None:
        of_new = new.client(tmp_path, "proxy")
        cluster.authority, cluster.has_no_certificate = new.pem, True
        await clock.advance(LOOK_INTERVAL_US)
        with pytest.raises(aiohttp.ClientError):
            await ask(OF_CQ, of_new, X_Remote_User="ann")
        cluster.has_no_certificate = False
        await clock.advance(LOOK_INTERVAL_US)
        assert await ask(OF_CQ, of_new, X_Remote_User="ann") == (200, "served")

    play(cluster, story)


def test_an_authority_may_be_commented_in_any_language(tmp_path: Path) -> None:
    """What stands beside the certificates is for people."""
    authority = Authority()

    async def story(ask: Ask, _: ManualClock) -> None:
        assert await ask(OF_CQ, authority.client(tmp_path, "proxy"), X_Remote_User="ann") == (200, "served")

    play(Cluster(f"# Société Générale\n{authority.pem}"), story)


def test_an_authority_that_is_none_leaves_tokens() -> None:
    """What the ConfigMap says cannot be used: the server is there, and nobody is taken for the proxy."""

    async def story(ask: Ask, _: ManualClock) -> None:
        assert await ask(OF_CQ, Authorization="Bearer good") == (200, "served")
        assert (await ask(OF_CQ, X_Remote_User="ann"))[0] == 403

    play(Cluster("not a certificate"), story)
