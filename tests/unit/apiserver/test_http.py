"""The server on a socket: TLS, who may come in, encoding, watches, limits."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from pykueue.api.errors import ConfigError
from pykueue.api.kinds import CONFIG_MAP, NAMESPACE
from pykueue.api.objects import Obj
from pykueue.apiserver.messages import User
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.server import EmbeddedApiServer
from pykueue.apiserver.strategy import Strategy
from pykueue.ports.transport import ApiRequest


class Warner(Strategy):
    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        return ['say "hi"\nfriend']


RESOURCES = [Resource(NAMESPACE), Resource(CONFIG_MAP, strategy=Warner())]
MAPS = "/api/v1/namespaces/default/configmaps"


def make(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Client:
    """A session with the credentials of the server's kubeconfig."""

    def __init__(self, server: EmbeddedApiServer, data_dir: Path, session: aiohttp.ClientSession) -> None:
        self.server, self.data_dir, self.session = server, data_dir, session

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.server.url + path, data=data, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text, answer


def client_context(data_dir: Path, *, certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(data_dir / "pki/ca.crt"))
    if certificate:
        context.load_cert_chain(data_dir / "pki/admin.crt", data_dir / "pki/admin.key")
    return context


def serve(tmp_path: Path, story: Callable[[Client], Awaitable[None]], *, certificate: bool = True) -> None:
    """Run a story against a listening server."""

    async def whole() -> None:
        server = EmbeddedApiServer(RESOURCES, data_dir=tmp_path)
        await server.listen()
        connector = aiohttp.TCPConnector(ssl=client_context(tmp_path, certificate=certificate))
        try:
            async with aiohttp.ClientSession(connector=connector) as session:
                await asyncio.wait_for(story(Client(server, tmp_path, session)), 20)
        finally:
            await server.close()

    asyncio.run(whole())


def test_objects_travel_as_json(tmp_path: Path) -> None:
    """Created, read and listed over HTTPS with the client certificate; warnings are headers."""

    async def story(client: Client) -> None:
        status, made, answer = await client.ask("POST", MAPS, make("a", k="v"))
        assert (status, made["data"]) == (201, {"k": "v"})
        assert answer.headers["Warning"] == '299 - "say \\"hi\\" friend"'
        status, listed, answer = await client.ask(
            "GET", MAPS, Accept="application/vnd.kubernetes.protobuf,application/json"
        )
        assert (status, listed["items"], answer.content_type) == (200, [made], "application/json")
        status, refused, _ = await client.ask("GET", f"{MAPS}/b")
        assert (status, refused["kind"], refused["reason"]) == (404, "Status", "NotFound")

    serve(tmp_path, story)


def test_yaml_bodies_are_read_like_json(tmp_path: Path) -> None:
    """Timestamps stay text, as in JSON."""

    async def story(client: Client) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {when: 2020-01-01T00:00:00Z}\n"
        status, made, _ = await client.ask("POST", MAPS, text, **{"Content-Type": "application/yaml"})
        assert (status, made["data"]) == (201, {"when": "2020-01-01T00:00:00Z"})
        status, refused, _ = await client.ask("POST", MAPS, "a: [", **{"Content-Type": "application/yaml"})
        assert (status, refused["reason"]) == (400, "BadRequest")
        text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {2: &x one, true: *x}}"
        status, made, _ = await client.ask("POST", MAPS, text, **{"Content-Type": "application/yaml"})
        assert (status, made["data"]) == (201, {"2": "one", "true": "one"})

    serve(tmp_path, story)


_LAUGHS = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefghijk")
)


