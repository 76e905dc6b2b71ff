"""Functions of strings; those that lists have under the same name take both."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pykueue.apiserver.cel.library.arguments import as_int, as_items, as_text
from pykueue.apiserver.cel.library.conversions import to_string
from pykueue.apiserver.cel.values import CelError, equal
from pykueue.apiserver.schema.patterns import compile_pattern


def matches(text: Any, pattern: Any) -> bool:
    """Whether a pattern is found in a text."""
    return compile_re(as_text(pattern)).search(as_text(text)) is not None


def compile_re(pattern: str) -> re.Pattern[str]:
    """A pattern of RE2."""
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise CelError(f"error parsing regexp: {error}") from None


def _index(text: str, idx: int) -> int:
    if not 0 <= idx <= len(text):
        raise CelError(f"index out of range: {idx}")
    return idx


def _char_at(text: Any, idx: Any) -> str:
    at = _index(as_text(text), as_int(idx))
    return str(text[at : at + 1])


def _index_of(value: Any, part: Any, start: Any = 0) -> int:
    if isinstance(value, list):
        return next((i for i, item in enumerate(value) if equal(item, part)), -1)
    return as_text(value).find(as_text(part), _index(value, as_int(start)))


def _last_index_of(value: Any, part: Any, end: Any = None) -> int:
    if isinstance(value, list):
        return max((i for i, item in enumerate(value) if equal(item, part)), default=-1)
    text, wanted = as_text(value), as_text(part)
    return text.rfind(wanted) if end is None else text.rfind(wanted, 0, _index(text, as_int(end)) + len(wanted))


def _replace(text: Any, old: Any, new: Any, count: Any = -1) -> str:
    return as_text(text).replace(as_text(old), as_text(new), as_int(count))


def _split(text: Any, separator: Any, limit: Any = -1) -> list[str]:
    n = as_int(limit)
    if n == 0:
        return []
    if not as_text(separator):
        return list(as_text(text)) if n < 0 else [*as_text(text)[: n - 1], as_text(text)[n - 1 :]]
    return as_text(text).split(as_text(separator), n - 1 if n > 0 else -1)


def _substring(text: Any, start: Any, end: Any = None) -> str:
    stop = len(as_text(text)) if end is None else _index(text, as_int(end))
    if _index(text, as_int(start)) > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return str(text[start:stop])


def _ascii_case(up: bool) -> Callable[[Any], str]:
    pattern, shift = re.compile("[a-z]+" if up else "[A-Z]+"), str.upper if up else str.lower
    return lambda text: pattern.sub(lambda m: shift(m[0]), as_text(text))


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str | list) else as_items(value)


def _join(items: Any, separator: Any = "") -> str:
    return as_text(separator).join(map(as_text, as_items(items)))


def _format(template: Any, arguments: Any) -> str:
    """`'%s is %d'.format([a, b])`."""
    rest = list(as_items(arguments))

    def one(match: re.Match[str]) -> str:
        verb = match[2]
        if verb == "%":
            return "%"
        if not rest:
            raise CelError("index out of range: not enough arguments for the format")
        value = rest.pop(0)
        match verb:
            case "s":
                return _shown(value)
            case "d":
                return str(as_int(value))
            case "x" | "X" | "b" | "o":
                return format(as_int(value), verb)
            case _:
                return f"{float(value):.{(match[1] or '.6')[1:]}{verb}}"

    return re.sub(r"%(\.\d+)?([sdfexXbo%])", one, as_text(template))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in sorted(value.items())) + "}"
    return to_string(value)


def _find(text: Any, pattern: Any) -> str:
    match = compile_re(as_text(pattern)).search(as_text(text))
    return match[0] if match else ""


def _find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    found = [match[0] for match in compile_re(as_text(pattern)).finditer(as_text(text))]
    return found if as_int(limit) < 0 else found[:limit]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "matches": matches,
    "strings.quote": lambda value: json.dumps(as_text(value), ensure_ascii=False),
    "base64.encode": lambda value: base64.b64encode(value).decode(),
    "base64.decode": lambda value: base64.b64decode(as_text(value)),
}
METHODS: Mapping[str, Callable[..., Any]] = {
    "matches": matches,
    "contains": lambda text, part: as_text(part) in as_text(text),
    "startsWith": lambda text, part: as_text(text).startswith(as_text(part)),
    "endsWith": lambda text, part: as_text(text).endswith(as_text(part)),
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _ascii_case(up=False),
    "upperAscii": _ascii_case(up=True),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda text: as_text(text).strip(),
    "reverse": _reverse,
    "join": _join,
    "format": _format,
    "find": _find,
    "findAll": _find_all,
}
