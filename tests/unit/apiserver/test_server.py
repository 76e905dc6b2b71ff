"""The assembled server: built-in kinds, definitions that come and go, patches and applies, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pykueue.api.errors import ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound, UnsupportedMediaType
from pykueue.api.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, EVENT, NAMESPACE, NODE, POD, STATEFUL_SET, Kind
from pykueue.api.objects import Obj
from pykueue.apiserver.backend import AdmitAll
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.server import SYSTEM_NAMESPACES, EmbeddedApiServer
from pykueue.apiserver.watching import WatchStream
from pykueue.ports.admission import AdmissionRequest
from pykueue.ports.transport import ApiRequest

WIDGET = Kind("example.com", "v1", "Widget", "widgets")
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer", "minimum": 0}, "color": {"type": "string", "default": "red"}},
                            },
                            "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}  # fmt: skip

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Client:
    """Short forms of requests."""

    def __init__(self, server: EmbeddedApiServer) -> None:
        self.server = server
        self.transport = server.transport(user_agent="test/1.0")

    async def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Any:
        return await self.transport.request(ApiRequest(method, path, query, body, content_type))

    async def create(self, kind: Kind, name: str, namespace: str = "default", **rest: Any) -> Any:
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, **rest.pop("metadata", {})},
            **rest,
        }
        return await self.ask("POST", kind.path(namespace), body)

    async def get(self, kind: Kind, name: str, namespace: str = "default") -> Any:
        return await self.ask("GET", kind.path(namespace, name))

    async def patch(
        self, kind: Kind, name: str, body: Any, content_type: str = MERGE, subresource: str = "", **query: str
    ) -> Any:
        return await self.ask("PATCH", kind.path("default", name, subresource), body, content_type, **query)


def run(story: Callable[[Client], Awaitable[None]], data_dir: Path | None = None, **options: Any) -> None:
    """Run a story against an assembled server."""

    async def whole() -> None:
        server = EmbeddedApiServer(data_dir=data_dir, **options)
        try:
            await asyncio.wait_for(story(Client(server)), 20)
        finally:
            await server.close()

    asyncio.run(whole())


def test_every_cluster_has_its_namespaces() -> None:
    """They exist from the first start, and carry their names as labels."""

    async def story(client: Client) -> None:
        listed = await client.ask("GET", NAMESPACE.path())
        assert sorted(obj["metadata"]["name"] for obj in listed["items"]) == sorted(SYSTEM_NAMESPACES)

    run(story)


def test_some_namespaces_stay() -> None:
    """A cluster cannot lose the namespaces that it begins with; others go."""

    async def story(client: Client) -> None:
        for name in ("default", "kube-system", "kube-public"):
            refused = rf'namespaces "{name}" is forbidden: this namespace may not be deleted'
            with pytest.raises(Forbidden, match=refused):
                await client.ask("DELETE", NAMESPACE.path(name=name))
            assert "deletionTimestamp" not in (await client.get(NAMESPACE, name))["metadata"]
        await client.create(NAMESPACE, "team")
        assert (await client.ask("DELETE", NAMESPACE.path(name="team")))["status"]["phase"] == "Terminating"

    run(story)


class _Gate(AdmitAll):
    """Webhooks that gate every pod."""

    def mutate(self, request: AdmissionRequest) -> Obj:
        """See `AdmissionChain.mutate`."""
        return {**request.obj, "spec": {**request.obj["spec"], "schedulingGates": [{"name": "example.com/quota"}]}}


def test_pods_gated_by_a_webhook_are_born_gated() -> None:
    """What the server fills in follows from the object as webhooks left it: watchers never see a gated pod that just pends."""

    async def story(client: Client) -> None:
        client.server.set_admission(_Gate())
        made = await client.create(POD, "p", spec={"containers": [{"name": "c", "image": "i"}]})
        (condition,) = made["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("PodScheduled", "SchedulingGated")

    run(story)


class _Painter(AdmitAll):
    """Webhooks that know the storage version alone, where a color is a `paint`."""

    def mutate(self, request: AdmissionRequest) -> Obj:
        """See `AdmissionChain.mutate`."""
        return {**request.obj, "spec": {"paint": request.obj["spec"]["paint"].upper()}}

    def validate(self, request: AdmissionRequest) -> None:
        """See `AdmissionChain.validate`."""
        assert request.kind.version == request.obj["apiVersion"].rpartition("/")[2] == "v2"
        before = request.old["spec"]["paint"] if request.old is not None else ""
        if before and before != request.obj["spec"]["paint"]:
            raise Forbidden("it is painted")


def _repaint(obj: Obj, api_version: str) -> Obj:
    if obj["apiVersion"] == api_version:
        return obj
    new, old = ("paint", "color") if api_version.endswith("v2") else ("color", "paint")
    return {**obj, "apiVersion": api_version, "spec": {new: obj["spec"][old]}}


def test_webhooks_see_the_version_that_they_know() -> None:
    """Whatever version a request is in; what they make of it comes back in that of the request."""

    def version(name: str, field: str) -> dict[str, Any]:
        spec = {"type": "object", "properties": {field: {"type": "string"}}}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        return {"name": name, "served": True, "storage": name == "v2", "schema": schema}

    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "s", "namespace": "n"}}}
    spec = {
        **DEFINITION["spec"],
        "versions": [version("v1", "color"), version("v2", "paint")],
        "conversion": {"strategy": "Webhook", "webhook": webhook},
    }

    async def story(client: Client) -> None:
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), {**DEFINITION, "spec": spec})
        client.server.set_admission(_Painter())
        made = await client.create(WIDGET, "w", spec={"color": "red"})
        assert made["spec"] == {"color": "RED"}
        assert (await client.patch(WIDGET, "w", {"spec": {"color": "Red"}}))["spec"] == {"color": "RED"}
        with pytest.raises(Forbidden, match="it is painted"):
            await client.patch(WIDGET, "w", {"spec": {"color": "green"}})

    run(story, converters={"example.com": _repaint})


def test_definitions_bring_resources_and_take_them_away() -> None:
    """A custom resource is served from the write that defines it; deleting the definition deletes its objects."""

    async def story(client: Client) -> None:
        with pytest.raises(NotFound):
            await client.create(WIDGET, "w")
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), DEFINITION)
        made = await client.create(WIDGET, "w", spec={"size": 1, "unknown": 1})
        assert made["spec"] == {"size": 1, "color": "red"}
        with pytest.raises(Invalid, match=r"spec.size"):
            await client.create(WIDGET, "bad", spec={"size": -1})
        await client.ask("DELETE", CUSTOM_RESOURCE_DEFINITION.path(name="widgets.example.com"))
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(NotFound):
            await client.ask("GET", CUSTOM_RESOURCE_DEFINITION.path(name="widgets.example.com"))
        with pytest.raises(NotFound, match=r"the server could not find the requested resource"):
            await client.get(WIDGET, "w")

    run(story)


def test_state_outlives_the_process(tmp_path: Path) -> None:
    """Definitions, their objects and built-in objects are served again after a restart."""
    made: dict[str, Any] = {}

    async def first(client: Client) -> None:
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), DEFINITION)
        made["widget"] = await client.create(WIDGET, "w", spec={"size": 1})
        made["map"] = await client.create(CONFIG_MAP, "c", data={"a": "b"})

    async def second(client: Client) -> None:
        assert await client.get(WIDGET, "w") == made["widget"]
        assert await client.get(CONFIG_MAP, "c") == made["map"]
        later = await client.create(CONFIG_MAP, "d")
        assert int(later["metadata"]["resourceVersion"]) > int(made["map"]["metadata"]["resourceVersion"])

    run(first, tmp_path)
    run(second, tmp_path)


def test_patches_of_all_formats() -> None:
    """Merge, JSON and strategic merge; what does not fit is refused in Kubernetes' words."""

    async def story(client: Client) -> None:
        made = await client.create(CONFIG_MAP, "c", data={"a": "1", "b": "2"})
        assert (await client.patch(CONFIG_MAP, "c", {"data": {"a": None, "c": "3"}}))["data"] == {"b": "2", "c": "3"}
        operations = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}]
        assert (await client.patch(CONFIG_MAP, "c", operations, JSON_PATCH))["data"] == {"c": "3"}
        with pytest.raises(Invalid, match=r"the server rejected our request due to an error in our request"):
            await client.patch(CONFIG_MAP, "c", operations, JSON_PATCH)
        with pytest.raises(BadRequest):
            await client.patch(CONFIG_MAP, "c", {"op": "add"}, JSON_PATCH)
        with pytest.raises(Conflict, match=r"the object has been modified"):
            await client.patch(CONFIG_MAP, "c", {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}})
        with pytest.raises(Invalid, match=r'metadata.uid: Invalid value: "x": field is immutable'):
            await client.patch(CONFIG_MAP, "c", {"metadata": {"uid": "x"}})
        with pytest.raises(UnsupportedMediaType):
            await client.patch(CONFIG_MAP, "c", {}, "application/json")
        with pytest.raises(NotFound, match=r'configmaps "x" not found'):
            await client.patch(CONFIG_MAP, "x", {})
        spec = {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}
        await client.create(POD, "p", spec=spec)
        patched = await client.patch(POD, "p", {"spec": {"containers": [{"name": "b", "image": "z"}]}}, STRATEGIC)
        assert [(c["name"], c["image"]) for c in patched["spec"]["containers"]] == [("a", "x"), ("b", "z")]

    run(story)


