"""The protobuf form of `/openapi/v2`: kubectl asks for it, and for nothing else, when it validates a `List`.

A document in the former OpenAPI form is written field by field into the messages of `openapi.v2.Document`. Only the messages
and fields that our documents have are declared; any other key is an `InvariantError`, so that nothing is left out in silence.
Values of arbitrary shape (defaults, enums, extensions) travel as YAML text, of which JSON is a part.

Source: OpenAPI 2.0 protobuf definition (`openapiv2/OpenAPIv2.proto` of gnostic, Apache License 2.0).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pykueue.api.errors import InvariantError

MEDIA_TYPES = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)

# Form of a field's value. Anything else is the name of a message below; a trailing * says that the field is repeated.
_TEXT, _INTEGER, _DOUBLE, _FLAG, _ANY = "text", "integer", "double", "flag", "any"
_Message = Mapping[str, tuple[int, str]]

_MESSAGES: Mapping[str, _Message] = {
    "Document": {
        "swagger": (1, _TEXT),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "map of Schema"),
    },
    "Info": {"title": (1, _TEXT), "version": (2, _TEXT)},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
    },
    "Operation": {
        "description": (3, _TEXT),
        "operationId": (5, _TEXT),
        "parameters": (8, "Parameter*"),
        "responses": (9, "Responses"),
    },
    "QueryParameter": {
        "in": (2, _TEXT),
        "name": (4, _TEXT),
        "type": (6, _TEXT),
        "uniqueItems": (20, _FLAG),
    },
    "Response": {"description": (1, _TEXT), "schema": (2, "SchemaItem")},
    "Schema": {
        "$ref": (1, _TEXT),
        "format": (2, _TEXT),
        "title": (3, _TEXT),
        "description": (4, _TEXT),
        "default": (5, _ANY),
        "multipleOf": (6, _DOUBLE),
        "maximum": (7, _DOUBLE),
        "exclusiveMaximum": (8, _FLAG),
        "minimum": (9, _DOUBLE),
        "exclusiveMinimum": (10, _FLAG),
        "maxLength": (11, _INTEGER),
        "minLength": (12, _INTEGER),
        "pattern": (13, _TEXT),
        "maxItems": (14, _INTEGER),
        "minItems": (15, _INTEGER),
        "uniqueItems": (16, _FLAG),
        "maxProperties": (17, _INTEGER),
        "minProperties": (18, _INTEGER),
        "required": (19, _TEXT + "*"),
        "enum": (20, _ANY + "*"),
        "additionalProperties": (21, "SchemaOrFlag"),
        "type": (22, "Texts"),
        "items": (23, "SchemaItem"),
        "allOf": (24, "Schema*"),
        "properties": (25, "map of Schema"),
        "example": (30, _ANY),
    },
}
_EXTENSIONS: Mapping[str, int] = {"PathItem": 10, "Operation": 13, "QueryParameter": 23, "Response": 5, "Schema": 31}


def encode_openapi_v2(document: Mapping[str, Any]) -> bytes:
    """A document of the former OpenAPI form as `openapi.v2.Document`.

    Raises:
        InvariantError: the document has a key that is not declared here.
    """
    return _message("Document", document)


def _message(name: str, raw: Mapping[str, Any]) -> bytes:
    """One message; `x-` keys go to its list of extensions."""
    fields = _MESSAGES[name]
    parts: list[bytes] = []
    for key, value in raw.items():
        if key.startswith("x-") and name in _EXTENSIONS:
            parts.append(_block(_EXTENSIONS[name], _named(key, _any(value))))
            continue
        if key not in fields:
            raise InvariantError(f"OpenAPI document has {key} in {name}", "declare its protobuf field")
        number, form = fields[key]
        if form.endswith("*"):
            parts.extend(_field(number, form[:-1], item) for item in value)
        else:
            parts.append(_field(number, form, value))
    return b"".join(parts)


def _field(number: int, form: str, value: Any) -> bytes:
    """One field of any form, with its tag."""
    match form:
        case "text":
            return _block(number, str(value).encode())
        case "flag" | "integer":
            return _varint(number << 3) + _varint(int(value) & ((1 << 64) - 1))
        case "double":
            return _varint(number << 3 | 1) + struct.pack("<d", value)
        case _:
            return _block(number, _nested(form, value))


def _nested(form: str, value: Any) -> bytes:
    """The content of a field that is a message."""
    match form:
        case "any":
            return _any(value)
        case "Texts":
            return b"".join(_block(1, text.encode()) for text in _listed(value))
        case "SchemaItem":
            return _block(1, _message("Schema", value))
        case "SchemaOrFlag":
            return _field(2, _FLAG, value) if isinstance(value, bool) else _block(1, _message("Schema", value))
        case "map of Schema":
            return b"".join(_entries(1, ((name, _message("Schema", schema)) for name, schema in value.items())))
        case "Paths":
            return b"".join(_entries(2, ((path, _message("PathItem", item)) for path, item in value.items())))
        case "Responses":
            answers = ((code, _block(1, _message("Response", answer))) for code, answer in value.items())
            return b"".join(_entries(1, answers))
        case "Parameter":
            # ParametersItem > Parameter > NonBodyParameter > QueryParameterSubSchema
            return _block(1, _block(2, _block(3, _message("QueryParameter", value))))
        case _:
            return _message(form, value)


def _entries(number: int, named: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
    return (_block(number, _named(name, content)) for name, content in named)


def _named(name: str, content: bytes) -> bytes:
    return _block(1, name.encode()) + _block(2, content)


def _any(value: Any) -> bytes:
    return _block(2, msgspec.json.encode(value))


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _block(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
