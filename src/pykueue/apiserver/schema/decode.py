"""Reading built-in objects as Kubernetes' typed decoder does, compiled from their definitions.

The decoder drops unknown fields and tells their paths; drops nulls of fields (Go's zero value is not written); writes
quantities in canonical form; and refuses values of the wrong type at once, in the words of Go's JSON decoder. Everything that
stays is shared, and an object that needs no change is returned itself.

Custom resources use it for `metadata` alone. What it does not know: whether a value makes sense; validation does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias

from pykueue.api.errors import BadRequest
from pykueue.api.instant import Instant, format_micro_time, format_time, parse_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity
from pykueue.apiserver.schema.paths import Path, render, render_names
from pykueue.apiserver.schema.types import Schema, builtin_schema, object_meta

_Decode: TypeAlias = Callable[[Any, Path, list[str]], Any]
"""`(value, its path, paths of dropped fields so far) -> value`; raises `_Mismatch`."""

_INT_BITS = {"int32": 31, "int64": 63}
_QUANTITY_TEXT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class _Mismatch(Exception):
    """A value that the field's type cannot hold."""


@cache
def builtin_decoder(kind: Kind) -> Callable[[Obj], tuple[Obj, Sequence[str]]] | None:
    """The decoder of a built-in kind (`Resource.decode`); None for kinds without a definition.

    The decoder raises:
        BadRequest: a value has the wrong type.
    """
    schema = builtin_schema(kind)
    if schema is None:
        return None
    read = _compiled(schema)

    def decode(obj: Obj) -> tuple[Obj, Sequence[str]]:
        dropped: list[str] = []
        try:
            return read(obj, None, dropped), dropped
        except _Mismatch as error:
            raise cannot_be_handled(kind, str(error)) from None

    return decode


def decode_metadata(obj: Obj, kind: Kind, dropped: list[str]) -> Obj:
    """The object with its `metadata` read as ObjectMeta; paths of dropped fields are added to `dropped`.

    Raises:
        BadRequest: a value has the wrong type.
    """
    found = obj.get("metadata")
    if found is None:
        return obj
    if not isinstance(found, Mapping):
        why = f"json: cannot unmarshal {_json_type(found)} into Go value of type v1.ObjectMeta"
        raise cannot_be_handled(kind, why)
    try:
        read = _compiled(object_meta())(found, (None, "metadata"), dropped)
    except _Mismatch as error:
        # The real server decodes metadata on its own, so that its paths begin there.
        raise cannot_be_handled(kind, str(error).replace("ObjectMeta.metadata.", "ObjectMeta.")) from None
    return obj if read is found else {**obj, "metadata": read}


def cannot_be_handled(kind: Kind, why: str) -> BadRequest:
    """`Pod in version "v1" cannot be handled as a Pod: ...`."""
    return BadRequest(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


_COMPILED: dict[tuple[int, str], tuple[Schema, _Decode]] = {}
"""By identity of the fields, and the struct they are a field of; the node is kept so that its identity stays its own."""


def _compiled(schema: Schema, owner: str = "") -> _Decode:
    """The decoder of one node. Objects are compiled once, and before their fields, for they may contain themselves."""
    if schema.type != "object" or not schema.properties:
        return _make_plain(schema, owner)
    found = _COMPILED.get((id(schema.properties), owner))
    if found is None:
        fields: dict[str, _Decode] = {}
        made = _struct(fields, _go_type(schema), owner)
        _COMPILED[id(schema.properties), owner] = (schema, made)
        name = schema.name.rpartition(".")[2]
        fields.update((key, _compiled(child, name)) for key, child in schema.properties.items())
        return made
    return found[1]


def _make_plain(schema: Schema, owner: str) -> _Decode:
    if schema.format == "quantity":
        return _quantity
    if schema.int_or_string:
        return _int_or_string(owner)
    if schema.preserve_unknown and schema.type != "object":
        return _anything
    match schema.type:
        case "string":
            return _string(schema, owner)
        case "integer" | "number" | "boolean":
            return _scalar(schema, owner)
        case "array":
            return _list(_compiled(schema.items or Schema(), owner), _go_type(schema), owner)
        case "object" if isinstance(schema.additional_properties, Schema):
            return _map(_compiled(schema.additional_properties, owner), schema, owner)
        case "object":
            return _map(_anything, schema, owner)
        case _:
            return _anything


def _anything(value: Any, _path: Path, _dropped: list[str]) -> Any:
    return value


def _struct(fields: Mapping[str, _Decode], go_type: str, owner: str) -> _Decode:
    def read(value: Any, path: Path, dropped: list[str]) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):  # the exact type is the cheap question
            raise _mismatch(value, path, owner, go_type)
        result: dict[str, Any] | None = None
        for key, child in value.items():
            of_child = fields.get(key)
            if of_child is None:
                dropped.append(render((path, key)))
            elif child is not None:
                made = of_child(child, (path, key), dropped)
                if made is child:
                    continue
                result = dict(value) if result is None else result
                result[key] = made
                continue
            result = dict(value) if result is None else result
            del result[key]
        return value if result is None else result

    return read


