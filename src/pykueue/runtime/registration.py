"""Webhooks under a URL, and the visibility API under a host: for a manager that runs outside of the cluster, in place of the shipped Services.

An APIService can only lead to a Service, so its Service becomes an alias of the host (ExternalName). An API group that does not answer keeps
namespaces from being deleted: so a manager that ends takes its registration back, while webhooks stay.

What is there already, from `pykueue manifests` or from a manager that ran elsewhere, is redirected: the API server wants a Service or a
URL and refuses both. The last manager that registered itself is the one that is called.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from pykueue.api.constants import SERVICE_ACCOUNT_PREFIX
from pykueue.api.errors import AlreadyExists, NotFound
from pykueue.api.kinds import (
    API_SERVICE,
    CUSTOM_RESOURCE_DEFINITION,
    KUEUE_GROUP,
    MUTATING_WEBHOOKS,
    SERVICE,
    VALIDATING_WEBHOOKS,
    Kind,
)
from pykueue.api.objects import Obj, get_path, name, namespace
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
        kind = next(k for k in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS) if k.kind == configuration["kind"])
        body = at_url(configuration, url, ca_bundle)
        await _have(transport, kind, body, {"webhooks": body["webhooks"]})
    for plural in converted:
        definition = f"{plural}.{KUEUE_GROUP}"
        try:
            present = await transport.request(ApiRequest("GET", CUSTOM_RESOURCE_DEFINITION.path(name=definition)))
        except NotFound:
            continue
        if get_path(present, "spec", "conversion", "strategy") == "Webhook":
            client = {**_client(url, "/convert", ca_bundle), "service": None}
            webhook = {"webhook": {"clientConfig": client}}
            await _merge(transport, CUSTOM_RESOURCE_DEFINITION, definition, {"spec": {"conversion": webhook}})


async def register_by_host(
    transport: Transport, service: Obj, api_services: Sequence[Obj], host: str, port: int
) -> None:
    """Have the API server pass an API group on to a host.

    Args:
        transport: the API server.
        service: the generated Service that the others lead to.
        api_services: the generated APIServices.
        host: a name, or an address of IPv4.
        port: where it is served there.

    Raises:
        PykueueError: the API server refuses.
    """
    alias: dict[str, Any] = {"type": "ExternalName", "externalName": host}
    body = {**service, "spec": alias}
    await _have(transport, SERVICE, body, {"spec": {**alias, "selector": None, "ports": None}})
    for api_service in api_services:
        spec = api_service["spec"]
        body = {**api_service, "spec": {**spec, "service": {**spec["service"], "port": port}}}
        await _have(transport, API_SERVICE, body, {"spec": body["spec"]})


async def withdraw_by_host(
    transport: Transport, service: Obj, api_services: Sequence[Obj], host: str, port: int
) -> None:
    """Undo `register_by_host`, as far as it still leads to this host and port.

    Raises:
        PykueueError: the API server refuses.
    """
    try:
        found = await transport.request(ApiRequest("GET", SERVICE.path(namespace(service), name(service))))
    except NotFound:
        return
    if get_path(found, "spec", "externalName") != host:
        return
    for api_service in api_services:
        path = API_SERVICE.path(name=name(api_service))
        try:
            leads_to = await transport.request(ApiRequest("GET", path))
            if get_path(leads_to, "spec", "service", "port") == port:
                await transport.request(ApiRequest("DELETE", path))
        except NotFound:
            continue


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


async def _have(transport: Transport, kind: Kind, body: Obj, changes: Obj) -> None:
    """Change an object, or make it if it is not there; several managers may do so at the same time."""
    try:
        await _merge(transport, kind, name(body), changes, namespace(body))
    except NotFound:
        try:
            await transport.request(ApiRequest("POST", kind.path(namespace(body)), body=body))
        except AlreadyExists:
            await _merge(transport, kind, name(body), changes, namespace(body))


async def _merge(transport: Transport, kind: Kind, of: str, body: Obj, where: str = "") -> None:
    await transport.request(ApiRequest("PATCH", kind.path(where, of), {"fieldManager": "kueue"}, dict(body), _MERGE))