def test_custom_resources_take_no_strategic_merge() -> None:
    """415 with what they do take."""

    async def story(client: Client) -> None:
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), DEFINITION)
        await client.create(WIDGET, "w", spec={"size": 1})
        with pytest.raises(UnsupportedMediaType, match=r"application/merge-patch"):
            await client.patch(WIDGET, "w", {}, STRATEGIC)
        scaled = await client.patch(WIDGET, "w", {"spec": {"replicas": 3}}, subresource="scale")
        assert scaled["spec"]["replicas"] == 3
        assert (await client.get(WIDGET, "w"))["spec"]["size"] == 3

    run(story)


def apply(kind: Kind, name: str, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **rest}


def owners(obj: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields", ())]


def test_apply_creates_changes_and_conflicts() -> None:
    """An unchanged apply writes nothing; another manager's field is a conflict until it is forced."""

    async def story(client: Client) -> None:
        first = await client.patch(CONFIG_MAP, "c", apply(CONFIG_MAP, "c", data={"a": "1"}), APPLY, fieldManager="one")
        assert owners(first) == [("one", "Apply", "")]
        assert (
            await client.patch(CONFIG_MAP, "c", apply(CONFIG_MAP, "c", data={"a": "1"}), APPLY, fieldManager="one")
            == first
        )
        with pytest.raises(Conflict, match=r'conflict with "one": .data.a') as caught:
            await client.patch(CONFIG_MAP, "c", apply(CONFIG_MAP, "c", data={"a": "2"}), APPLY, fieldManager="two")
        assert caught.value.details is not None
        assert caught.value.details["causes"][0]["reason"] == "FieldManagerConflict"
        forced = await client.patch(
            CONFIG_MAP, "c", apply(CONFIG_MAP, "c", data={"a": "2"}), APPLY, fieldManager="two", force="true"
        )
        assert owners(forced) == [("two", "Apply", "")]
        changed = await client.patch(CONFIG_MAP, "c", {"data": {"b": "1"}}, fieldManager="three")
        assert ("three", "Update", "") in owners(changed)

    run(story)


def test_apply_creates_a_node_with_the_status_it_brings() -> None:
    """Creators of nodes may bring a status, and own none of it; a later apply of the node does not write it."""

    async def story(client: Client) -> None:
        body = apply(NODE, "n", status={"capacity": {"cpu": "8"}})
        made = await client.patch(NODE, "n", body, APPLY, fieldManager="one")
        assert made["status"]["capacity"] == {"cpu": "8"}
        assert "f:status" not in made["metadata"].get("managedFields", [{}])[0].get("fieldsV1", {})
        again = apply(NODE, "n", status={"capacity": {"cpu": "9"}})
        assert (await client.patch(NODE, "n", again, APPLY, fieldManager="one"))["status"]["capacity"] == {"cpu": "8"}
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), DEFINITION)
        widget = await client.patch(WIDGET, "w", apply(WIDGET, "w", status={"size": 4}), APPLY, fieldManager="one")
        assert "status" not in widget

    run(story)


