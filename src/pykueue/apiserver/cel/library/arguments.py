"""What functions take: each of these gives the argument back, or raises "no such overload"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykueue.apiserver.cel.values import CelError

_INT64 = 1 << 63


def no_overload() -> CelError:
    """The error of a function that does not take what it was given."""
    return CelError("no such overload")


def as_text(value: Any) -> str:
    """The value, which must be a string."""
    if not isinstance(value, str):
        raise no_overload()
    return value


def as_int(value: Any) -> int:
    """The value, which must be an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise no_overload()
    return value


def as_items(value: Any) -> Sequence[Any]:
    """The value, which must be a list."""
    if not isinstance(value, list):
        raise no_overload()
    return value


def checked_int(value: int) -> int:
    """An integer that fits 64 bits."""
    if not -_INT64 <= value < _INT64:
        raise CelError("integer overflow")
    return value
