"""Paths of values inside an object, as linked steps: cheap to extend on the way down, rendered only when something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Path: TypeAlias = "tuple[Any, str | int] | None"
"""`(parent, step)`: a field name or a list index below a parent path; None is the object itself."""

ABSENT: Any = type("_Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""No value: not the same as null."""


class Key(str):
    """A step into a map that is written in brackets, as CEL rules report it: `spec.labels[a]`."""

    __slots__ = ()


def steps(path: Path) -> list[str | int]:
    """The steps from the root."""
    found: list[str | int] = []
    while path is not None:
        path, step = path
        found.append(step)
    return found[::-1]


def render(path: Path) -> str:
    """`spec.containers[0].name`; keys of maps are written like fields, as Kubernetes' schema validation does."""
    return render_steps(steps(path))


def render_steps(of: Sequence[str | int]) -> str:
    """The same, of steps from the root."""
    text = ""
    for step in of:
        text += f"[{step}]" if isinstance(step, int | Key) else f".{step}" if text else step
    return text


def render_names(path: Path) -> str:
    """`spec.containers.name`: as Go's JSON decoder writes it, without indexes."""
    return ".".join(step for step in steps(path) if isinstance(step, str))