@pytest.mark.parametrize(
    ("body", "content_type", "want_status", "want"),
    [
        (b"{", "application/json", 400, "(must be of type ConfigMap): couldn't get version/kind; json parse error"),
        (b"[]", "application/json", 400, "the body must be an object, but is list"),
        (b"", "application/json", 400, "the body must be an object, but is nothing"),
        (b"x", "text/plain", 415, "the body of the request was in an unknown format"),
        (_LAUGHS.encode(), "application/yaml", 400, "yaml: document contains excessive aliasing"),
        (b"a: &a [*a]", "application/yaml", 400, "maximum recursion depth exceeded"),
        (b"a: .nan", "application/yaml", 400, "JSON has no value for nan"),
        (b"a: !!binary aGk=", "application/yaml", 400, "JSON has no value for b'hi'"),
        (b"{[a]: b}", "application/yaml", 400, "found unhashable key"),
        (b"{1.5: b}", "application/yaml", 400, "unsupported map key: 1.5"),
        (b"k8s", "application/vnd.kubernetes.protobuf", 400, "magic number"),
        (b" " * (3 * 1024 * 1024 + 1), "application/json", 413, "limit is 3145728 bytes"),
        (b'{"kind":"Secret"}', "application/json", 400, "cannot be handled as a ConfigMap: send a ConfigMap of v1"),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read(
    tmp_path: Path, body: bytes, content_type: str, want_status: int, want: str
) -> None:
    """Each fault has its status and says what is wrong."""

    async def story(client: Client) -> None:
        status, refused, _ = await client.ask("POST", MAPS, body, **{"Content-Type": content_type})
        assert status == want_status
        assert want in refused["message"]

    serve(tmp_path, story)


def test_strangers_stay_outside(tmp_path: Path) -> None:
    """Without credentials only health and version are told; the token opens the rest."""

    async def story(client: Client) -> None:
        assert (await client.ask("GET", MAPS))[:2][0] == 401
        assert (await client.ask("GET", MAPS, Authorization="Bearer wrong"))[1]["reason"] == "Unauthorized"
        assert (await client.ask("GET", "/readyz"))[:2] == (200, "ok")
        assert (await client.ask("GET", "/version"))[1]["gitVersion"].endswith("+pykueue")
        token = (client.data_dir / "pki/token").read_text()
        assert (await client.ask("GET", MAPS, Authorization=f"Bearer {token}"))[0] == 200

    serve(tmp_path, story, certificate=False)


def test_watches_stream_lines(tmp_path: Path) -> None:
    """Each change is one line of JSON, encoded once for all watchers; closing the server ends the stream."""

    async def story(client: Client) -> None:
        revision = client.server.store.revision
        url = f"{client.server.url}{MAPS}?watch=1&resourceVersion={revision}"
        async with client.session.get(url) as first, client.session.get(url) as second:
            await client.ask("POST", MAPS, make("a"))
            lines = [await stream.content.readline() for stream in (first, second)]
            assert lines[0] == lines[1]
            event = json.loads(lines[0])
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
            await client.ask("DELETE", f"{MAPS}/a")
            assert json.loads(await first.content.readline())["type"] == "DELETED"
        change = client.server.store.storage("configmaps").events[-2]
        assert [form for form in change.encoded if form[0] == "line"] == [("line", "ADDED", CONFIG_MAP)]

    serve(tmp_path, story)


def test_identity_outlives_restarts(tmp_path: Path) -> None:
    """The same authority, token and objects; keys are private to their owner."""
    kubeconfigs = []

    async def once() -> None:
        server = EmbeddedApiServer(RESOURCES, data_dir=tmp_path)
        kubeconfigs.append(yaml.safe_load(await server.listen()))
        await server.close()

    asyncio.run(once())
    asyncio.run(once())
    users = [kubeconfig["users"] for kubeconfig in kubeconfigs]
    assert users[0] == users[1]
    for name in ("ca.key", "server.key", "admin.key", "token"):
        assert (tmp_path / "pki" / name).stat().st_mode & 0o077 == 0


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """The second server on one port is refused with what to do."""

    async def whole() -> None:
        first, second = EmbeddedApiServer(RESOURCES), EmbeddedApiServer(RESOURCES)
        await first.listen()
        port = int(first.url.rpartition(":")[2])
        try:
            with pytest.raises(ConfigError, match="choose another port"):
                await second.listen(port=port)
        finally:
            await first.close()
            await second.close()

    asyncio.run(whole())


def test_damaged_certificates_are_told(tmp_path: Path) -> None:
    """A broken key is not replaced behind the owner's back."""

    async def whole() -> None:
        (tmp_path / "pki").mkdir()
        (tmp_path / "pki/ca.key").write_text("nonsense")
        (tmp_path / "pki/ca.crt").write_text("nonsense")
        server = EmbeddedApiServer(RESOURCES, data_dir=tmp_path)
        try:
            with pytest.raises(ConfigError, match="remove this folder to have new ones made"):
                await server.listen()
        finally:
            await server.close()

    asyncio.run(whole())


def test_in_process_callers_have_a_name(tmp_path: Path) -> None:
    """The transport asks as whoever it was made for."""

    async def whole() -> None:
        server = EmbeddedApiServer(RESOURCES)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        transport = server.transport(user=User("alice", ("team",)))
        said = await transport.request(
            ApiRequest("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
        )
        assert said["status"]["userInfo"] == {"username": "alice", "groups": ["team"]}
        await server.close()

    asyncio.run(whole())
    assert list(tmp_path.iterdir()) == []
