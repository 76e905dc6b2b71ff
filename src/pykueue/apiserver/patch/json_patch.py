"""JSON patch (RFC 6902): apply one, and make one from a difference.

Operations run in order on a copy that shares what they do not touch; if one fails, the object stays as it is. Paths are JSON
pointers (RFC 6901: `~1` is a slash, `~0` a tilde). As in Kubernetes, negative list positions are refused and an `add` never
creates missing parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import PykueueError

_OPERATIONS_MAX = 10_000


class MalformedPatch(PykueueError):
    """The document is not a JSON patch; the answer is 400."""


class PatchFailed(PykueueError):
    """An operation does not fit the object; the answer is 422.

    Attributes:
        path: JSON pointer of the failing operation.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


def apply_json_patch(document: Any, operations: Any) -> Any:
    """The document after all operations.

    Raises:
        MalformedPatch: not a list of operations, or one lacks a member.
        PatchFailed: a path is missing, or a test does not hold.
    """
    if not isinstance(operations, list):
        raise MalformedPatch("error decoding patch: a JSON patch must be a list of operations")
    if len(operations) > _OPERATIONS_MAX:
        raise MalformedPatch(
            f"The allowed maximum operations in a JSON patch is {_OPERATIONS_MAX}, got {len(operations)}"
        )
    for operation in operations:
        document = _apply(document, operation)
    return document


def json_patch(old: Any, new: Any) -> list[dict[str, Any]]:
    """Operations that make `new` of `old`: objects member by member, lists item by item and at their ends."""
    operations: list[dict[str, Any]] = []
    _diff(old, new, "", operations)
    return operations


def escape(step: str) -> str:
    """A member name as a JSON pointer writes it."""
    return step.replace("~", "~0").replace("/", "~1")


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, Mapping):
        raise MalformedPatch("error decoding patch: each operation of a JSON patch must be an object")
    op, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise MalformedPatch(f"error decoding patch: operation {op!r} has no path")
    steps = _steps(path)
    match op:
        case "add":
            return _add(document, steps, _value(operation, path), path)
        case "remove":
            return _remove(document, steps, path, op)
        case "replace":
            return _replace(document, steps, _value(operation, path), path)
        case "test":
            if not _same(_read(document, steps, path, op, missing_ok=True), operation.get("value")):
                raise PatchFailed(f"testing value {path} failed: test failed", path)
            return document
        case "move" | "copy":
            source = operation.get("from")
            if not isinstance(source, str):
                raise MalformedPatch(f"error decoding patch: operation {op!r} at {path} has no from")
            if op == "move" and (path == source or path.startswith(source + "/")):
                if path == source:
                    return document
                raise PatchFailed(f"unable to move {source} into itself: {path}", path)
            value = _read(document, _steps(source), source, op)
            if op == "move":
                document = _remove(document, _steps(source), source, op)
            return _add(document, steps, value, path)
        case _:
            raise MalformedPatch(f"Unexpected kind: {op}")


def _value(operation: Mapping[str, Any], path: str) -> Any:
    if "value" not in operation:
        raise MalformedPatch(f"error decoding patch: operation {operation['op']!r} at {path} has no value")
    return operation["value"]


def _steps(path: str) -> list[str]:
    if not path:
        return []
    if not path.startswith("/"):
        raise MalformedPatch(f"error decoding patch: path {path!r} must start with a slash")
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _index(step: str, n_items: int, path: str, *, end_allowed: bool) -> int:
    if step == "-" and end_allowed:
        return n_items
    if not step.isascii() or not step.isdigit() or (len(step) > 1 and step[0] == "0"):
        raise PatchFailed(f"Unable to access invalid index: {step} in path {path}: invalid index referenced", path)
    position = int(step)
    if position >= n_items + (1 if end_allowed else 0):
        raise PatchFailed(f"Unable to access invalid index: {step} in path {path}: invalid index referenced", path)
    return position


def _child(container: Any, step: str, path: str, op: str) -> Any:
    if isinstance(container, Mapping):
        if step not in container:
            raise _missing(op, path)
        return container[step]
    if isinstance(container, list | tuple):
        return container[_index(step, len(container), path, end_allowed=False)]
    raise _missing(op, path)


def _missing(op: str, path: str) -> PatchFailed:
    return PatchFailed(f"{op} operation does not apply: doc is missing path: {path}: missing value", path)


def _read(document: Any, steps: Sequence[str], path: str, op: str, *, missing_ok: bool = False) -> Any:
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        if missing_ok and last and isinstance(document, Mapping) and step not in document:
            return None
        document = _child(document, step, path, op)
    return document


def _put(container: Any, step: str, value: Any) -> Any:
    """A copy of a container with one existing member replaced."""
    if isinstance(container, Mapping):
        return {**container, step: value}
    items = list(container)
    items[int(step)] = value
    return items


def _add(document: Any, steps: Sequence[str], value: Any, path: str) -> Any:
    if not steps:
        return value
    step = steps[0]
    if len(steps) > 1:
        return _put(document, step, _add(_child(document, step, path, "add"), steps[1:], value, path))
    if isinstance(document, Mapping):
        return {**document, step: value}
    if isinstance(document, list | tuple):
        position = _index(step, len(document), path, end_allowed=True)
        return [*document[:position], value, *document[position:]]
    raise _missing("add", path)


def _remove(document: Any, steps: Sequence[str], path: str, op: str) -> Any:
    if not steps:
        raise PatchFailed(f"{op} operation does not apply: the whole document cannot be removed", path)
    step = steps[0]
    child = _child(document, step, path, op)
    if len(steps) > 1:
        return _put(document, step, _remove(child, steps[1:], path, op))
    if isinstance(document, Mapping):
        return {key: kept for key, kept in document.items() if key != step}
    return [*document[: int(step)], *document[int(step) + 1 :]]


def _replace(document: Any, steps: Sequence[str], value: Any, path: str) -> Any:
    if not steps:
        return value
    child = _child(document, steps[0], path, "replace")
    return _put(document, steps[0], _replace(child, steps[1:], value, path))


def _same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1, and 1.0 is 1."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _diff(old: Any, new: Any, path: str, operations: list[dict[str, Any]]) -> None:
    if old is new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        operations += [{"op": "remove", "path": f"{path}/{escape(key)}"} for key in old if key not in new]
        for key, wanted in new.items():
            below = f"{path}/{escape(key)}"
            if key in old:
                _diff(old[key], wanted, below, operations)
            else:
                operations.append({"op": "add", "path": below, "value": wanted})
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        shared = min(len(old), len(new))
        for position in range(shared):
            _diff(old[position], new[position], f"{path}/{position}", operations)
        operations += [{"op": "remove", "path": f"{path}/{i}"} for i in range(len(old) - 1, shared - 1, -1)]
        operations += [{"op": "add", "path": f"{path}/{i}", "value": new[i]} for i in range(shared, len(new))]
    elif not _same(old, new):
        operations.append({"op": "replace", "path": path, "value": new})
