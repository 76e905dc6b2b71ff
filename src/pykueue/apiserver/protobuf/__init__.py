"""Reading protobuf request bodies of Kubernetes' own kinds.

kubectl's typed commands (`kubectl create namespace`, `kubectl auth can-i`, `kubectl drain`) send protobuf without asking.
Bodies are decoded into the raw object that the same command would have sent as JSON; answers are always JSON, which every
client takes. Custom resources have no protobuf form.

`fields.json.gz` is made by `scripts/extract_protobuf.py` from the struct tags of Kubernetes' Go API (Apache License 2.0, see
`api/builtin/NOTICE`): for each type, field numbers to `[JSON name, Go type, omitempty]`. Rules of the wire that follow from Go:
a field that is no pointer is always sent, so its zero counts only where JSON would write it too.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

import msgspec

from pykueue.api.instant import SECOND_US, Instant, format_micro_time, format_time

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_MAX_DEPTH = 100

_Fields: TypeAlias = Mapping[str, tuple[str, str, bool]]
_Wire: TypeAlias = int | bytes


def decode_envelope(body: bytes) -> dict[str, Any]:
    """Decode a body of media type `application/vnd.kubernetes.protobuf`.

    Raises:
        ValueError: the bytes are no such body, or the kind has no protobuf form here.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("the body does not start with the protobuf envelope's magic number")
    parts = dict(_fields_of(body[len(_MAGIC) :]))
    said = dict(_fields_of(_bytes(parts.get(1, b""))))
    api_version, kind = _bytes(said.get(1, b"")).decode(), _bytes(said.get(2, b"")).decode()
    group, _, version = api_version.rpartition("/")
    name = f"{group.partition('.')[0] or 'core'}/{version}.{kind}"
    if kind == "DeleteOptions":
        name = "meta/v1.DeleteOptions"
    if name not in _types():
        raise ValueError(f"{kind} of {api_version} has no protobuf form here; send JSON")
    return {"apiVersion": api_version, "kind": kind, **_message(_bytes(parts.get(2, b"")), name, 0)}


@cache
def _types() -> Mapping[str, _Fields]:
    packed = resources.files(__package__).joinpath("fields.json.gz").read_bytes()
    loaded: dict[str, _Fields] = json.loads(gzip.decompress(packed))
    return loaded


def _message(data: bytes, name: str, depth: int) -> dict[str, Any]:
    """One struct."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"protobuf messages are nested more than {_MAX_DEPTH} deep")
    fields = _types()[name]
    result: dict[str, Any] = {}
    for number, wire in _fields_of(data):
        known = fields.get(str(number))
        if known is None:
            continue
        json_name, go_type, omits_empty = known
        if not json_name:
            result |= _message(_bytes(wire), go_type.removeprefix("*"), depth + 1)
        elif go_type.startswith("[]") and go_type != "[]byte":
            result.setdefault(json_name, []).extend(_items(wire, go_type[2:], depth))
        elif go_type.startswith("map[string]"):
            key, value = _entry(_bytes(wire), go_type.removeprefix("map[string]"), depth)
            result.setdefault(json_name, {})[key] = value
        else:
            value = _value(wire, go_type.removeprefix("*"), depth)
            zero_is_absent = omits_empty and not go_type.startswith("*")
            if not (zero_is_absent and value in ("", 0, False)) and value is not None:
                result[json_name] = value
    return result


def _items(wire: _Wire, item_type: str, depth: int) -> list[Any]:
    """One item of a repeated field; numbers may be packed."""
    if isinstance(wire, bytes) and item_type in {"int32", "int64", "bool"}:
        return [_scalar(number, item_type) for number in _packed(wire)]
    return [_value(wire, item_type.removeprefix("*"), depth)]


def _entry(data: bytes, value_type: str, depth: int) -> tuple[str, Any]:
    """One entry of a map: {key = 1, value = 2}; values that are slices are messages {items = 1}."""
    parts = dict(_fields_of(data))
    key = _bytes(parts.get(1, b"")).decode()
    if value_type.startswith("items:"):
        item_type = value_type.removeprefix("items:[]")
        return key, [_value(item, item_type, depth) for _, item in _fields_of(_bytes(parts.get(2, b"")))]
    empty: _Wire = 0 if value_type in {"int32", "int64", "bool"} else b""
    return key, _value(parts.get(2, empty), value_type, depth)


def _value(wire: _Wire, go_type: str, depth: int) -> Any:
    """One value; None where JSON would write null."""
    match go_type:
        case "string":
            return _bytes(wire).decode()
        case "[]byte":
            return base64.b64encode(_bytes(wire)).decode()
        case "bool" | "int32" | "int64" | "float64":
            return _scalar(wire, go_type)
        case "resource.Quantity":
            return _text_field(wire)
        case "intstr.IntOrString":
            parts = dict(_fields_of(_bytes(wire)))
            return _bytes(parts.get(3, b"")).decode() if parts.get(1) else _scalar(parts.get(2, 0), "int32")
        case "meta/v1.Time" | "meta/v1.MicroTime":
            return _time(_bytes(wire), micro=go_type.endswith("MicroTime"))
        case "meta/v1.FieldsV1" | "runtime.RawExtension":
            raw = next((_bytes(value) for number, value in _fields_of(_bytes(wire)) if number == 1), b"")
            return msgspec.json.decode(raw) if raw else None
        case _:
            if go_type not in _types():
                raise ValueError(f"type {go_type} has no protobuf form here; send JSON")
            return _message(_bytes(wire), go_type, depth + 1)


def _scalar(wire: _Wire, go_type: str) -> int | float | bool:
    if go_type == "float64":
        return float(struct.unpack("<d", _bytes(wire))[0])
    if not isinstance(wire, int):
        raise ValueError(f"expected a number for a field of type {go_type}")  # noqa: TRY004 - a fault of the data
    if go_type == "bool":
        return bool(wire)
    return wire - (1 << 64) if wire >= 1 << 63 else wire


def _text_field(wire: _Wire) -> str:
    return next((_bytes(value).decode() for number, value in _fields_of(_bytes(wire)) if number == 1), "0")


def _time(data: bytes, *, micro: bool) -> str | None:
    if not data:
        return None
    parts = {number: _scalar(value, "int64") for number, value in _fields_of(data)}
    instant = Instant(int(parts.get(1, 0)) * SECOND_US + int(parts.get(2, 0)) // 1000)
    return format_micro_time(instant) if micro else format_time(instant)


def _fields_of(data: bytes) -> Iterator[tuple[int, _Wire]]:
    """The fields of a message, in order: varints as integers, everything else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            size, at = _varint(data, at)
        elif wire_type in {1, 5}:
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {wire_type} is not known")
        if at + size > len(data):
            raise ValueError("the protobuf message ends in the middle of a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("the protobuf message ends in the middle of a number")


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _bytes(wire: _Wire) -> bytes:
    if not isinstance(wire, bytes):
        raise ValueError("expected bytes, found a number")  # noqa: TRY004 - a fault of the data, not of the caller
    return wire
