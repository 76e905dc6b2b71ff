"""The request core over made-up kinds: verbs, conflicts, finalizers, lists, watches, errors in Kubernetes' words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pykueue.api.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Expired,
    FieldError,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Timeout,
)  # fmt: skip
from pykueue.api.instant import Instant
from pykueue.api.kinds import NAMESPACE, POD, Kind
from pykueue.api.objects import Obj
from pykueue.apiserver.handler import ApiHandler
from pykueue.apiserver.messages import HttpRequest, Response
from pykueue.apiserver.resources import Resource, ScalePaths, field_at
from pykueue.apiserver.server import EmbeddedApiServer, Sources
from pykueue.apiserver.strategy import Context, Strategy
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.transport import ApiRequest, WatchLine

WIDGET = Kind("example.com", "v1", "Widget", "widgets")
WIDGET_OLD = Kind("example.com", "v1alpha1", "Widget", "widgets")
GIZMO = Kind("example.com", "v1", "Gizmo", "gizmos", namespaced=False)


class WidgetStrategy(Strategy):
    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> list[FieldError]:
        return (
            [FieldError("Invalid value", "spec.size", str(new["spec"]["size"]), "must not be negative")]
            if new.get("spec", {}).get("size", 0) < 0
            else []
        )

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        return ["size 13 brings bad luck"] if new.get("spec", {}).get("size") == 13 else []


class PodStrategy(Strategy):
    def grace_period_s(self, obj: Obj, requested_s: int | None) -> int | None:
        if not obj["spec"].get("nodeName"):
            return 0
        return obj["spec"].get("terminationGracePeriodSeconds", 30) if requested_s is None else requested_s


def convert(obj: Obj, api_version: str) -> Obj:
    """v1alpha1 calls `size` `length`."""
    if obj["apiVersion"] == api_version:
        return obj
    old, new = ("length", "size") if api_version.endswith("v1") else ("size", "length")
    spec = {new if name == old else name: value for name, value in obj.get("spec", {}).items()}
    return {**obj, "apiVersion": api_version, "spec": spec}


def decode(obj: Obj) -> tuple[Obj, list[str]]:
    known = {"apiVersion", "kind", "metadata", "spec", "status"}
    return {k: v for k, v in obj.items() if k in known}, [k for k in obj if k not in known]


RESOURCES = [
    Resource(NAMESPACE, short_names=("ns",)),
    Resource(
        POD, strategy=PodStrategy(), subresources=("status", "binding", "eviction"), fields={"spec.nodeName": field_at("spec.nodeName")}
    ),
    Resource(
        WIDGET, strategy=WidgetStrategy(), subresources=("scale", "status"), scale=ScalePaths(spec_replicas="spec.size", selector="status.selector"),
        decode=decode, convert=convert, custom=True,
    ),
    Resource(WIDGET_OLD, strategy=Strategy(), storage_kind=WIDGET, convert=convert, deprecation="example.com/v1alpha1 Widget is deprecated", custom=True),
    Resource(GIZMO, verbs=("get", "list", "create")),
]  # fmt: skip


class Client:
    """Short forms of requests."""

    def __init__(self, server: EmbeddedApiServer) -> None:
        self.server = server
        self.transport = server.transport(user_agent="test/1.0")

    async def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Any:
        return await self.transport.request(ApiRequest(method, path, query, body, content_type))

    async def raw(self, method: str, path: str, body: Any = None, **query: str) -> Response:
        answer = await self.server.handler.handle(HttpRequest(method, path, query, body))
        assert isinstance(answer, Response)
        return answer

    async def create(self, kind: Kind, name: str = "", namespace: str = "default", **rest: Any) -> Any:
        query = rest.pop("query", {})
        meta = {**({"name": name} if name else {}), **rest.pop("metadata", {})}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **rest}
        return await self.ask("POST", kind.path(namespace), body, **query)


@pytest.fixture
def run() -> Callable[[Callable[[Client], Awaitable[None]]], None]:
    """Run a test's coroutine against a fresh server with a manual clock."""
    numbers = iter(range(1, 1_000_000))
    uids = iter(range(1, 1_000_000))
    sources = Sources(
        lambda: Instant(1_000_000_000_000_000), lambda: f"uid-{next(uids)}", lambda: f"{next(numbers):05}"
    )

    def runner(story: Callable[[Client], Awaitable[None]]) -> None:
        async def whole() -> None:
            server = EmbeddedApiServer(RESOURCES, sources=sources)
            try:
                await asyncio.wait_for(story(Client(server)), 10)
            finally:
                await server.close()

        asyncio.run(whole())

    return runner


