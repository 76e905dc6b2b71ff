"""Arithmetic, order, and membership, as the operators have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pykueue.apiserver.cel.library.arguments import as_int, as_items, checked_int, no_overload
from pykueue.apiserver.cel.values import CelError, Duration, Timestamp, equal


def add(a: Any, b: Any) -> Any:
    """`a + b`."""
    if isinstance(a, bool) or isinstance(b, bool):
        raise no_overload()
    if isinstance(a, int) and isinstance(b, int):
        return checked_int(a + b)
    if type(a) is type(b) and isinstance(a, float | str | bytes | list):
        return a + b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a + b
    match a, b:
        case (Timestamp(), Duration()):
            return Timestamp(a.us + b.ns // 1000)
        case (Duration(), Timestamp()):
            return Timestamp(b.us + a.ns // 1000)
        case (Duration(), Duration()):
            return Duration(a.ns + b.ns)
    raise no_overload()


def subtract(a: Any, b: Any) -> Any:
    """`a - b`."""
    match a, b:
        case (Timestamp(), Timestamp()):
            return Duration((a.us - b.us) * 1000)
        case (Timestamp(), Duration()):
            return Timestamp(a.us - b.ns // 1000)
        case (Duration(), Duration()):
            return Duration(a.ns - b.ns)
    return _arithmetic(a, b, lambda x, y: x - y)


def multiply(a: Any, b: Any) -> Any:
    """`a * b`."""
    return _arithmetic(a, b, lambda x, y: x * y)


def divide(a: Any, b: Any) -> Any:
    """`a / b`; integers are cut off towards zero."""
    if isinstance(a, float) or isinstance(b, float):
        return _arithmetic(
            a, b, lambda x, y: x / y if y else float("nan") if not x else float("inf") * (1 if x > 0 else -1)
        )
    if b == 0:
        raise CelError("division by zero")
    return _arithmetic(a, b, lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))


def modulo(a: Any, b: Any) -> Any:
    """`a % b`, with the sign of `a`."""
    if as_int(b) == 0:
        raise CelError("modulus by zero")
    return abs(as_int(a)) % abs(b) * (1 if a >= 0 else -1)


def _arithmetic(a: Any, b: Any, compute: Callable[[Any, Any], Any]) -> Any:
    for value in (a, b):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise no_overload()
    result = compute(a, b)
    return checked_int(result) if isinstance(result, int) else result


def order(a: Any, b: Any) -> int:
    """-1, 0 or 1 for values that have an order."""
    is_number = [isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)]
    if all(is_number) or (type(a) is type(b) and isinstance(a, str | bytes | bool | Timestamp | Duration)):
        return -1 if a < b else 1 if a > b else 0
    raise no_overload()


def contains(value: Any, part: Any) -> bool:
    """`part in value`."""
    if isinstance(value, Mapping):
        return part in value if isinstance(part, str | int | float | bool) else False
    return any(equal(item, part) for item in as_items(value))
