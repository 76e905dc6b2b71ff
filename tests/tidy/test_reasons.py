"""Whatever is told to a user is reached by a test: reasons of conditions and of Events, and types of conditions.

A word counts where a test states what it wants: in an assertion, in a table (a constant of the module or of a decorator), in a
variable `want...`, or in a helper that asserts. Not where it is given to the code under test, and not as a member of an enum: a test says what
is written, letter by letter.
"""

from __future__ import annotations

import ast
import enum
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykueue.api.constants import QueueReason, Reason, WorkloadCondition

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "pykueue"
TESTS = ("unit", "simulation", "integration", "properties")
_EVENT_TYPES = ("Normal", "Warning")
_REASON = re.compile(r"[A-Z][A-Za-z]+")


def words_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)


def expectations(tree: ast.Module) -> Iterator[ast.AST]:
    """The parts of a test module in which it says what it wants."""
    yield from (node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from node.decorator_list
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id.startswith("want") for target in targets):
                yield node


@pytest.fixture(scope="module")
def expected() -> set[str]:
    """Every word that some test wants to see."""
    files = (path for folder in TESTS for path in sorted((ROOT / "tests" / folder).rglob("*.py")))
    return {word for path in files for part in expectations(ast.parse(path.read_text())) for word in words_in(part)}


def told_events() -> Iterator[tuple[str, str]]:
    """Reason and file of every Event whose reason is written beside its type."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            items = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            for type_, reason in itertools.pairwise(items):
                is_event = isinstance(type_, ast.Constant) and type_.value in _EVENT_TYPES
                if is_event and isinstance(reason, ast.Constant) and _REASON.fullmatch(str(reason.value)):
                    yield str(reason.value), str(path.relative_to(ROOT))


@pytest.mark.parametrize("names", [Reason, QueueReason, WorkloadCondition])
def test_every_reason_is_reached(names: type[enum.StrEnum], expected: set[str]) -> None:
    """A reason or type of a condition that no test wants to see is not known to be right, or not needed."""
    assert [name.value for name in names if name.value not in expected] == [], (
        f"write tests for these of {names.__name__}"
    )


@pytest.mark.parametrize("names", [Reason, QueueReason, WorkloadCondition])
def test_every_reason_is_told(names: type[enum.StrEnum]) -> None:
    """A constant that no code names is left over."""
    text = "\n".join(path.read_text() for path in sorted(SRC.rglob("*.py")))
    unused = [name.name for name in names if not re.search(rf"\b{names.__name__}\.{name.name}\b", text)]
    assert unused == [], f"delete these of {names.__name__}"


def test_every_event_is_reached(expected: set[str]) -> None:
    """An Event that no test wants to see is not known to be sent."""
    found = dict(told_events())
    assert len(found) > 30
    assert {reason: path for reason, path in found.items() if reason not in expected} == {}, "write tests for these"