Run = Callable[[Callable[[Client], Awaitable[None]]], None]


def test_a_created_object_has_an_identity(run: Run) -> None:
    """uid, creationTimestamp, resourceVersion and generation are the server's; status of the creator is dropped."""

    async def story(client: Client) -> None:
        made = await client.create(
            WIDGET, "w", spec={"size": 1}, status={"x": 1}, metadata={"uid": "", "labels": {"a": "b"}}
        )
        meta = made["metadata"]
        assert (meta["namespace"], meta["creationTimestamp"], meta["generation"]) == (
            "default",
            "2001-09-09T01:46:40Z",
            1,
        )
        assert meta["uid"].startswith("uid-")
        assert "status" not in made
        assert await client.ask("GET", WIDGET.path("default", "w")) == made

    run(story)


def test_names_are_generated(run: Run) -> None:
    """generateName is cut to 58 characters and gets a random end; taken names are tried anew."""

    async def story(client: Client) -> None:
        made = await client.create(WIDGET, metadata={"generateName": "w" * 60})
        name = made["metadata"]["name"]
        assert name.startswith("w" * 58)
        assert len(name) == 63
        nothing = {"apiVersion": WIDGET.api_version, "kind": "Widget", "metadata": {}}
        with pytest.raises(
            Invalid,
            match=r'Widget.example.com "" is invalid: metadata.name: Required value: name or generateName is required',
        ):
            await client.ask("POST", WIDGET.path("default"), nothing)

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "body", "error", "want"),
    [
        ("GET", "/apis/example.com/v1/namespaces/default/widgets/x", None, NotFound, 'widgets.example.com "x" not found'),
        ("GET", "/api/v1/namespaces/default/pods/x", None, NotFound, 'pods "x" not found'),
        ("DELETE", "/api/v1/namespaces/default/pods/x", None, NotFound, 'pods "x" not found'),
        ("GET", "/apis/nope/v1/foos", None, NotFound, "the server could not find the requested resource"),
        ("GET", "/nowhere", None, NotFound, "the server could not find the requested resource"),
        ("GET", "/apis/example.com/v1/namespaces/default/widgets/x/log", None, NotFound, "could not find the requested resource"),
        ("GET", "/apis/example.com/v1/namespaces/default/gizmos", None, NotFound, "could not find the requested resource"),
        ("DELETE", "/apis/example.com/v1/gizmos/x", None, MethodNotAllowed, "the server does not allow this method"),
        ("POST", "/apis/example.com/v1/widgets", {}, MethodNotAllowed, "the server does not allow this method"),
        ("POST", "/api/v1/namespaces/nope/pods", ("Pod", "v1", {"name": "x"}), NotFound, 'namespaces "nope" not found'),
        ("POST", "/api/v1/namespaces/default/pods", ("Job", "batch/v1", {"name": "x"}), BadRequest, "cannot be handled as a Pod"),
        ("POST", "/api/v1/namespaces/default/pods", ("Pod", "v2", {"name": "x"}), BadRequest,
         'Pod in version "v2" cannot be handled as a Pod: send a Pod of v1'),
        ("POST", "/api/v1/namespaces/default/pods", ("Pod", "v1", {"name": "x", "namespace": "other"}), BadRequest,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ("POST", "/api/v1/namespaces/default/pods", ("Pod", "v1", {"name": "x", "resourceVersion": "7"}), BadRequest,
         "resourceVersion should not be set on objects to be created"),
        ("PUT", "/api/v1/namespaces/default/pods/y", ("Pod", "v1", {"name": "x"}), BadRequest,
         r"the name of the object \(x\) does not match the name on the URL \(y\)"),
        ("PUT", "/api/v1/namespaces/default/pods/x", ("Pod", "v1", {"name": "x"}), NotFound, 'pods "x" not found'),
    ],
)  # fmt: skip
def test_refusals(run: Run, *, method: str, path: str, body: Any, error: type[ApiError], want: str) -> None:
    """Reasons and texts are Kubernetes'."""
    if isinstance(body, tuple):
        body = {"kind": body[0], "apiVersion": body[1], "metadata": body[2]}

    async def story(client: Client) -> None:
        with pytest.raises(error, match=want):
            await client.ask(method, path, body)

    run(story)


