"""Webhooks under a URL: each path is kept, and Services that were registered before give way."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pykueue.api.kinds import API_SERVICE, CUSTOM_RESOURCE_DEFINITION
from pykueue.api.kinds import SERVICE as SERVICE_KIND
from pykueue.api.schema import all_crds, with_conversion
from pykueue.apiserver.builtins.table import builtin_resources
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.server import EmbeddedApiServer
from pykueue.cli.manifests import api_services, visibility_service
from pykueue.cli.webhook_manifests import webhook_configurations
from pykueue.ports.transport import ApiRequest, Transport, WatchLine
from pykueue.runtime.certificates import CONVERTED
from pykueue.runtime.registration import at_url, own_account, register_by_host, register_by_url, withdraw_by_host

URL = "https://127.0.0.1:9443/"
BUNDLE = base64.b64encode(b"PEM").decode()
SERVICE = {"service": {"name": "kueue-webhook-service", "namespace": "kueue-system", "path": "/convert"}}
CONFIGURATIONS = webhook_configurations("kueue-system")


def path_of(configuration: Any) -> str:
    return f"/apis/admissionregistration.k8s.io/v1/{configuration['kind'].lower()}s"


async def registered(transport: Transport) -> list[Any]:
    """Where each webhook is, after two registrations: the second must find the first one's work and change nothing."""
    for _ in range(2):
        await register_by_url(transport, CONFIGURATIONS, CONVERTED, URL, b"PEM")
    found = []
    for configuration in CONFIGURATIONS:
        path = f"{path_of(configuration)}/{configuration['metadata']['name']}"
        obj = await transport.request(ApiRequest("GET", path))
        found += [webhook["clientConfig"] for webhook in obj["webhooks"]]
    return found


def test_each_webhook_keeps_its_path() -> None:
    """Service and URL are never both there, and what was generated is not changed."""
    before = CONFIGURATIONS[0]
    after = at_url(before, URL, b"PEM")
    for old, new in zip(before["webhooks"], after["webhooks"], strict=True):
        path = old["clientConfig"]["service"]["path"]
        assert new == {**old, "clientConfig": {"url": f"https://127.0.0.1:9443{path}", "caBundle": BUNDLE}}


def test_what_the_manifests_registered_by_service_is_redirected() -> None:
    """`pykueue manifests` was applied first: webhooks and conversion are called by URL alone from then on."""

    async def main() -> None:
        server = EmbeddedApiServer()
        transport = server.transport(user_agent="kubectl")
        for configuration in CONFIGURATIONS:
            await transport.request(ApiRequest("POST", path_of(configuration), body=configuration))
        for crd in all_crds():
            converted = crd["spec"]["names"]["plural"] in CONVERTED
            body = with_conversion(crd, SERVICE) if converted else crd
            await transport.request(ApiRequest("POST", CUSTOM_RESOURCE_DEFINITION.path(), body=body))
        clients = await registered(transport)
        assert len(clients) == sum(len(c["webhooks"]) for c in CONFIGURATIONS)
        assert all(set(client) == {"url", "caBundle"} for client in clients)
        for plural, want in (
            ("workloads", {"url": "https://127.0.0.1:9443/convert", "caBundle": BUNDLE}),
            ("topologies", None),
        ):
            path = CUSTOM_RESOURCE_DEFINITION.path(name=f"{plural}.kueue.x-k8s.io")
            conversion = (await transport.request(ApiRequest("GET", path)))["spec"]["conversion"]
            assert (conversion.get("webhook") or {}).get("clientConfig") == want
        await server.close()

    asyncio.run(main())


def test_what_is_not_there_is_made_or_left_out() -> None:
    """An empty cluster gets the configurations; definitions are not ours to make."""

    async def main() -> None:
        server = EmbeddedApiServer()
        transport = server.transport(user_agent="kubectl")
        assert all(set(client) == {"url", "caBundle"} for client in await registered(transport))
        await server.close()

    asyncio.run(main())


