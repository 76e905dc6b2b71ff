"""Webhooks under a URL, for a manager that runs outside of the cluster: told to the API server in place of the shipped Services.

What is there already, from `pykueue manifests` or from a manager that ran elsewhere, is redirected: the API server wants a Service or a
URL and refuses both. The last manager that registered itself is the one that is called.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from pykueue.api.constants import SERVICE_ACCOUNT_PREFIX
from pykueue.api.errors import AlreadyExists, NotFound
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION, KUEUE_GROUP, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Kind
from pykueue.api.objects import Obj, get_path
from pykueue.ports.transport import ApiRequest, Transport

_MERGE = "application/merge-patch+json"


def at_url(configuration: Obj, url: str, ca_bundle: bytes) -> dict[str, Any]:
    """A webhook configuration whose webhooks are reached by URL.

    Args:
        configuration: a generated one, with Services.
        url: beginning of the URLs, such as `https://127.0.0.1:9443`.
        ca_bundle: PEM of the authority.
    """
    webhooks = []
    for webhook in configuration.get("webhooks") or ():
        path = webhook["clientConfig"].get("service", {}).get("path", "")
        webhooks.append({**webhook, "clientConfig": _client(url, path, ca_bundle)})
    return {**configuration, "webhooks": webhooks}


async def register_by_url(
    transport: Transport, configurations: Sequence[Obj], converted: Sequence[str], url: str, ca_bundle: bytes
) -> None:
    """Have the API server call webhooks and conversion under a URL.

    Args:
        transport: the API server.
        configurations: the generated webhook configurations; one that is not there is made.
        converted: plurals of our kinds that are converted; a definition that is not there is left out.
        url: as of `at_url`.
        ca_bundle: as of `at_url`.

    Raises:
        PykueueError: the API server refuses.
    """
    for configuration in configurations:
        await _have(transport, at_url(configuration, url, ca_bundle))
    for plural in converted:
        name = f"{plural}.{KUEUE_GROUP}"
        try:
            present = await transport.request(ApiRequest("GET", CUSTOM_RESOURCE_DEFINITION.path(name=name)))
        except NotFound:
            continue
        if get_path(present, "spec", "conversion", "strategy") == "Webhook":
            client = {**_client(url, "/convert", ca_bundle), "service": None}
            webhook = {"webhook": {"clientConfig": client}}
            await _merge(transport, CUSTOM_RESOURCE_DEFINITION, name, {"spec": {"conversion": webhook}})


async def _have(transport: Transport, configuration: Obj) -> None:
    """Redirect a webhook configuration, or make it; several managers may do so at the same time."""
    kind = next(k for k in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS) if k.kind == configuration["kind"])
    name, webhooks = configuration["metadata"]["name"], {"webhooks": configuration["webhooks"]}
    try:
        await _merge(transport, kind, name, webhooks)
    except NotFound:
        try:
            await transport.request(ApiRequest("POST", kind.path(), body=configuration))
        except AlreadyExists:
            await _merge(transport, kind, name, webhooks)


async def own_account(transport: Transport) -> str:
    """The service account under which we ask; empty for a user's name, under which people may write as well.

    Raises:
        PykueueError: the API server does not say.
    """
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await transport.request(ApiRequest("POST", path, body=kind))
    account = str(get_path(answer, "status", "userInfo", "username") or "")
    return account if account.startswith(SERVICE_ACCOUNT_PREFIX) else ""


def _client(url: str, path: str, ca_bundle: bytes) -> dict[str, Any]:
    return {"url": url.rstrip("/") + path, "caBundle": base64.b64encode(ca_bundle).decode()}


async def _merge(transport: Transport, kind: Kind, name: str, body: Obj) -> None:
    await transport.request(ApiRequest("PATCH", kind.path(name=name), {"fieldManager": "kueue"}, dict(body), _MERGE))
