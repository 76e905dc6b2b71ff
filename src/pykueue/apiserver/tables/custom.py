"""Cells of custom resources, from their definition's printer columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj
from pykueue.apiserver.resources import Column
from pykueue.apiserver.tables.ages import since
from pykueue.apiserver.tables.jsonpath import compile_json_path

Cells: TypeAlias = Callable[[Obj, Instant], Sequence[Any]]


def custom_cells(columns: Sequence[Column]) -> Cells:
    """The function that fills the columns of one object; null where a path finds nothing."""
    finders = [(compile_json_path(column.json_path), column.type) for column in columns]

    def cells(obj: Obj, now: Instant) -> Sequence[Any]:
        return [_cell(found[0], type_, now) if (found := find(obj)) else None for find, type_ in finders]

    return cells


def _cell(value: Any, type_: str, now: Instant) -> Any:
    """A value as its column's type shows it: text for `string`, an age for `date`; null if it does not fit."""
    match type_:
        case "string":
            return _text(value)
        case "date":
            return since(value, now) if isinstance(value, str) else None
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case _:
            return None


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case list() | Mapping():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        case _:
            return str(value)