class Hesitating:
    """A transport that waits before each creation until all who share a barrier are about to create."""

    def __init__(self, transport: Transport, barrier: asyncio.Barrier) -> None:
        self._transport, self._barrier = transport, barrier

    async def request(self, request: ApiRequest) -> Any:
        if request.method == "POST":
            await self._barrier.wait()
        return await self._transport.request(request)

    def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        return self._transport.watch(request)

    async def close(self) -> None:
        await self._transport.close()


def test_two_managers_may_register_at_the_same_time() -> None:
    """Both find nothing and create: the slower one redirects what the other has made."""

    async def main() -> None:
        server, barrier = EmbeddedApiServer(), asyncio.Barrier(2)
        transport = server.transport(user_agent="kubectl")
        urls = ("https://127.0.0.1:1", "https://127.0.0.1:2")
        await asyncio.gather(
            *(register_by_url(Hesitating(transport, barrier), CONFIGURATIONS, (), url, b"PEM") for url in urls)
        )
        for configuration in CONFIGURATIONS:
            path = f"{path_of(configuration)}/{configuration['metadata']['name']}"
            found = await transport.request(ApiRequest("GET", path))
            assert len({webhook["clientConfig"]["url"].rpartition("/")[0] for webhook in found["webhooks"]}) == 1
        await server.close()

    asyncio.run(main())


def test_an_account_is_ours_alone_if_it_is_a_service_account() -> None:
    """People write under names of users as well, and what they write is checked."""

    async def main() -> None:
        server = EmbeddedApiServer()
        assert not await own_account(server.transport())

        class Answer:
            async def request(self, request: ApiRequest) -> Any:
                assert request.path.endswith("/selfsubjectreviews")
                return {"status": {"userInfo": {"username": "system:serviceaccount:ns:manager"}}}

        assert await own_account(Answer()) == "system:serviceaccount:ns:manager"  # type: ignore[arg-type]

    asyncio.run(main())


def with_api_services() -> EmbeddedApiServer:
    """A server that keeps APIServices, as the embedded cluster does not."""
    return EmbeddedApiServer([*builtin_resources(), Resource(API_SERVICE)])


@pytest.mark.parametrize("is_shipped", [False, True], ids=["nothing is there", "the manifests were applied"])
def test_an_api_group_leads_to_a_host_until_the_manager_ends(is_shipped: bool) -> None:
    """The Service becomes an alias; the APIServices keep the rest of what they say, and are gone afterwards."""
    service, leading = visibility_service("default"), api_services("default")

    async def main() -> None:
        server = with_api_services()
        transport = server.transport(user_agent="kubectl")
        for kind, body in ((SERVICE_KIND, service), *((API_SERVICE, each) for each in leading)) if is_shipped else ():
            namespace = "default" if kind is SERVICE_KIND else ""
            await transport.request(ApiRequest("POST", kind.path(namespace), body=body))
        for _ in range(2):
            await register_by_host(transport, service, leading, "127.0.0.1", 8082)
        path = SERVICE_KIND.path("default", "kueue-visibility-server")
        alias = (await transport.request(ApiRequest("GET", path)))["spec"]
        assert (alias["type"], alias["externalName"], "selector" in alias) == ("ExternalName", "127.0.0.1", False)
        listed = (await transport.request(ApiRequest("GET", API_SERVICE.path())))["items"]
        want = [each["spec"] | {"service": each["spec"]["service"] | {"port": 8082}} for each in leading]
        assert sorted(map(str, (one["spec"] for one in listed))) == sorted(map(str, want))
        await withdraw_by_host(transport, service, leading, "10.0.0.1", 8082)
        await withdraw_by_host(transport, service, leading, "127.0.0.1", 8083)
        assert len((await transport.request(ApiRequest("GET", API_SERVICE.path())))["items"]) == 2
        # Somebody was quicker with one of them: the other goes all the same.
        await transport.request(ApiRequest("DELETE", API_SERVICE.path(name=leading[0]["metadata"]["name"])))
        for _ in range(2):
            await withdraw_by_host(transport, service, leading, "127.0.0.1", 8082)
        assert (await transport.request(ApiRequest("GET", API_SERVICE.path())))["items"] == []
        await server.close()

    asyncio.run(main())
