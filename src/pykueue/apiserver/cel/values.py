"""Values that JSON does not have, equality, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykueue.api.quantity import Quantity


class CelError(Exception):
    """An expression cannot be compiled, or its evaluation failed."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Microseconds since the epoch, UTC."""

    us: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """Nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be absent."""

    value: Any = None
    is_present: bool = False


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value, as `type(x)` answers."""

    name: str


def type_name(value: Any) -> str:
    """CEL's name of a value's type."""
    match value:
        case None:
            return "null_type"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case bytes():
            return "bytes"
        case list() | tuple():
            return "list"
        case Mapping():
            return "map"
        case Timestamp():
            return "google.protobuf.Timestamp"
        case Duration():
            return "google.protobuf.Duration"
        case Optional():
            return "optional_type"
        case Type():
            return "type"
        case Quantity():
            return "kubernetes.Quantity"
        case other:
            return f"kubernetes.{type(other).__name__}"


def equal(a: Any, b: Any) -> bool:
    """CEL's equality: numbers by value, everything else by type and value; Python's `True == 1` is none of it."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return a.nanos == b.nanos
    return bool(a == b)
