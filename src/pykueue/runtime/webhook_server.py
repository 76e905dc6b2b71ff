"""Webhooks behind TLS: `AdmissionReview` and `ConversionReview` v1, at the paths that the shipped configurations name.

A mutating webhook answers with a JSON patch from the object as it came to the object as it should be; a refusal has code 403 and
the text alone: the API server puts the webhook's name before it. Webhooks of kinds whose integration is switched off are given
as well, and admit everything: the configurations always name them. Source: webhooks.md §1, §2.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from pykueue.api.errors import ApiError, BadRequest
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.ports.admission import AdmissionRequest, Operation, Webhook
from pykueue.runtime.admission import WebhookSet, mutate_with, validate_with

_BODY_BYTES_MAX = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
Converter = Callable[[Obj, str], Obj]
"""From an object and the version wanted to the object in that version."""


def mutating_path(kind: Kind) -> str:
    """`/mutate-batch-v1-job`; the core group gives a double dash."""
    return f"/mutate-{kind.group.replace('.', '-')}-{kind.version}-{kind.kind.lower()}"


def validating_path(kind: Kind) -> str:
    """`/validate-batch-v1-job`."""
    return f"/validate-{kind.group.replace('.', '-')}-{kind.version}-{kind.kind.lower()}"


def webhook_application(sets: Sequence[WebhookSet], convert: Converter | None = None) -> web.Application:
    """The application that answers an API server.

    Args:
        sets: the webhooks, with the caches they look at.
        convert: between versions of our kinds; None serves no `/convert`.
    """
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    for registered in sets:
        for webhook in registered.webhooks:
            app.router.add_post(mutating_path(webhook.kind), _admission(registered, webhook, mutating=True))
            app.router.add_post(validating_path(webhook.kind), _admission(registered, webhook, mutating=False))
    if convert is not None:
        app.router.add_post("/convert", _conversion(convert))
    return app


def diff(old: Any, new: Any, path: str = "") -> list[dict[str, Any]]:
    """The JSON patch from one value to another: exact, and small where objects share structure."""
    if old is new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        operations: list[dict[str, Any]] = [
            {"op": "remove", "path": f"{path}/{_token(name)}"} for name in old if name not in new
        ]
        for name, value in new.items():
            inner = f"{path}/{_token(name)}"
            if name in old:
                operations += diff(old[name], value, inner)
            else:
                operations.append({"op": "add", "path": inner, "value": value})
        return operations
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return [op for index in range(len(new)) for op in diff(old[index], new[index], f"{path}/{index}")]
    if type(old) is type(new) and isinstance(old, str | int | float) and old == new:
        return []  # compared by type as well: to Python, 1 equals True
    return [{"op": "replace", "path": path, "value": new}]


def _admission(registered: WebhookSet, webhook: Webhook, *, mutating: bool) -> Callable[[web.Request], Any]:
    async def answer(raw: web.Request) -> web.Response:
        review = await _read(raw)
        request = _request(review, webhook.kind)
        response: dict[str, Any] = {"uid": review["request"].get("uid", ""), "allowed": True}
        try:
            if mutating:
                operations = diff(request.obj, mutate_with(webhook, request, registered.reader))
                if operations:
                    patch = msgspec.json.encode(operations)
                    response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
            else:
                validate_with(webhook, request, registered.reader)
        except ApiError as error:
            status = {"code": error.code, "reason": error.reason, "message": error.message, "status": "Failure"}
            response |= {"allowed": False, "status": status | ({"details": error.details} if error.details else {})}
        return _send("admission.k8s.io/v1", "AdmissionReview", response)

    return answer


def _conversion(convert: Converter) -> Callable[[web.Request], Any]:
    async def answer(raw: web.Request) -> web.Response:
        review = await _read(raw)
        request = review["request"]
        response: dict[str, Any] = {"uid": request.get("uid", "")}
        try:
            version = request["desiredAPIVersion"]
            converted = [convert(obj, version) for obj in request.get("objects") or ()]
            response |= {"convertedObjects": converted, "result": {"status": "Success"}}
        except Exception as fault:
            _log.exception("conversion to %s failed", request.get("desiredAPIVersion"))
            response |= {"convertedObjects": [], "result": {"status": "Failure", "message": str(fault)}}
        return _send("apiextensions.k8s.io/v1", "ConversionReview", response)

    return answer


async def _read(raw: web.Request) -> Mapping[str, Any]:
    try:
        review = msgspec.json.decode(await raw.read())
        review["request"].get("uid")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise web.HTTPBadRequest(text=f"not a review: {error}") from error
    return review  # type: ignore[no-any-return]


def _request(review: Mapping[str, Any], kind: Kind) -> AdmissionRequest:
    request = review["request"]
    try:
        return AdmissionRequest(
            operation=Operation(request["operation"]),
            kind=kind,
            namespace=request.get("namespace") or "",
            name=request.get("name") or "",
            obj=request.get("object") or {},
            old=request.get("oldObject"),
            subresource=request.get("subResource") or "",
            username=(request.get("userInfo") or {}).get("username") or "",
            dry_run=bool(request.get("dryRun")),
        )
    except (KeyError, ValueError) as error:
        raise web.HTTPBadRequest(text=BadRequest(f"not an AdmissionReview v1: {error}").message) from error


def _send(api_version: str, kind: str, response: Mapping[str, Any]) -> web.Response:
    body = msgspec.json.encode({"apiVersion": api_version, "kind": kind, "response": response})
    return web.Response(body=body, content_type="application/json")


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