def test_status_has_its_own_owners() -> None:
    """An apply through the status sub-resource writes the status alone, and needs the object."""

    async def story(client: Client) -> None:
        await client.ask("POST", CUSTOM_RESOURCE_DEFINITION.path(), DEFINITION)
        body = apply(WIDGET, "w", spec={"size": 9}, status={"size": 4})
        with pytest.raises(NotFound):
            await client.patch(WIDGET, "w", body, APPLY, "status", fieldManager="one")
        await client.create(WIDGET, "w", spec={"size": 1})
        written = await client.patch(WIDGET, "w", body, APPLY, "status", fieldManager="one")
        assert (written["spec"]["size"], written["status"]["size"], written["metadata"]["generation"]) == (1, 4, 1)
        assert ("one", "Apply", "status") in owners(written)

    run(story)


@pytest.mark.parametrize(
    ("query", "body", "error", "want"),
    [
        ({}, apply(CONFIG_MAP, "c"), Invalid, "fieldManager: Required value: is required for apply patch"),
        (
            {"fieldManager": "one"},
            apply(CONFIG_MAP, "d"),
            BadRequest,
            r"the name of the object \(d\) does not match the name on the URL \(c\)",
        ),
        ({"fieldManager": "one"}, [], BadRequest, "an applied configuration must be an object"),
        ({"fieldManager": "one"}, b"a: [", BadRequest, "error decoding YAML"),
        (
            {"fieldManager": "one"},
            {**apply(CONFIG_MAP, "c"), "metadata": {"name": "c", "uid": "x"}},
            Conflict,
            "uid mismatch",
        ),
    ],
)
def test_applies_that_are_refused(query: dict[str, str], body: Any, error: type[ApiError], want: str) -> None:
    """Each fault has its reason and text."""

    async def story(client: Client) -> None:
        with pytest.raises(error, match=want):
            await client.ask("PATCH", CONFIG_MAP.path("default", "c"), body, APPLY, **query)

    run(story)


