"""Filling in defaults without copying what is there: small helpers of the kinds' defaulting functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]
Change: TypeAlias = Callable[[Any], Any]


def fill(value: Json, defaults: Json) -> Json:
    """The mapping with defaults for absent (or null) keys; itself if none is."""
    missing = {key: default for key, default in defaults.items() if value.get(key) is None}
    return {**value, **missing} if missing else value


def at(value: Json, key: str, change: Change) -> Json:
    """The mapping with one present value changed."""
    present = value.get(key)
    if present is None:
        return value
    wanted = change(present)
    return value if wanted is present else {**value, key: wanted}


def each(change: Change) -> Change:
    """A change of every item of a list."""

    def apply(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        wanted = [change(item) if isinstance(item, Mapping) else item for item in items]
        return items if all(a is b for a, b in zip(wanted, items, strict=True)) else wanted

    return apply


def without(value: Json, *keys: str) -> Json:
    """The mapping without some keys; itself if it has none of them."""
    return {k: v for k, v in value.items() if k not in keys} if any(k in value for k in keys) else value
