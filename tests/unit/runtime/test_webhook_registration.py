"""What the API server must know of the webhooks: whom to trust, where they are, and how versions are converted."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import aiohttp
import pytest

from pykueue.api.conversion import convert
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION, Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.runtime.certificates import CertificateRotator
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.serving import Server
from pykueue.runtime.webhook_server import webhook_application
from support.memory_api import MemoryApi

CONFIGURATIONS = [
    Kind("admissionregistration.k8s.io", "v1", f"{verb}WebhookConfiguration", f"{verb.lower()}webhookconfigurations", namespaced=False)
    for verb in ("Mutating", "Validating")
]  # fmt: skip


def configuration(kind: Kind, *names: str) -> dict[str, Any]:
    webhooks = [
        {"name": n, "clientConfig": {"service": {"name": "s", "namespace": "ns", "path": f"/{n}"}}} for n in names
    ]
    prefix = kind.kind.removesuffix("WebhookConfiguration").lower()
    meta = {"name": f"kueue-{prefix}-webhook-configuration"}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "webhooks": webhooks}


def definition(plural: str, *, converted: bool) -> dict[str, Any]:
    conversion: dict[str, Any] = {"strategy": "None"}
    if converted:
        conversion = {"strategy": "Webhook", "webhook": {"clientConfig": {"service": {"name": "s"}}}}
    return {"metadata": {"name": f"{plural}.kueue.x-k8s.io"}, "spec": {"conversion": conversion}}


def bundles(api: MemoryApi, kind: Kind, name: str) -> list[Any]:
    """The authorities of a configuration's webhooks."""
    obj: Obj = api.get(kind, ObjectKey("", name))
    return [webhook["clientConfig"].get("caBundle") for webhook in obj["webhooks"]]


def test_the_authority_is_told_where_it_is_not_known() -> None:
    """Each webhook and each converted definition gets it once; a second look writes nothing."""

    async def main() -> None:
        api = JsonPatchingApi()
        for kind in CONFIGURATIONS:
            api.create(kind, configuration(kind, "a", "b"))
        api.create(CUSTOM_RESOURCE_DEFINITION, definition("workloads", converted=True))
        api.create(CUSTOM_RESOURCE_DEFINITION, definition("cohorts", converted=False))
        rotator = CertificateRotator(api, ManualClock(), namespace="ns", secret="cert", service="kueue-webhook-service")
        pair = await rotator.ensure()
        want = base64.b64encode(pair.ca_cert).decode()
        for kind in CONFIGURATIONS:
            name = configuration(kind)["metadata"]["name"]
            assert bundles(api, kind, name) == [want, want]
        workloads = api.get(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", "workloads.kueue.x-k8s.io"))
        assert workloads["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] == want
        cohorts = api.get(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", "cohorts.kueue.x-k8s.io"))
        assert cohorts["spec"]["conversion"] == {"strategy": "None"}
        assert rotator.readiness() == ""
        n_writes = sum(request.method != "GET" for request in api.requests)
        await rotator.ensure()
        assert sum(request.method != "GET" for request in api.requests) == n_writes

    asyncio.run(main())


def test_before_the_first_certificate_the_manager_is_not_ready() -> None:
    """The readiness probe says so."""
    rotator = CertificateRotator(MemoryApi(), ManualClock(), namespace="ns", secret="cert", service="s")
    assert rotator.readiness() == "certificates are not ready"


class JsonPatchingApi(MemoryApi):
    """Knows JSON patches that add."""

    def _patch(self, plural: str, object_key: ObjectKey, request: Any) -> Any:
        if request.content_type != "application/json-patch+json":
            return super()._patch(plural, object_key, request)
        import jsonpatch

        return self._store(plural, "MODIFIED", jsonpatch.apply_patch(self._existing(plural, object_key), request.body))


@pytest.mark.parametrize(
    ("version", "kind", "want"),
    [
        ("kueue.x-k8s.io/v1beta2", "ClusterQueue", {"status": "Success"}),
        ("kueue.x-k8s.io/v9", "ClusterQueue", None),
    ],
    ids=["a version that is served", "a version that is not served"],
)
def test_conversion_answers_all_or_nothing(version: str, kind: str, want: dict[str, str] | None) -> None:
    """All objects in the version asked for, or a failure with a reason and none."""

    async def main() -> None:
        server = Server(webhook_application([], convert), "127.0.0.1", 0)
        await server.start()
        obj = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": kind, "metadata": {"name": "q"}, "spec": {"cohort": "c"}}
        review = {"request": {"uid": "u", "desiredAPIVersion": version, "objects": [obj]}}
        async with (
            aiohttp.ClientSession(base_url=f"http://127.0.0.1:{server.port}") as session,
            session.post("/convert", json=review) as answer,
        ):
            told = await answer.json()
        await server.stop()
        assert (told["kind"], told["response"]["uid"]) == ("ConversionReview", "u")
        if want is None:
            assert told["response"]["result"]["status"] == "Failure"
            assert told["response"]["result"]["message"]
            assert told["response"]["convertedObjects"] == []
        else:
            assert told["response"]["result"] == want
            [converted] = told["response"]["convertedObjects"]
            assert converted["apiVersion"] == version
            assert converted["spec"]["cohortName"] == "c"

    asyncio.run(main())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"request": null}'], ids=["nothing", "a list", "no request"])
def test_what_is_no_review_is_refused(body: bytes) -> None:
    """400, not a fault of the server."""

    async def main() -> None:
        server = Server(webhook_application([], convert), "127.0.0.1", 0)
        await server.start()
        async with (
            aiohttp.ClientSession(base_url=f"http://127.0.0.1:{server.port}") as session,
            session.post("/convert", data=body) as answer,
        ):
            assert answer.status == 400
            assert "not a review" in await answer.text()
        await server.stop()

    asyncio.run(main())
