"""Functions of lists, of lists as sets, and of several numbers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from pykueue.apiserver.cel.library.arguments import as_int, as_items, checked_int, no_overload
from pykueue.apiserver.cel.library.operators import add, contains, order
from pykueue.apiserver.cel.values import CelError


def size(value: Any) -> int:
    """Length of a string (in code points), bytes, list or map."""
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    raise no_overload()


def _extreme(sign: int) -> Callable[[Any], Any]:
    def find(items: Any) -> Any:
        if not as_items(items):
            raise CelError(f"{'max' if sign > 0 else 'min'} called on empty list")
        best = items[0]
        for item in items[1:]:
            if order(item, best) * sign > 0:
                best = item
        return best

    return find


def _sum(items: Any) -> Any:
    total: Any = None
    for item in as_items(items):
        total = item if total is None else add(total, item)
    return 0 if total is None else total


def _is_sorted(items: Any) -> bool:
    found = as_items(items)
    return all(order(a, b) <= 0 for a, b in itertools.pairwise(found))


def _distinct(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in as_items(items):
        if not contains(found, item):
            found.append(item)
    return found


def _flatten(items: Any, depth: Any = 1) -> list[Any]:
    found: list[Any] = []
    for item in as_items(items):
        found.extend(_flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item])
    return found


def _sort(items: Any) -> list[Any]:
    return sorted(as_items(items), key=functools.cmp_to_key(order))


def _is_subset(part: Any, whole: Any) -> bool:
    return all(contains(as_items(whole), item) for item in as_items(part))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "sets.contains": lambda whole, part: _is_subset(part, whole),
    "sets.equivalent": lambda a, b: _is_subset(a, b) and _is_subset(b, a),
    "sets.intersects": lambda a, b: any(contains(as_items(b), item) for item in as_items(a)),
    "math.greatest": lambda *values: _extreme(1)(list(values[0]) if isinstance(values[0], list) else list(values)),
    "math.least": lambda *values: _extreme(-1)(list(values[0]) if isinstance(values[0], list) else list(values)),
    "math.abs": lambda value: checked_int(abs(value)) if isinstance(value, int) else abs(value),
    "lists.range": lambda n: list(range(as_int(n))),
}
METHODS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": _extreme(-1),
    "max": _extreme(1),
    "distinct": _distinct,
    "flatten": _flatten,
    "sort": _sort,
    "slice": lambda items, start, end: list(as_items(items))[as_int(start) : as_int(end)],
}
