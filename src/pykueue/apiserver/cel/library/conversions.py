"""From one type to another, and optional values."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult

from pykueue.api.instant import Instant, format_time
from pykueue.api.quantity import NANO, Quantity
from pykueue.apiserver.cel.library.arguments import as_text, checked_int, no_overload
from pykueue.apiserver.cel.values import CelError, Duration, Optional, Timestamp, Type, type_name


def to_string(value: Any) -> str:
    """`string(x)`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
        case bytes():
            return value.decode()
        case Timestamp():
            return format_time(Instant(value.us))
        case Duration():
            return f"{value.ns / NANO:g}s"
        case Type():
            return value.name
        case Quantity() | SplitResult() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return value.geturl() if isinstance(value, SplitResult) else str(value)
        case ipaddress.IPv4Interface() | ipaddress.IPv6Interface():
            return str(value)
        case _:
            raise no_overload()


def _to_int(value: Any) -> int:
    match value:
        case bool():
            raise no_overload()
        case int():
            return value
        case float():
            return checked_int(int(value))
        case str():
            try:
                return checked_int(int(value))
            except ValueError:
                raise CelError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None
        case Timestamp():
            return value.us // 10**6
        case Duration():
            return value.ns
        case _:
            raise no_overload()


def _to_uint(value: Any) -> int:
    number = _to_int(value)
    if number < 0:
        raise CelError("unsigned integer overflow")
    return number


def _to_double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise no_overload()
    try:
        return float(value)
    except ValueError:
        raise CelError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {
        "true": True,
        "True": True,
        "TRUE": True,
        "t": True,
        "1": True,
        "false": False,
        "False": False,
        "FALSE": False,
        "f": False,
        "0": False,
    }
    if isinstance(value, str) and value in known:
        return known[value]
    raise CelError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def _optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise no_overload()
    return value


def _value_of(value: Any) -> Any:
    if not _optional(value).is_present:
        raise CelError("optional.none() dereference")
    return value.value


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "string": to_string,
    "int": _to_int,
    "uint": _to_uint,
    "double": _to_double,
    "bool": _to_bool,
    "bytes": lambda value: value if isinstance(value, bytes) else as_text(value).encode(),
    "dyn": lambda value: value,
    "type": lambda value: Type(type_name(value)),
    "optional.of": lambda value: Optional(value, is_present=True),
    "optional.none": Optional,
    "optional.ofNonZeroValue": lambda value: Optional(value, is_present=True) if value else Optional(),
}
METHODS: Mapping[str, Callable[..., Any]] = {
    "hasValue": lambda value: _optional(value).is_present,
    "value": _value_of,
    "orValue": lambda value, other: _optional(value).value if value.is_present else other,
    "or": lambda value, other: value if _optional(value).is_present else _optional(other),
}