def test_a_name_is_taken_once(run: Run) -> None:
    """The second creation is AlreadyExists, with details."""

    async def story(client: Client) -> None:
        await client.create(WIDGET, "w")
        with pytest.raises(AlreadyExists, match=r'widgets.example.com "w" already exists') as caught:
            await client.create(WIDGET, "w")
        assert caught.value.details == {"name": "w", "group": "example.com", "kind": "widgets"}

    run(story)


def test_updates_count_and_conflict(run: Run) -> None:
    """The generation counts spec changes alone; a stale resourceVersion conflicts; an empty change stores nothing."""

    async def story(client: Client) -> None:
        path = WIDGET.path("default", "w")
        first = await client.create(WIDGET, "w", spec={"size": 1})
        second = await client.ask("PUT", path, {**first, "spec": {"size": 2}})
        assert second["metadata"]["generation"] == 2
        labelled = await client.ask("PUT", path, {**second, "metadata": {**second["metadata"], "labels": {"a": "b"}}})
        assert labelled["metadata"]["generation"] == 2
        assert await client.ask("PUT", path, labelled) == labelled
        with pytest.raises(
            Conflict,
            match=r'Operation cannot be fulfilled on widgets.example.com "w": the object has been modified; please apply',
        ):
            await client.ask("PUT", path, first)
        other = {**labelled, "metadata": {**labelled["metadata"], "uid": "other"}}
        with pytest.raises(
            Conflict, match=r"Precondition failed: UID in precondition: other, UID in object meta: uid-"
        ):
            await client.ask("PUT", path, other)
        unversioned = {**labelled, "metadata": {"name": "w"}}
        with pytest.raises(
            Invalid, match=r"metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        ):
            await client.ask("PUT", path, unversioned)

    run(story)


def test_identity_is_kept_whatever_the_writer_says(run: Run) -> None:
    """uid, creationTimestamp and generation are not the writer's."""

    async def story(client: Client) -> None:
        first = await client.create(WIDGET, "w", spec={"size": 1})
        meta = {
            "name": "w",
            "resourceVersion": first["metadata"]["resourceVersion"],
            "generation": 77,
            "creationTimestamp": None,
        }
        second = await client.ask("PUT", WIDGET.path("default", "w"), {**first, "metadata": meta, "spec": {"size": 5}})
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        assert second["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
        assert second["metadata"]["generation"] == 2

    run(story)


def test_status_and_spec_have_their_own_writers(run: Run) -> None:
    """A status write keeps the spec; a spec write keeps the status."""

    async def story(client: Client) -> None:
        first = await client.create(WIDGET, "w", spec={"size": 1})
        second = await client.ask(
            "PUT", WIDGET.path("default", "w", "status"), {**first, "spec": {"size": 9}, "status": {"ready": 1}}
        )
        assert (second["spec"], second["status"], second["metadata"]["generation"]) == ({"size": 1}, {"ready": 1}, 1)
        third = await client.ask("PUT", WIDGET.path("default", "w"), {**second, "spec": {"size": 2}, "status": {}})
        assert (third["spec"], third["status"], third["metadata"]["generation"]) == ({"size": 2}, {"ready": 1}, 2)

    run(story)


def test_faults_are_told_all_at_once_with_causes(run: Run) -> None:
    """422 with the object's name and each fault as a cause."""

    async def story(client: Client) -> None:
        with pytest.raises(
            Invalid, match=r'Widget.example.com "w" is invalid: spec.size: Invalid value: -1: must not be negative'
        ) as caught:
            await client.create(WIDGET, "w", spec={"size": -1})
        assert caught.value.details is not None
        assert caught.value.details["causes"][0]["field"] == "spec.size"

    run(story)


def test_warnings_reach_the_writer(run: Run) -> None:
    """Of the strategy, of the version, and of unknown fields."""

    async def story(client: Client) -> None:
        body = {
            "apiVersion": WIDGET.api_version,
            "kind": "Widget",
            "metadata": {"name": "w"},
            "spec": {"size": 13},
            "extra": 1,
        }
        answer = await client.raw("POST", WIDGET.path("default"), body)
        assert list(answer.warnings) == ['unknown field "extra"', "size 13 brings bad luck"]
        ignored = await client.raw(
            "POST", WIDGET.path("default"), {**body, "metadata": {"name": "v"}}, fieldValidation="Ignore"
        )
        assert list(ignored.warnings) == ["size 13 brings bad luck"]
        old = await client.raw("GET", WIDGET_OLD.path("default", "w"))
        assert list(old.warnings) == ["example.com/v1alpha1 Widget is deprecated"]
        with pytest.raises(BadRequest, match=r'strict decoding error: unknown field "extra"'):
            await client.ask("POST", WIDGET.path("default"), body, fieldValidation="Strict")

    run(story)


def test_duplicate_fields_are_told(run: Run) -> None:
    """JSON that repeats a field is refused by strict validation, with the path."""

    async def story(client: Client) -> None:
        body = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":1,"size":2}}'
        answer = await client.raw("POST", WIDGET.path("default"), body, fieldValidation="Strict")
        assert answer.status == 400
        assert answer.body["message"] == 'strict decoding error: duplicate field "spec.size"'
        assert list((await client.raw("POST", WIDGET.path("default"), body)).warnings) == [
            'duplicate field "spec.size"'
        ]

    run(story)


def test_dry_runs_store_nothing(run: Run) -> None:
    """All writes answer as they would, and leave no trace."""

    async def story(client: Client) -> None:
        revision = client.server.store.revision
        made = await client.create(WIDGET, "w", query={"dryRun": "All"})
        assert made["metadata"]["uid"]
        assert client.server.store.revision == revision
        made = await client.create(WIDGET, "w", spec={"size": 1})
        changed = await client.ask("PUT", WIDGET.path("default", "w"), {**made, "spec": {"size": 3}}, dryRun="All")
        assert changed["spec"] == {"size": 3}
        await client.ask("DELETE", WIDGET.path("default", "w"), dryRun="All")
        assert await client.ask("GET", WIDGET.path("default", "w")) == made
        with pytest.raises(Invalid, match=r'dryRun: Unsupported value: \["Some"]'):
            await client.create(WIDGET, "x", query={"dryRun": "Some"})

    run(story)


def test_finalizers_hold_a_deleted_object(run: Run) -> None:
    """It stays, marked, until the last finalizer is taken off; then it is gone at once."""

    async def story(client: Client) -> None:
        path = WIDGET.path("default", "w")
        await client.create(WIDGET, "w", metadata={"finalizers": ["example.com/f"]})
        held = await client.ask("DELETE", path)
        assert held["metadata"]["deletionTimestamp"] == "2001-09-09T01:46:40Z"
        assert held["metadata"]["generation"] == 2
        assert await client.ask("DELETE", path) == held
        await client.ask("PUT", path, {**held, "metadata": {**held["metadata"], "finalizers": []}})
        with pytest.raises(NotFound):
            await client.ask("GET", path)

    run(story)


@pytest.mark.parametrize(
    ("policy", "want"),
    [("Background", None), ("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("", None)],
)
def test_propagation_becomes_a_finalizer(run: Run, policy: str, want: list[str] | None) -> None:
    """The garbage collector answers to it."""

    async def story(client: Client) -> None:
        await client.create(WIDGET, "w")
        answer = await client.ask(
            "DELETE",
            WIDGET.path("default", "w"),
            {"kind": "DeleteOptions", "apiVersion": "v1", **({"propagationPolicy": policy} if policy else {})},
        )
        if want is None:
            assert (answer["kind"], answer["status"], answer["details"]["name"]) == ("Status", "Success", "w")
        else:
            assert answer["metadata"]["finalizers"] == want

    run(story)


def test_deletion_has_preconditions(run: Run) -> None:
    """A UID or resource version that is not the present one is a conflict."""

    async def story(client: Client) -> None:
        made = await client.create(WIDGET, "w")
        path = WIDGET.path("default", "w")
        with pytest.raises(Conflict, match=r"the UID in the precondition \(x\) does not match the UID in record"):
            await client.ask("DELETE", path, {"preconditions": {"uid": "x"}})
        with pytest.raises(Conflict, match=r"the ResourceVersion in the precondition \(1\) does not match"):
            await client.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}})
        await client.ask("DELETE", path, {"preconditions": {"uid": made["metadata"]["uid"]}})

    run(story)


def test_pods_get_time_to_end(run: Run) -> None:
    """A bound pod is marked with its grace, which a second deletion may shorten; 0 removes it."""

    async def story(client: Client) -> None:
        path = POD.path("default", "p")
        await client.create(POD, "p", spec={"nodeName": "n"})
        marked = await client.ask("DELETE", path)
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
        assert marked["metadata"]["deletionTimestamp"] == "2001-09-09T01:47:10Z"
        assert (await client.ask("DELETE", path, gracePeriodSeconds="60"))["metadata"] == marked["metadata"]
        shortened = await client.ask("DELETE", path, {"gracePeriodSeconds": 5})
        assert shortened["metadata"]["deletionTimestamp"] == "2001-09-09T01:46:45Z"
        await client.ask("DELETE", path, {"gracePeriodSeconds": 0})
        with pytest.raises(NotFound):
            await client.ask("GET", path)
        await client.create(POD, "q", spec={})
        assert (await client.ask("DELETE", POD.path("default", "q")))["kind"] == "Pod"

    run(story)


def test_collections_are_deleted_by_selector(run: Run) -> None:
    """Only what matches goes."""

    async def story(client: Client) -> None:
        for name, team in (("a", "x"), ("b", "y"), ("c", "x")):
            await client.create(WIDGET, name, metadata={"labels": {"team": team}})
        gone = await client.ask("DELETE", WIDGET.path("default"), labelSelector="team=x")
        assert [obj["metadata"]["name"] for obj in gone["items"]] == ["a", "c"]
        left = await client.ask("GET", WIDGET.path("default"))
        assert [obj["metadata"]["name"] for obj in left["items"]] == ["b"]

    run(story)


def test_terminating_namespaces_take_nothing_new(run: Run) -> None:
    """403 with the cause that controllers look for."""

    async def story(client: Client) -> None:
        await client.create(NAMESPACE, "ns", "", metadata={"finalizers": ["example.com/f"]})
        await client.ask("DELETE", NAMESPACE.path("", "ns"))
        with pytest.raises(
            Forbidden, match=r"unable to create new content in namespace ns because it is being terminated"
        ) as caught:
            await client.create(WIDGET, "w", "ns")
        assert caught.value.details is not None
        assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"

    run(story)


def test_lists_come_in_pages_of_one_state(run: Run) -> None:
    """Later pages show the state of the first, whatever happened since."""

    async def story(client: Client) -> None:
        for name in "abcde":
            await client.create(WIDGET, name)
        first = await client.ask("GET", WIDGET.path("default"), limit="2")
        assert first["metadata"]["remainingItemCount"] == 3
        await client.ask("DELETE", WIDGET.path("default", "c"))
        await client.create(WIDGET, "cc")
        token = first["metadata"]["continue"]
        second = await client.ask("GET", WIDGET.path("default"), limit="2", **{"continue": token})
        third = await client.ask(
            "GET", WIDGET.path("default"), limit="2", **{"continue": second["metadata"]["continue"]}
        )
        pages = [[obj["metadata"]["name"] for obj in page["items"]] for page in (first, second, third)]
        assert pages == [["a", "b"], ["c", "d"], ["e"]]
        assert "continue" not in third["metadata"]
        assert first["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
        exact = await client.ask(
            "GET",
            WIDGET.path("default"),
            resourceVersion=first["metadata"]["resourceVersion"],
            resourceVersionMatch="Exact",
        )
        assert [obj["metadata"]["name"] for obj in exact["items"]] == list("abcde")
        with pytest.raises(Timeout, match=r"Too large resource version: 999999"):
            await client.ask("GET", WIDGET.path("default"), resourceVersion="999999")
        with pytest.raises(BadRequest, match=r"continue key is not valid"):
            await client.ask("GET", WIDGET.path("default"), **{"continue": "nonsense"})

    run(story)


def test_versions_are_converted(run: Run) -> None:
    """One object, two versions: reads, writes, lists and watches."""

    async def story(client: Client) -> None:
        made = await client.create(WIDGET_OLD, "w", spec={"length": 4})
        assert (made["apiVersion"], made["spec"]) == ("example.com/v1alpha1", {"length": 4})
        new = await client.ask("GET", WIDGET.path("default", "w"))
        assert (new["apiVersion"], new["spec"]) == ("example.com/v1", {"size": 4})
        listed = await client.ask("GET", WIDGET_OLD.path())
        assert listed["items"] == [made]
        changed = await client.ask("PUT", WIDGET_OLD.path("default", "w"), {**made, "spec": {"length": 5}})
        assert changed["metadata"]["generation"] == 2
        lines = await watch(client, WIDGET_OLD.path(), made["metadata"]["resourceVersion"], 1)
        assert lines[0].object == changed

    run(story)


async def watch(client: Client, path: str, after: str, count: int, **query: str) -> list[WatchLine]:
    lines = []
    async for line in client.transport.watch(ApiRequest("GET", path, {"resourceVersion": after, **query})):
        lines.append(line)
        if len(lines) == count:
            break
    return lines


def told(lines: list[WatchLine]) -> list[tuple[str, str]]:
    return [(line.type, line.object["metadata"].get("name", "")) for line in lines]


def test_watches_resume_and_select(run: Run) -> None:
    """From a revision on; with a selector objects come and go as they begin and cease to match."""

    async def story(client: Client) -> None:
        start = str(client.server.store.revision)
        first = await client.create(WIDGET, "w", metadata={"labels": {"team": "x"}})
        await client.create(WIDGET, "other", metadata={"labels": {"team": "y"}})
        moved = await client.ask(
            "PUT", WIDGET.path("default", "w"), {**first, "metadata": {**first["metadata"], "labels": {"team": "y"}}}
        )
        await client.ask(
            "PUT", WIDGET.path("default", "w"), {**moved, "metadata": {**moved["metadata"], "labels": {"team": "x"}}}
        )
        await client.ask("DELETE", WIDGET.path("default", "w"))
        everything = await watch(client, WIDGET.path(), start, 5)
        assert told(everything) == [
            ("ADDED", "w"),
            ("ADDED", "other"),
            ("MODIFIED", "w"),
            ("MODIFIED", "w"),
            ("DELETED", "w"),
        ]
        selected = await watch(client, WIDGET.path(), start, 4, labelSelector="team=x")
        assert told(selected) == [("ADDED", "w"), ("DELETED", "w"), ("ADDED", "w"), ("DELETED", "w")]
        assert selected[1].object["metadata"]["resourceVersion"] == moved["metadata"]["resourceVersion"]
        named = await watch(client, WIDGET.path(), start, 1, fieldSelector="metadata.name=other")
        assert told(named) == [("ADDED", "other")]

    run(story)


def test_watches_can_begin_with_the_present(run: Run) -> None:
    """Without a revision, and with sendInitialEvents, whose end is marked by a bookmark."""

    async def story(client: Client) -> None:
        await client.create(WIDGET, "a")
        assert told(await watch(client, WIDGET.path(), "", 1)) == [("ADDED", "a")]
        streamed = await watch(
            client,
            WIDGET.path(),
            "",
            2,
            sendInitialEvents="true",
            resourceVersionMatch="NotOlderThan",
            allowWatchBookmarks="true",
        )
        assert told(streamed) == [("ADDED", "a"), ("BOOKMARK", "")]
        assert streamed[1].object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        with pytest.raises(Invalid, match=r"sendInitialEvents requires setting resourceVersionMatch"):
            await watch(client, WIDGET.path(), "", 1, sendInitialEvents="true")

    run(story)


def test_watches_follow_live_and_end_at_their_timeout(run: Run) -> None:
    """A sleeping watch is woken by a write; the timeout ends it with a bookmark."""

    async def story(client: Client) -> None:
        pending = asyncio.create_task(watch(client, WIDGET.path("default"), str(client.server.store.revision), 1))
        await asyncio.sleep(0)
        await client.create(POD, "p", spec={})
        await client.create(WIDGET, "w")
        assert told(await pending) == [("ADDED", "w")]
        ended = await watch(
            client, WIDGET.path(), str(client.server.store.revision), 99, timeoutSeconds="1", allowWatchBookmarks="true"
        )
        assert told(ended) == [("BOOKMARK", "")]

    run(story)


def test_watches_of_a_forgotten_past_are_expired(run: Run) -> None:
    """At once when it is known at once, else as an error in the stream."""

    async def story(client: Client) -> None:
        await client.create(WIDGET, "w")
        storage = client.server.store.storage("widgets.example.com")
        storage.covered_after = client.server.store.revision
        with pytest.raises(Expired, match=r"too old resource version: 1"):
            await watch(client, WIDGET.path(), "1", 1)
        later = client.transport.watch(
            ApiRequest("GET", WIDGET.path(), {"resourceVersion": str(client.server.store.revision)})
        )
        pending = asyncio.ensure_future(anext(later))
        await asyncio.sleep(0)
        storage.covered_after = client.server.store.revision + 5
        await client.create(WIDGET, "v")
        with pytest.raises(Expired):
            await pending

    run(story)


def test_pods_are_bound_once(run: Run) -> None:
    """Binding sets the node and the condition; gates, deletion and a second binding conflict."""

    async def story(client: Client) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p"},
            "target": {"kind": "Node", "name": "n1"},
        }
        await client.create(POD, "p", spec={"schedulingGates": [{"name": "g"}]})
        path = POD.path("default", "p", "binding")
        with pytest.raises(Conflict, match=r"non-empty .spec.schedulingGates"):
            await client.ask("POST", path, binding)
        await client.create(POD, "q", spec={})
        assert (await client.ask("POST", POD.path("default", "q", "binding"), binding | {"metadata": {"name": "q"}}))[
            "status"
        ] == "Success"
        bound = await client.ask("GET", POD.path("default", "q"))
        assert bound["spec"]["nodeName"] == "n1"
        assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
        with pytest.raises(
            Conflict, match=r'Operation cannot be fulfilled on pods/binding "q": pod q is already assigned to node "n1"'
        ):
            await client.ask("POST", POD.path("default", "q", "binding"), binding | {"metadata": {"name": "q"}})
        selected = await client.ask("GET", POD.path(), fieldSelector="spec.nodeName=n1")
        assert [obj["metadata"]["name"] for obj in selected["items"]] == ["q"]

    run(story)


def test_scale_is_a_view_of_its_object(run: Run) -> None:
    """Reading gives the numbers; writing changes the replicas alone and counts the generation."""

    async def story(client: Client) -> None:
        await client.create(WIDGET, "w", spec={"size": 2, "color": "red"})
        path = WIDGET.path("default", "w", "scale")
        scale = await client.ask("GET", path)
        assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 2}, {"replicas": 0})
        changed = await client.ask("PUT", path, {**scale, "spec": {"replicas": 7}})
        assert changed["spec"] == {"replicas": 7}
        widget = await client.ask("GET", WIDGET.path("default", "w"))
        assert (widget["spec"], widget["metadata"]["generation"]) == ({"size": 7, "color": "red"}, 2)
        with pytest.raises(Conflict):
            await client.ask("PUT", path, {**scale, "spec": {"replicas": 8}})
        with pytest.raises(Invalid, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"):
            await client.ask("PUT", path, {**changed, "spec": {"replicas": -1}})

    run(story)


class Painter:
    """Admission that paints widgets, and refuses green ones."""

    def __init__(self) -> None:
        self.seen: list[tuple[Operation, str]] = []

    def mutate(self, request: AdmissionRequest) -> Obj:
        if request.kind.kind != "Widget" or request.subresource:
            return request.obj
        spec = {"color": "red", **request.obj.get("spec", {})}
        return request.obj if spec == request.obj.get("spec") else {**request.obj, "spec": spec, "junk": True}

    def validate(self, request: AdmissionRequest) -> None:
        self.seen.append((request.operation, request.subresource))
        if request.obj.get("spec", {}).get("color") == "green":
            raise Forbidden('admission webhook "paint.example.com" denied the request: green is out of stock')


def test_webhooks_change_and_refuse(run: Run) -> None:
    """Mutating ones change the object before validation; their unknown fields are dropped; validating ones see the result."""

    async def story(client: Client) -> None:
        painter = Painter()
        client.server.set_admission(painter)
        made = await client.create(WIDGET, "w", spec={"size": 1})
        assert made["spec"] == {"size": 1, "color": "red"}
        assert "junk" not in made
        with pytest.raises(Forbidden, match=r'admission webhook "paint.example.com" denied the request'):
            await client.ask("PUT", WIDGET.path("default", "w"), {**made, "spec": {"color": "green"}})
        await client.ask("PUT", WIDGET.path("default", "w", "status"), {**made, "status": {"ok": True}})
        await client.ask("DELETE", WIDGET.path("default", "w"))
        assert painter.seen == [
            (Operation.CREATE, ""),
            (Operation.UPDATE, ""),
            (Operation.UPDATE, "status"),
            (Operation.DELETE, ""),
        ]

    run(story)


def test_bugs_are_answered_not_thrown(run: Run) -> None:
    """An exception that is no ApiError becomes a 500 that says so."""

    async def story(client: Client) -> None:
        def fail(_: HttpRequest) -> None:
            raise ZeroDivisionError("oops")

        answer = await ApiHandler(client.server.backend, (fail,)).handle(HttpRequest("GET", "/x"))
        assert isinstance(answer, Response)
        assert answer.status == 500
        assert "ZeroDivisionError: oops" in answer.body["message"]

    run(story)


def test_what_is_nested_too_deeply_is_refused(run: Run) -> None:
    """It is the writer's fault, and nothing of it is kept; a hundred levels are fine."""

    async def story(client: Client) -> None:
        for name, levels, want in (("fine", 100, 201), ("deep", 2000, 400)):
            color: Any = "blue"
            for _ in range(levels):
                color = {"a": color}
            body = {
                "apiVersion": WIDGET.api_version,
                "kind": "Widget",
                "metadata": {"name": name},
                "spec": {"color": color},
            }
            answer = await client.raw("POST", WIDGET.path("default"), body)
            assert answer.status == want
        assert "nested too deeply" in answer.body["message"]
        listed = await client.ask("GET", WIDGET.path("default"))
        assert [obj["metadata"]["name"] for obj in listed["items"]] == ["fine"]

    run(story)


def test_access_reviews_say_what_is_true(run: Run) -> None:
    """Nothing is enforced, and the answer says so."""

    async def story(client: Client) -> None:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "get"}},
        }
        answer = await client.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        assert answer["status"]["allowed"] is True
        assert "does not enforce" in answer["status"]["reason"]
        whoami = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        said = await client.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", whoami)
        assert said["status"]["userInfo"]["groups"] == ["system:masters", "system:authenticated"]

    run(story)