def _list(of_item: _Decode, go_type: str, owner: str) -> _Decode:
    def read(value: Any, path: Path, dropped: list[str]) -> Any:
        if not isinstance(value, list):
            raise _mismatch(value, path, owner, go_type)
        changed = False
        result = []
        for idx, item in enumerate(value):
            made = item if item is None else of_item(item, (path, idx), dropped)
            changed = changed or made is not item
            result.append(made)
        return result if changed else value

    return read


def _map(of_value: _Decode, schema: Schema, owner: str) -> _Decode:
    go_type = _go_type(schema)
    values = schema.additional_properties
    # Go's decoder names the key of a map only on the way into a struct.
    is_struct = isinstance(values, Schema) and values.type == "object"
    zero = "" if isinstance(values, Schema) and values.type == "string" and values.format != "quantity" else None

    def read(value: Any, path: Path, dropped: list[str]) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):  # the exact type is the cheap question
            raise _mismatch(value, path, owner, go_type)
        if of_value is _anything:
            return value
        changed = False
        result = {}
        for key, child in value.items():
            made = zero if child is None else of_value(child, (path, key) if is_struct else path, dropped)
            changed = changed or made is not child
            result[key] = made
        return result if changed else value

    return read


def _string(schema: Schema, owner: str) -> _Decode:
    is_bytes, is_time = schema.format == "byte", schema.format == "date-time"
    go_type = "[]uint8" if is_bytes else "string"
    write_time = format_micro_time if schema.name.endswith("MicroTime") else format_time

    def read(value: Any, path: Path, _dropped: list[str]) -> Any:
        if not isinstance(value, str):
            raise _mismatch(value, path, owner, go_type)
        if is_bytes:
            _check_base64(value)
        elif is_time:
            written = write_time(_time(value))
            return value if written == value else written
        return value

    return read


def _scalar(schema: Schema, owner: str) -> _Decode:
    go_type = _go_type(schema)
    wants_bool, wants_int = schema.type == "boolean", schema.type == "integer"
    bits = _INT_BITS.get(schema.format, 63)

    def read(value: Any, path: Path, _dropped: list[str]) -> Any:
        if isinstance(value, bool) is not wants_bool or not isinstance(value, int | float):
            raise _mismatch(value, path, owner, go_type)
        if wants_int and (isinstance(value, float) or not -(1 << bits) <= value < (1 << bits)):
            if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
                return int(value)
            raise _mismatch(value, path, owner, go_type, shown=f"number {value}")
        return value

    return read


def _int_or_string(owner: str) -> _Decode:
    def read(value: Any, path: Path, _dropped: list[str]) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _mismatch(value, path, owner, "int32", shown=f"number {value}" if isinstance(value, float) else "")
        return value

    return read


def _quantity(value: Any, path: Path, _dropped: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Mismatch(f"{_QUANTITY_TEXT} (found {_json_type(value)} at {render(path)})")
    try:
        canonical = _canonical(value)
    except ValueError as error:
        raise _Mismatch(str(error)) from None
    return value if canonical == value else canonical


@lru_cache(maxsize=4096)
def _canonical(value: str | float) -> str:
    return str(parse_quantity(value))


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _time(value: str) -> Instant:
    if not _TIME.fullmatch(value):
        rest, wanted = (value[4:], "-") if re.match(r"\d{4}", value) else (value, "2006")
        raise _Mismatch(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{rest}" as "{wanted}"')
    try:
        return parse_time(value)
    except ValueError as error:
        raise _Mismatch(f'parsing time "{value}": {error}') from None


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/]", value)
        raise _Mismatch(f"illegal base64 data at input byte {bad.start() if bad else len(value)}") from None


def _mismatch(value: Any, path: Path, owner: str, go_type: str, shown: str = "") -> _Mismatch:
    where = f"Go struct field {owner}.{render_names(path)}" if path is not None and owner else "Go value"
    return _Mismatch(f"json: cannot unmarshal {shown or _json_type(value)} into {where} of type {go_type}")


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case Mapping():
            return "object"
        case _:
            return "null"


def _go_type(schema: Schema) -> str:
    """The Go type that the real server names in its refusals."""
    if schema.name:
        *_, version, name = schema.name.split(".")
        return f"{version}.{name}"
    match schema.type:
        case "array":
            return f"[]{_go_type(schema.items or Schema())}"
        case "object" if isinstance(schema.additional_properties, Schema):
            return f"map[string]{_go_type(schema.additional_properties)}"
        case "integer":
            return schema.format or "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
        case other:
            return other or "interface {}"
