"""The HTTP transport against a server of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from pykueue.api.errors import Conflict, Expired, NotFound, TransportError
from pykueue.client.http import HttpTransport, TokenBucket, user_agent
from pykueue.client.kubeconfig import ClusterAccess
from pykueue.ports.transport import ApiRequest


def run(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], story: Callable[[HttpTransport], Awaitable[None]]
) -> None:
    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        transport = HttpTransport(
            ClusterAccess(f"http://127.0.0.1:{runner.addresses[0][1]}", token="t"), agent="a/1", timeout_s=5
        )
        try:
            await story(transport)
        finally:
            await transport.close()
            await runner.cleanup()

    asyncio.run(main())


def test_a_request_carries_what_it_should() -> None:
    """Method, path, query, body, content type, credentials and agent."""
    seen: list[object] = []

    async def handler(raw: web.Request) -> web.Response:
        seen.extend((raw.method, raw.path, dict(raw.query), await raw.json(), raw.content_type))
        seen.extend((raw.headers["Authorization"], raw.headers["User-Agent"]))
        return web.json_response({"kind": "X"})

    async def story(transport: HttpTransport) -> None:
        request = ApiRequest("PATCH", "/api/v1/x", {"labelSelector": "a=b,c"}, {"d": 1}, "application/merge-patch+json")
        assert await transport.request(request) == {"kind": "X"}
        assert seen == [
            "PATCH",
            "/api/v1/x",
            {"labelSelector": "a=b,c"},
            {"d": 1},
            "application/merge-patch+json",
            "Bearer t",
            "a/1",
        ]

    run(handler, story)


def test_refusals_become_their_errors() -> None:
    """A Status tells its reason; plain text is told as it is."""

    async def handler(raw: web.Request) -> web.Response:
        if raw.path == "/conflict":
            return web.json_response({"kind": "Status", "reason": "Conflict", "message": "m", "code": 409}, status=409)
        return web.Response(status=404, text="404 page not found")

    async def story(transport: HttpTransport) -> None:
        with pytest.raises(Conflict, match="m"):
            await transport.request(ApiRequest("GET", "/conflict"))
        with pytest.raises(NotFound, match="404 page not found"):
            await transport.request(ApiRequest("GET", "/none"))

    run(handler, story)


def test_patience_is_asked_for_once() -> None:
    """429 with Retry-After is waited for and asked again."""
    answers = [web.Response(status=429, headers={"Retry-After": "0"}), web.json_response({"ok": True})]

    async def handler(raw: web.Request) -> web.Response:
        return answers.pop(0)

    async def story(transport: HttpTransport) -> None:
        assert await transport.request(ApiRequest("GET", "/x")) == {"ok": True}

    run(handler, story)


def test_a_watch_streams_and_ends_with_its_error() -> None:
    """Lines come as they are sent; an ERROR line is raised."""

    async def handler(raw: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(raw)
        await response.write(b'{"type":"ADDED","object":{"a":1}}\n{"type":"ERR')
        await response.write(b'OR","object":{"code":410,"reason":"Expired","message":"old"}}\n')
        return response

    async def story(transport: HttpTransport) -> None:
        lines = aiter(transport.watch(ApiRequest("GET", "/x", {"watch": "1"})))
        assert (await anext(lines)).object == {"a": 1}
        with pytest.raises(Expired):
            await anext(lines)

    run(handler, story)


def test_no_server_is_a_transport_error() -> None:
    """Errors of the library do not come out."""

    async def main() -> None:
        transport = HttpTransport(ClusterAccess("http://127.0.0.1:1"))
        with pytest.raises(TransportError, match="GET /x"):
            await transport.request(ApiRequest("GET", "/x"))
        await transport.close()

    asyncio.run(main())


def test_the_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    """Two at once, then one each half second."""
    bucket = TokenBucket(qps=2, burst=2)
    assert [bucket.delay_s(10.0) for _ in range(4)] == [0, 0, 0.5, 1.0]
    assert bucket.delay_s(12.0) == 0
    assert [TokenBucket(qps=0, burst=1).delay_s(0) for _ in range(3)] == [0, 0, 0]


def test_the_user_agent_is_kueues() -> None:
    """Version up to the first dash, system, commit of seven characters."""
    assert user_agent("0.1.0-dev", "0123456789").startswith("kueue/0.1.0 (")
    assert user_agent("0.1.0", "0123456789").endswith(" 0123456")


@pytest.mark.parametrize(("bypass", "want_proxied"), [("", True), ("cluster.invalid", False)])
def test_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch, bypass: str, want_proxied: bool) -> None:
    """It is asked for the server, unless the server is one that needs none."""

    async def handler(raw: web.Request) -> web.Response:
        return web.json_response({"host": raw.headers["Host"]})

    async def story(transport: HttpTransport) -> None:
        monkeypatch.setenv("http_proxy", transport._access.server)
        monkeypatch.setenv("no_proxy", bypass)
        behind = HttpTransport(ClusterAccess("http://cluster.invalid"), timeout_s=5)
        try:
            assert await behind.request(ApiRequest("GET", "/version")) == {"host": "cluster.invalid"}
            assert want_proxied
        except TransportError:
            assert not want_proxied
        finally:
            await behind.close()

    run(handler, story)