def test_events_are_one_storage_in_two_versions() -> None:
    """What is written as events.k8s.io is read as core, and the other way round."""

    async def story(client: Client) -> None:
        await client.create(
            EVENT, "e", regarding={"kind": "Pod", "name": "p", "namespace": "default"}, reason="Tested", note="hello", type="Normal",
            eventTime="2020-01-01T00:00:00.000000Z", reportingController="test", reportingInstance="test-1", action="Testing",
        )  # fmt: skip
        core = await client.ask("GET", "/api/v1/namespaces/default/events", fieldSelector="involvedObject.name=p")
        assert [(event["involvedObject"]["name"], event["message"]) for event in core["items"]] == [("p", "hello")]

    run(story)


def test_built_in_scales_speak_of_their_object() -> None:
    """A StatefulSet's scale shows its selector as text, and writes its replicas."""

    async def story(client: Client) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await client.create(
            STATEFUL_SET,
            "s",
            spec={"replicas": 2, "serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": template},
        )
        scale = await client.ask("GET", STATEFUL_SET.path("default", "s", "scale"))
        assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "a=b"})
        await client.patch(STATEFUL_SET, "s", {"spec": {"replicas": 5}}, subresource="scale")
        assert (await client.get(STATEFUL_SET, "s"))["spec"]["replicas"] == 5

    run(story)


def test_what_is_missing_is_told_with_its_reason() -> None:
    """Logs and tokens belong to real clusters."""

    async def story(client: Client) -> None:
        with pytest.raises(NotFound, match=r"pods/log is not served: pods of the embedded server are emulated"):
            await client.ask("GET", POD.path("default", "p", "log"))

    run(story)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def test_tables_and_metadata_are_answered_where_asked() -> None:
    """Lists, single objects and watches; refusals stay Status objects; unknown forms are 406."""

    async def story(client: Client) -> None:
        await client.create(CONFIG_MAP, "c", data={"a": "b"})
        path = CONFIG_MAP.path("default")

        async def ask(accept: str, path: str = path, **query: str) -> Any:
            return await client.server.handler.handle(HttpRequest("GET", path, query, accept=accept))

        table = (await ask(TABLE)).body
        assert (table["kind"], table["rows"][0]["cells"][0]) == ("Table", "c")
        assert "resourceVersion" in table["metadata"]
        single = (await ask(TABLE, f"{path}/c", includeObject="None")).body
        assert (single["kind"], single["rows"][0]["object"]) == ("Table", None)
        assert (await ask(TABLE, f"{path}/x")).body["kind"] == "Status"
        assert (await ask(TABLE, includeObject="Nonsense")).status == 400
        partial = (await ask(PARTIAL)).body
        assert (partial["kind"], list(partial["items"][0])) == (
            "PartialObjectMetadataList",
            ["kind", "apiVersion", "metadata"],
        )
        assert (await ask("application/json;as=Poem;g=meta.k8s.io;v=v1")).status == 406
        assert (await ask("application/vnd.kubernetes.protobuf,application/json")).body["kind"] == "ConfigMapList"

        await client.create(CONFIG_MAP, "d")
        stream = await ask(TABLE, watch="1")
        assert isinstance(stream, WatchStream)
        assert stream.transform is not None
        tables = [stream.transform(event).object for event in await anext(stream.batches())]
        assert [(t["columnDefinitions"] is None, t["rows"][0]["cells"][0]) for t in tables] == [
            (False, "c"),
            (True, "d"),
        ]

    run(story)


def test_an_owner_is_kept_once() -> None:
    """A patch that appends and is sent twice does not leave an object that no apply can touch any more; the writer is warned."""

    async def story(client: Client) -> None:
        first, second = ({"apiVersion": "v1", "kind": "Pod", "name": n, "uid": f"uid-{n}"} for n in "ab")
        await client.create(CONFIG_MAP, "c", metadata={"ownerReferences": [first]})
        for _ in range(2):
            step = {"op": "add", "path": "/metadata/ownerReferences/-", "value": second}
            answer = await client.patch(CONFIG_MAP, "c", [step], JSON_PATCH)
            assert answer["metadata"]["ownerReferences"] == [first, second]
        request = HttpRequest("PATCH", CONFIG_MAP.path("default", "c"), {}, [step], JSON_PATCH)
        repeated = await client.server.handler.handle(request)
        assert not isinstance(repeated, WatchStream)
        assert "duplicate UID(s) observed: uid-b" in next(iter(repeated.warnings))
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"x": "1"}}
        await client.patch(CONFIG_MAP, "c", body, APPLY, fieldManager="me")

    run(story)
