"""The rules of the house, as tests. Each failure says where, and what to do instead."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykueue.core.features import GATES, WITHOUT_EFFECT, Gate

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "pykueue"
PURE = ("api", "core", "ports", "integrations", "controllers", "webhooks", "views", "emulation")
IMPURE_MODULES = {"asyncio", "logging", "os", "random", "socket", "sqlite3", "ssl", "subprocess", "threading", "time"}
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600


def modules() -> Iterator[Path]:
    return (path for path in sorted(SRC.rglob("*.py")) if path.stat().st_size)


def where(path: Path, line: int = 0) -> str:
    return f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")


@pytest.fixture(scope="module")
def trees() -> list[tuple[Path, str, ast.Module]]:
    return [(path, text := path.read_text(), ast.parse(text)) for path in modules()]


def test_functions_fit_a_screen(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """A function has at most 70 lines: the parent keeps the ifs, the leaves compute."""
    long = [
        f"{where(path, node.lineno)} {node.name}"
        for path, _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno > FUNCTION_LINES_MAX
    ]
    assert not long, "split these functions: " + ", ".join(long)


def test_long_modules_say_why(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """A module above 600 lines owes a sentence in its docstring that names its lines."""
    owing = [
        where(path)
        for path, text, tree in trees
        if text.count("\n") > MODULE_LINES_MAX and "lines" not in (ast.get_docstring(tree) or "")
    ]
    assert not owing, "split these modules, or say in their docstrings why they have so many lines: " + ", ".join(owing)


def test_every_module_tells_what_it_is_for(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """A module docstring is the theory of operation of its module."""
    mute = [where(path) for path, _, tree in trees if not ast.get_docstring(tree)]
    assert not mute, "write module docstrings: " + ", ".join(mute)


def test_public_things_are_told(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """A public function or class has a docstring; the structs that mirror the wire are told by the API they mirror."""
    mirrors = {SRC / "api" / "v1beta2.py", SRC / "api" / "configuration" / "types.py"}
    mute = [
        f"{where(path, node.lineno)} {node.name}"
        for path, _, tree in trees
        if path not in mirrors
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not mute, "write a docstring, or make it private: " + ", ".join(mute)


def test_start_up_is_light() -> None:
    """What only some clusters need is imported when they need it: start-up time and memory are features."""
    code = "import sys, pykueue.cli.main, pykueue.cli.cluster, pykueue.cli.manage; print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "False", "import numpy where the first topology is used"


def test_broad_catches_are_the_shells(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """Pure code lets a bug pass, or makes a value of it in one place; the shell catches it at the edge of a loop, and goes on."""
    broad = [
        where(path, node.lineno)
        for path, _, tree in trees
        if path.relative_to(SRC).parts[0] in PURE and path != SRC / "core/faults.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert not broad, "name the errors that you expect: " + ", ".join(broad)


def test_pure_packages_import_nothing_impure(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """Pure packages get time as an argument and leave I/O to the shell."""
    impure = []
    for path, _, tree in trees:
        if path.relative_to(SRC).parts[0] not in PURE:
            continue
        for node in ast.walk(tree):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            impure += [f"{where(path, node.lineno)} {n}" for n in names if n.split(".")[0] in IMPURE_MODULES]
    assert not impure, "return commands and take `now` as an argument instead: " + ", ".join(impure)


def test_pure_packages_do_not_wait(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """Only the shell may say async; the transport port describes it."""
    waiting = [
        where(path, node.lineno)
        for path, _, tree in trees
        if path.relative_to(SRC).parts[0] in PURE and path.name != "transport.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not waiting, "pure code is synchronous: " + ", ".join(waiting)


def test_nothing_is_left_over(trees: list[tuple[Path, str, ast.Module]]) -> None:
    """No reminders, no swallowed errors, no unwritten bodies."""
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b|except( Exception)?:\s*pass")
    left = [
        where(path, number)
        for path, text, _ in trees
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not left, "finish or remove: " + ", ".join(left)


def test_tests_are_not_skipped() -> None:
    """A test runs, or it is not there."""
    pattern = re.compile(r"pytest\.(skip|importorskip)\(|mark\.(skip|skipif|xfail)\b")
    skipped = [
        where(path, number)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.name != "test_house.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not skipped, "assert what is true today instead: " + ", ".join(skipped)


def test_the_shared_folder_is_not_needed_by_the_product() -> None:
    """What lies beside the checkout is for some tests; the product and its commands never look there."""
    needing = [
        where(path)
        for folder in ("src", "examples", "bench")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in (".py", ".yaml", ".md", ".sh") and "../shared" in path.read_text()
    ]
    assert not needing, "the product must run without ../shared: " + ", ".join(needing)


def test_no_registry_host_is_named() -> None:
    """Package registries are the user's to choose: no host of one is written down."""
    hosts = re.compile(r"proxy\.golang\.org|pypi\.org|files\.pythonhosted|registry\.npmjs|crates\.io|deb\.debian\.org")
    named = [
        where(path)
        for folder in ("src", "tests", "docs", "examples", "bench", ".ci")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file()
        and path.suffix in (".py", ".md", ".toml", ".sh", ".yaml", "")
        and path.name != "test_house.py"
        and hosts.search(path.read_text(errors="ignore"))
    ]
    assert not named, "leave the host to the user's configuration: " + ", ".join(named)


def test_gates_without_effect_are_known_as_such() -> None:
    """Whoever asks for a gate takes it off the list that is told at the start; a gate that nobody asks for is on it."""
    text = "\n".join(path.read_text() for path in modules() if path.name != "features.py")
    never_asked = {gate for gate in Gate if not re.search(rf"Gate\.{gate.name}\b", text) and not GATES[gate].locked}
    listed = set(WITHOUT_EFFECT) - ASKED_BUT_ABSENT
    by_name = {Gate.SPARK_APPLICATION_INTEGRATION}
    wrong = sorted(never_asked - by_name ^ listed)
    assert not wrong, "put these on WITHOUT_EFFECT of core/features.py, or take them off: " + ", ".join(wrong)


ASKED_BUT_ABSENT = {Gate.CONCURRENT_ADMISSION}
"""Gates that webhooks and conversions know, for fields of a feature that is not there."""
