"""Whether an object has the shape of its kind: types only, by the kind's own schema.

Webhooks that default are called before an API server checks what a user sent against the schema, so they may meet a number where a list
should be, or a quota of `"abc"`. Nothing is checked twice for that: a webhook that stumbles asks here whether the object is to blame,
and who wrote it is told where. Rules, patterns and lengths are the API server's affair (`apiserver/schema/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.kinds import KUEUE_GROUP, LEADER_WORKER_SET, Kind
from pykueue.api.quantity import parse_quantity
from pykueue.api.schema.crds import all_crds, crd, leaderworkerset_crd

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def shape_fault(kind: Kind, obj: Mapping[str, Any]) -> str | None:
    """The first field whose type is not the schema's, in the schema's order.

    Args:
        kind: of the object; only our kinds and LeaderWorkerSet are known.
        obj: as the webhook got it.

    Returns:
        Path and fault in one sentence; None if the shape is right, or the kind is not known here.
    """
    schema = _schema(kind)
    return _fault(schema, obj, "") if schema is not None else None


def _schema(kind: Kind) -> Mapping[str, Any] | None:
    if kind == LEADER_WORKER_SET:
        definition = leaderworkerset_crd()
    elif kind.group == KUEUE_GROUP and any(d["spec"]["names"]["kind"] == kind.kind for d in all_crds()):
        definition = crd(kind.kind)
    else:
        return None
    for version in definition["spec"]["versions"]:
        if version["name"] == kind.version:
            found: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
            return found
    return None


def _fault(schema: Mapping[str, Any], value: object, path: str) -> str | None:
    if value is None:
        return None
    if schema.get("x-kubernetes-int-or-string"):
        return _int_or_string_fault(schema, value, path)
    wanted = str(schema.get("type") or "")
    fits = wanted not in _TYPES or isinstance(value, _TYPES[wanted])
    if not fits or (isinstance(value, bool) and wanted in ("integer", "number")):
        return f"{path or 'the object'}: must be of type {wanted}, not {_name(value)}"
    if isinstance(value, Mapping):
        return _first(_members(schema, value, path))
    if isinstance(value, list | tuple) and "items" in schema:
        return _first((schema["items"], item, f"{path}[{i}]") for i, item in enumerate(value))
    return None


def _members(
    schema: Mapping[str, Any], value: Mapping[str, Any], path: str
) -> Sequence[tuple[Mapping[str, Any], object, str]]:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    known = [(properties[k], value[k], f"{path}.{k}" if path else k) for k in properties if k in value]
    if isinstance(others, Mapping):
        known += [(others, value[k], f"{path}[{k}]") for k in value if k not in properties]
    return known


def _first(members: Any) -> str | None:
    return next((fault for member in members if (fault := _fault(*member)) is not None), None)


def _int_or_string_fault(schema: Mapping[str, Any], value: object, path: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return f"{path}: must be an integer or a string, not {_name(value)}"
    if "pattern" not in schema:
        return None
    try:
        parse_quantity(value)
    except ValueError as error:
        return f"{path}: {value!r} is not a quantity: {error}"
    return None


def _name(value: object) -> str:
    """What JSON calls the type."""
    if isinstance(value, bool):
        return "boolean"
    return next((name for name, types in _TYPES.items() if isinstance(value, types)), type(value).__name__)
