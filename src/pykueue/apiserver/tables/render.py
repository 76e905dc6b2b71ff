"""Tables in the form of `meta.k8s.io/v1`.

A table has column definitions and, per object, a row of cells and (by default) the object's metadata. In a watch every event is
a table of one row; only the first one repeats the columns.

Source: Kubernetes documentation, "Receiving resources as Tables".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pykueue.api.errors import BadRequest
from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, metadata, name
from pykueue.apiserver.resources import Column, Resource
from pykueue.apiserver.tables.custom import custom_cells
from pykueue.apiserver.tables.kinds import PRINTERS
from pykueue.apiserver.tables.texts import CREATED, NAME

TABLE_ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io"
_Cells: TypeAlias = Callable[[Obj, Instant], Sequence[Any]]
_GENERIC = (Column("Created At", "date", description=CREATED),)


def wants_table(accept: str) -> bool:
    """Whether a client takes a Table before it takes the object itself."""
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media not in {"application/json", "*/*", "application/*"}:
            continue
        return {"as=Table", "v=v1", "g=meta.k8s.io"} <= set(parameters)
    return False


def to_table(
    resource: Resource,
    objects: Sequence[Obj],
    *,
    now: Instant,
    list_metadata: Mapping[str, Any] | None = None,
    include: str = "",
    with_columns: bool = True,
) -> dict[str, Any]:
    """Print objects.

    Args:
        resource: in whose version the objects are.
        objects: what to print; their `apiVersion` and `kind` are not needed.
        now: for ages.
        list_metadata: `metadata` of the list they came in; None for a single object, whose resource version is told.
        include: value of `includeObject`: `Metadata` (the default), `Object` or `None`.
        with_columns: False for later events of a watch.

    Raises:
        BadRequest: `include` is none of these.
    """
    if include not in {"", "Metadata", "Object", "None"}:
        raise BadRequest(f'unrecognized includeObject value: "{include}"; use Metadata, Object or None')
    columns, cells = _printer(resource)
    if list_metadata is None:
        version = metadata(objects[0]).get("resourceVersion") if len(objects) == 1 else None
        list_metadata = {"resourceVersion": version} if version else {}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            k: v for k, v in list_metadata.items() if k in {"resourceVersion", "continue", "remainingItemCount"}
        },
        "columnDefinitions": [_definition(column) for column in columns] if with_columns else None,
        "rows": [_row(resource, obj, cells(obj, now), include) for obj in objects],
    }


def _printer(resource: Resource) -> tuple[Sequence[Column], _Cells]:
    """All columns of a resource, the name among them, and the function that fills them."""
    named = Column("Name", "string", description=NAME, format="name")
    if resource.columns is not None:
        of_custom = custom_cells(resource.columns)
        return (named, *resource.columns), lambda obj, now: (name(obj), *of_custom(obj, now))
    kind = resource.kind
    printer = PRINTERS.get((kind.group, kind.plural))
    if printer is None:
        return (named, *_GENERIC), lambda obj, _: (name(obj), metadata(obj).get("creationTimestamp"))
    if printer.has_name:
        return printer.columns, printer.cells
    return (named, *printer.columns), lambda obj, now: (name(obj), *printer.cells(obj, now))


def _definition(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row(resource: Resource, obj: Obj, cells: Sequence[Any], include: str) -> dict[str, Any]:
    shown: Mapping[str, Any] | None
    if include == "None":
        shown = None
    elif include == "Object":
        shown = {**obj, "kind": resource.kind.kind, "apiVersion": resource.kind.api_version}
    else:
        shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata(obj)}
    return {"cells": list(cells), "object": shown}
