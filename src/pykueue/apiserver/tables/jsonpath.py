r"""The subset of JSONPath that printer columns use: fields, escapes, indexes, wildcards and simple filters.

`.metadata.labels.app\.kubernetes\.io/name`, `.spec['a.b'][0]`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.set[*]`.
Recursive descent, slices and unions are refused.

Source: Kubernetes documentation, "JSONPath Support"; CustomResourceDefinition, "Additional printer columns".
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

_Step: TypeAlias = Callable[[Any], Sequence[Any]]
_FIELD = re.compile(r"\.((?:\\.|[^.\[\]\\ ])+)")
_QUOTED = re.compile(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]")
_INDEX = re.compile(r"\[(-?\d+)\]")
_WILDCARD = re.compile(r"\[\*\]|\.\*")
_FILTER = re.compile(
    r"\[\?\(\s*@((?:\.(?:\\.|[^.\[\]\\ =!<>])+|\['[^']*'\])*)\s*(?:(==|!=|<=|>=|<|>)\s*((?:'[^']*')|(?:\"[^\"]*\")|[^\s)]+))?\s*\)\]"
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@lru_cache(maxsize=1024)
def compile_json_path(path: str) -> Callable[[Any], Sequence[Any]]:
    """A function from an object to all values that the path finds, in order.

    Raises:
        ValueError: the path is not of the supported form.
    """
    steps = _steps(path)

    def find(obj: Any) -> Sequence[Any]:
        found: Sequence[Any] = (obj,)
        for step in steps:
            found = [child for value in found for child in step(value)]
        return found

    return find


def _steps(path: str) -> list[_Step]:
    steps: list[_Step] = []
    at = 0
    text = path.removeprefix("$")
    while at < len(text):
        if match := _WILDCARD.match(text, at):
            steps.append(_all)
        elif match := _FIELD.match(text, at):
            steps.append(_field(re.sub(r"\\(.)", r"\1", match[1])))
        elif match := _QUOTED.match(text, at):
            steps.append(_field(re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])))
        elif match := _INDEX.match(text, at):
            steps.append(_index(int(match[1])))
        elif match := _FILTER.match(text, at):
            steps.append(_filter(match[1], match[2], match[3]))
        else:
            raise ValueError(
                f"unsupported JSONPath at {text[at:]!r} in {path!r}; use fields, [index], [*] and [?(@.field=='value')]"
            )
        at = match.end()
    return steps


def _field(name: str) -> _Step:
    return lambda value: (value[name],) if isinstance(value, Mapping) and name in value else ()


def _index(idx: int) -> _Step:
    return lambda value: (value[idx],) if isinstance(value, list) and -len(value) <= idx < len(value) else ()


def _all(value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    return [value[key] for key in sorted(value)] if isinstance(value, Mapping) else ()


def _filter(left: str, sign: str | None, right: str | None) -> _Step:
    find = compile_json_path(left)
    wanted = _literal(right) if right is not None else None

    def matches(item: Any) -> bool:
        found = find(item)
        if sign is None:
            return bool(found)
        try:
            return any(_COMPARE[sign](value, wanted) for value in found)
        except TypeError:
            return False

    return lambda value: [item for item in value if matches(item)] if isinstance(value, list) else ()


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"unsupported value {text} in a JSONPath filter; quote strings") from None
