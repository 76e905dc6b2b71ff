"""The visibility API over an engine, as an extension API server and as a part of the embedded one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from pykueue.api.errors import MethodNotAllowed, NotFound
from pykueue.apiserver.extension import ExtensionApi
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.server import EmbeddedApiServer
from pykueue.cli.cluster import EmbeddedCluster, UpOptions
from pykueue.cli.visibility import TITLE, visibility_resources
from pykueue.ports.transport import ApiRequest
from support.world import World

GROUP = "/apis/visibility.kueue.x-k8s.io"
OF_CQ, OF_LQ = "clusterqueues/cq/pendingworkloads", "namespaces/ns/localqueues/cq/pendingworkloads"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
def world() -> World:
    made = World()
    made.queue("cq", "default:1")
    made.workload("a", "cq", "2")
    return made


@pytest.fixture
def api(world: World) -> ExtensionApi:
    return ExtensionApi(visibility_resources(world.engine), title=TITLE)


def ask(api: ExtensionApi, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    bare, _, query = path.partition("?")
    answer = api.handle(HttpRequest(method, bare, dict(p.split("=") for p in query.split("&") if p), **headers))
    return answer.status, msgspec.json.decode(answer.body) if isinstance(answer.body, bytes) else answer.body


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
@pytest.mark.parametrize("path", [OF_CQ, OF_LQ])
def test_both_queues_in_both_versions(api: ExtensionApi, version: str, path: str) -> None:
    """The same content under either name."""
    status, told = ask(api, f"{GROUP}/{version}/{path}")
    assert (status, told["apiVersion"]) == (200, f"visibility.kueue.x-k8s.io/{version}")
    assert [one["metadata"]["name"] for one in told["items"]] == ["a"]
    assert ask(api, f"{GROUP}/{version}/{path}?offset=1")[1]["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"{GROUP}/v1beta2/clusterqueues", 404),
        ("GET", f"{GROUP}/v1beta2/clusterqueues/cq", 404),
        ("GET", f"{GROUP}/v1beta2/clusterqueues/cq/status", 404),
        ("GET", f"{GROUP}/v1beta2/namespaces/ns/clusterqueues/cq/pendingworkloads", 404),
        ("GET", f"{GROUP}/v1beta2/localqueues/cq/pendingworkloads", 404),
        ("GET", f"{GROUP}/v1/{OF_CQ}", 404),
        ("DELETE", f"{GROUP}/v1beta2/{OF_CQ}", 405),
        ("GET", "/api/v1/pods", 404),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 404),
        ("GET", "/metrics", 404),
    ],
)
def test_there_is_nothing_else(api: ExtensionApi, method: str, path: str, code: int) -> None:
    """It is read only, at the places that it has; it reviews nobody."""
    assert ask(api, path, method)[0] == code


def test_a_local_queue_that_leads_nowhere_is_not_found(world: World, api: ExtensionApi) -> None:
    """Without its ClusterQueue, or stopped."""
    world.local("lost", "nowhere")
    world.local("stopped", "cq", stop="Hold")
    for name in ("lost", "stopped", "none"):
        status, told = ask(api, f"{GROUP}/v1beta2/namespaces/ns/localqueues/{name}/pendingworkloads")
        assert (status, told["message"]) == (404, f'localqueue.visibility.kueue.x-k8s.io "{name}" not found')


def test_discovery_names_this_group_alone(api: ExtensionApi) -> None:
    """In both forms; the queues themselves have no verbs."""
    groups = ask(api, "/apis")[1]["groups"]
    assert [(g["name"], g["preferredVersion"]["version"]) for g in groups] == [("visibility.kueue.x-k8s.io", "v1beta2")]
    listed = {
        one["name"]: (one["kind"], one["namespaced"], one["verbs"])
        for one in ask(api, f"{GROUP}/v1beta1")[1]["resources"]
    }
    assert listed == {
        "clusterqueues": ("ClusterQueue", False, []),
        "clusterqueues/pendingworkloads": ("PendingWorkloadsSummary", False, ["get"]),
        "localqueues": ("LocalQueue", True, []),
        "localqueues/pendingworkloads": ("PendingWorkloadsSummary", True, ["get"]),
    }
    (group,) = ask(api, "/apis", accept=AGGREGATED)[1]["items"]
    assert [version["version"] for version in group["versions"]] == ["v1beta2", "v1beta1"]
    (sub,) = group["versions"][0]["resources"][0]["subresources"]
    kind = {"group": "visibility.kueue.x-k8s.io", "version": "v1beta2", "kind": "PendingWorkloadsSummary"}
    assert sub == {"subresource": "pendingworkloads", "responseKind": kind, "verbs": ["get"]}
    assert ask(api, "/api", accept=AGGREGATED)[1]["items"] == []


@pytest.mark.parametrize("name", ["v2", "v3/apis/visibility.kueue.x-k8s.io/v1beta2"])
def test_openapi_tells_what_is_asked_and_answered(api: ExtensionApi, name: str) -> None:
    """Parameters, and every field of the answer."""
    document = ask(api, f"/openapi/{name}")[1]
    assert document["info"]["title"] == "Kueue visibility-server"
    path = f"{GROUP}/v1beta2/namespaces/{{namespace}}/localqueues/{{name}}/pendingworkloads"
    assert list(document["paths"][path]) == ["get"]
    assert {"limit", "offset"} <= {one["name"] for one in document["paths"][path]["get"]["parameters"]}
    definitions = document.get("definitions") or document["components"]["schemas"]
    summary = definitions["io.x-k8s.kueue.visibility.v1beta2.PendingWorkloadsSummary"]
    assert summary["properties"]["items"]["items"]["properties"].keys() == {
        "metadata", "priority", "localQueueName", "positionInClusterQueue", "positionInLocalQueue",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
def test_it_is_healthy(api: ExtensionApi, path: str) -> None:
    """As every API server, it says so."""
    assert ask(api, path)[0] == 200


def test_the_embedded_server_serves_it_beside_the_rest(world: World) -> None:
    """One discovery, one OpenAPI document, and the same refusals."""
    server = EmbeddedApiServer()
    for resource in visibility_resources(world.engine):
        server.registry.add(resource)
    transport = server.transport()

    async def main() -> None:
        async def get(path: str, method: str = "GET") -> Any:
            return await transport.request(ApiRequest(method, path))

        assert [one["metadata"]["name"] for one in (await get(f"{GROUP}/v1beta2/{OF_CQ}"))["items"]] == ["a"]
        assert {g["name"] for g in (await get("/apis"))["groups"]} >= {"apps", "visibility.kueue.x-k8s.io"}
        assert f"{GROUP}/v1beta2/clusterqueues/{{name}}/pendingworkloads" in (await get("/openapi/v2"))["paths"]
        with pytest.raises(NotFound):
            await get(f"{GROUP}/v1beta2/clusterqueues/cq")
        with pytest.raises(MethodNotAllowed):
            await get(f"{GROUP}/v1beta2/{OF_CQ}", "PUT")

    asyncio.run(main())


def test_the_gate_switches_it_off() -> None:
    """An embedded cluster does not have the group then."""

    async def main() -> set[str]:
        options = UpOptions(nodes="none", memory=True, port=0, feature_gates="VisibilityOnDemand=false")
        async with EmbeddedCluster.start(options) as cluster:
            return {group["name"] for group in (await cluster.transport.request(ApiRequest("GET", "/apis")))["groups"]}

    groups = asyncio.run(main())
    assert "kueue.x-k8s.io" in groups
    assert "visibility.kueue.x-k8s.io" not in groups
