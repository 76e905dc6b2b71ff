"""Other forms of objects that clients ask for in `Accept`: tables for people, metadata alone for those who need no more.

`application/json;as=Table;g=meta.k8s.io;v=v1` asks for rows and columns (`tables/` makes them), `as=PartialObjectMetadata`
and `as=PartialObjectMetadataList` for metadata alone. The first form in the header that is served counts; plain JSON always is.
Refusals and answers that are no objects are never transformed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from pykueue.api.errors import NotAcceptable
from pykueue.api.instant import Instant
from pykueue.api.objects import Obj
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.tables import to_table
from pykueue.apiserver.watching import WatchEvent

_META_V1 = "meta.k8s.io/v1"


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
        if said["as"] == "Table":
            return Form.TABLE
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
    if form is Form.TABLE:
        include = request.query.get("includeObject", "")
        items = body.get("items")
        if items is None:
            return to_table(resource, [body], now=now, include=include)
        return to_table(resource, items, now=now, list_metadata=body.get("metadata") or {}, include=include)
    if form is Form.METADATA:
        return _metadata_of(body)
    return body


def event_form(
    form: Form, request: HttpRequest, resource: Resource, clock: Callable[[], Instant]
) -> Callable[[WatchEvent], WatchEvent]:
    """How to transform the events of one watch; only the first table of a watch has column definitions."""
    include = request.query.get("includeObject", "")
    if form is Form.TABLE:
        to_table(resource, (), now=clock(), include=include)  # refuses a wrong `includeObject` before the stream begins
    had_columns = False

    def transform(event: WatchEvent) -> WatchEvent:
        nonlocal had_columns
        if event.type == "ERROR":
            return event
        if form is Form.METADATA:
            return WatchEvent(event.type, _metadata_of(event.object))
        table = to_table(resource, [event.object], now=clock(), include=include, with_columns=not had_columns)
        had_columns = True
        return WatchEvent(event.type, table)

    return transform


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
