"""Other forms of objects that clients ask for in `Accept`: tables for people, metadata alone for those who need no more.

`application/json;as=Table;g=meta.k8s.io;v=v1` asks for rows and columns (`tables.py` makes them), `as=PartialObjectMetadata`
and `as=PartialObjectMetadataList` for metadata alone. The first form in the header that is served counts; plain JSON always is.
Refusals and answers that are no objects are never transformed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from pykueue.api.errors import BadRequest, NotAcceptable
from pykueue.api.instant import Instant
from pykueue.api.objects import Obj
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.watching import WatchEvent

_META_V1 = "meta.k8s.io/v1"
_INCLUDED = ("Metadata", "None", "Object")


class Form(enum.Enum):
    """How an object is written."""

    OBJECT = "object"
    TABLE = "table"
    METADATA = "metadata"


def wanted_form(accept: str) -> Form:
    """The form that an Accept header asks for.

    Raises:
        NotAcceptable: it names forms, none of which is served, and no plain one.
    """
    if ";" not in accept:
        return Form.OBJECT
    for part in accept.split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        if media_type not in {"application/json", "application/*", "*/*"}:
            continue
        said = dict(parameter.partition("=")[::2] for parameter in parameters)
        if "as" not in said:
            return Form.OBJECT
        if (said.get("g"), said.get("v")) != ("meta.k8s.io", "v1"):
            continue
        if said["as"] in {"PartialObjectMetadata", "PartialObjectMetadataList"}:
            return Form.METADATA
    raise NotAcceptable(
        "only the following media types are accepted: application/json, application/json;as=Table;g=meta.k8s.io;v=v1, "
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    )


def transformed(form: Form, request: HttpRequest, resource: Resource, body: Obj, now: Instant) -> Obj:
    """An object or list in another form; Status objects stay as they are."""
    if body.get("kind") in {"Status", "Scale"}:
        return body
    if form is Form.METADATA:
        return _metadata_of(body)
    return body


def event_form(
    form: Form, request: HttpRequest, resource: Resource, clock: Callable[[], Instant]
) -> Callable[[WatchEvent], WatchEvent]:
    """How to transform the events of one watch; only the first table of a watch has column definitions."""
    def transform(event: WatchEvent) -> WatchEvent:
        return event if event.type == "ERROR" else WatchEvent(event.type, _metadata_of(event.object))

    return transform


def included(request: HttpRequest) -> str:
    """What table rows hold of their objects.

    Raises:
        BadRequest: `includeObject` has no such value.
    """
    value = request.query.get("includeObject") or "Metadata"
    if value not in _INCLUDED:
        raise BadRequest(f'query parameter includeObject: invalid value "{value}"; use {", ".join(_INCLUDED)}')
    return value


def _metadata_of(body: Obj) -> Mapping[str, Any]:
    items = body.get("items")
    if items is None:
        return {"kind": "PartialObjectMetadata", "apiVersion": _META_V1, "metadata": body.get("metadata") or {}}
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": _META_V1,
        "metadata": body.get("metadata") or {},
        "items": [_metadata_of(item) for item in items],
    }
