"""Webhooks behind TLS and in process: the same webhook, the same answers."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from typing import Any

import aiohttp
import jsonpatch
import msgspec
import pytest

from pykueue.api.errors import ApiError, FieldError, Forbidden, InternalError
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import POD, SECRET
from pykueue.api.objects import Obj, ObjectKey
from pykueue.ports.admission import AdmissionRequest, MatchCondition, Operation
from pykueue.ports.reader import Indexer, Reader
from pykueue.runtime.admission import InProcessAdmission, WebhookSet
from pykueue.runtime.certificates import CertificateRotator, is_current, make_pair
from pykueue.runtime.clock import ManualClock, SystemClock
from pykueue.runtime.serving import Server
from pykueue.runtime.webhook_server import diff, mutating_path, validating_path, webhook_application
from support.memory_api import MemoryApi


class PodHook:
    kind = POD
    mutating_operations = (Operation.CREATE,)
    validating_operations = (Operation.CREATE, Operation.UPDATE)
    mutating_conditions: Sequence[MatchCondition] = ()
    validating_conditions: Sequence[MatchCondition] = ()
    validated_subresources: Sequence[str] = ()
    skips_system_namespaces = True

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        return {**request.obj, "spec": {"gated": True}}

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        if request.name == "fault":
            raise ZeroDivisionError
        if request.name == "bad":
            return (FieldError("Required value", "spec.a", detail="say a"), FieldError("Forbidden", "spec.b"))
        return ()


def request(name: str, namespace: str = "ns", operation: Operation = Operation.CREATE) -> AdmissionRequest:
    return AdmissionRequest(operation, POD, namespace, name, {"metadata": {"name": name}})


CHAIN = InProcessAdmission([WebhookSet("kueue-mutating-webhook-configuration", [PodHook()], Indexer())])


def test_in_process_defaults_follow_the_rules() -> None:
    """Creations are defaulted; other operations and system namespaces are left alone."""
    assert CHAIN.mutate(request("a"))["spec"] == {"gated": True}
    assert "spec" not in CHAIN.mutate(request("a", operation=Operation.UPDATE))
    assert "spec" not in CHAIN.mutate(request("a", namespace="kube-system"))


@pytest.mark.parametrize(
    ("name", "want_type", "want_text"),
    [
        (
            "bad",
            Forbidden,
            'admission webhook "vpod.kb.io" denied the request: [spec.a: Required value: say a, spec.b: Forbidden]',
        ),
        ("fault", InternalError, 'Internal error occurred: failed calling webhook "vpod.kb.io": unexpected error'),
    ],
)
def test_in_process_refusals_read_like_the_api_servers(name: str, want_type: type[ApiError], want_text: str) -> None:
    """The webhook's name and the text, as kubectl shows them."""
    with pytest.raises(want_type) as caught:
        CHAIN.validate(request(name))
    assert str(caught.value).startswith(want_text)


def test_over_tls() -> None:
    """Certificates from the rotator, a patch for defaults, 403 with the bare text for faults, 200 for others."""

    async def main() -> None:
        api, clock = MemoryApi(), SystemClock()
        rotator = CertificateRotator(
            api, clock, namespace="kueue-system", secret="cert", service="kueue-webhook-service", names=("127.0.0.1",)
        )
        pair = await rotator.ensure()
        app = webhook_application([WebhookSet("kueue", [PodHook()], Indexer())], lambda obj, version: obj)
        server = Server(app, "127.0.0.1", 0, rotator.context)
        await server.start()
        trust = ssl.create_default_context(cadata=pair.ca_cert.decode())
        async with aiohttp.ClientSession(base_url=f"https://127.0.0.1:{server.port}") as session:

            async def ask(path: str, name: str) -> dict[str, Any]:
                review = {
                    "request": {"uid": "u", "operation": "CREATE", "name": name, "object": {"metadata": {"name": name}}}
                }
                async with session.post(path, json=review, ssl=trust) as answer:
                    response: dict[str, Any] = (await answer.json())["response"]
                    return response

            mutated = await ask(mutating_path(POD), "a")
            want = [{"op": "add", "path": "/spec", "value": {"gated": True}}]
            assert msgspec.json.decode(base64.b64decode(mutated["patch"])) == want
            refused = await ask(validating_path(POD), "bad")
            assert refused["allowed"] is False
            assert refused["status"]["code"] == 403
            assert refused["status"]["message"] == "[spec.a: Required value: say a, spec.b: Forbidden]"
            assert (await ask(validating_path(POD), "good")) == {"uid": "u", "allowed": True}
        await server.stop()

    asyncio.run(main())


def test_replicas_share_a_certificate_and_renew_it() -> None:
    """The second replica serves what the first made; less than 90 days before the end a new one is made."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        one, two = (
            CertificateRotator(api, clock, namespace="n", secret="cert", service="kueue-webhook-service")
            for _ in range(2)
        )
        first = await one.ensure()
        assert await two.ensure() == first
        await clock.advance(274 * 86400 * SECOND_US)
        assert await one.ensure() == first
        await clock.advance(2 * 86400 * SECOND_US)
        renewed = await one.ensure()
        assert renewed != first
        assert await two.ensure() == renewed
        assert set(api.get(SECRET, ObjectKey("n", "cert"))["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}

    asyncio.run(main())


def test_a_certificate_for_another_name_is_not_current() -> None:
    """Names are part of what makes a certificate good."""
    now = Instant(1_700_000_000 * SECOND_US)
    pair = make_pair(["a.ns.svc"], now)
    assert is_current(pair, ["a.ns.svc"], now)
    assert not is_current(pair, ["b.ns.svc"], now)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": {"b/c": 1, "d~e": 2}}, {"a": {"b/c": 2}, "f": []}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {"a": {}}),
    ],
)
def test_a_diff_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Applying the patch with an independent implementation gives the new object."""
    assert msgspec.json.encode(jsonpatch.apply_patch(old, diff(old, new))) == msgspec.json.encode(new)
