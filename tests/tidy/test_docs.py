"""What the documents name exists. A name that moved is found here, and not by a reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from pykueue.api.series import SERIES
from pykueue.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "pykueue"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")], key=lambda p: p.as_posix()
)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"(?:[\w.-]+/)+[\w.*-]*|[\w-]+\.(?:py|md|toml)")
_FOLDERS = tuple(sorted(p.name for p in (*SRC.iterdir(), *ROOT.iterdir()) if p.is_dir()))
_PLACEHOLDER = re.compile(r"<|\{|\$|~|^/|\.pykueue")


def documents() -> Iterator[tuple[str, str]]:
    return ((str(path.relative_to(ROOT)), path.read_text()) for path in DOCUMENTS)


def exists(name: str) -> bool:
    """Whether a path is there, from the root of the checkout or of the package; stars match."""
    name = name.rstrip("/")
    return any(True for base in (ROOT, SRC) for _ in base.glob(name))


def paths_in(text: str) -> Iterator[str]:
    """What looks like a path of ours: it begins with one of our folders, or is a Python file."""
    for code in _CODE.findall(text):
        is_ours = code.split("/")[0] in _FOLDERS or ("/" in code and code.endswith(".py"))
        if is_ours and _PATH.fullmatch(code) and not _PLACEHOLDER.search(code):
            yield code


def test_paths_exist() -> None:
    """A path in a document is a path in the checkout or in the package."""
    missing = [f"{name}: {path}" for name, text in documents() for path in paths_in(text) if not exists(path)]
    assert not missing, "these moved, or never were: " + ", ".join(missing)


def test_paths_of_the_drawing_exist() -> None:
    """The drawing of ARCHITECTURE.md names files as well."""
    (drawing,) = re.findall(r"```\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
    named = re.findall(r"[a-z]+(?:/[a-z_]+)*/(?:[a-z_]+\.py|\*\*)", drawing)
    assert len(named) > 10
    assert [path for path in named if not exists(path)] == []


def test_links_lead_somewhere() -> None:
    """A relative link leads to a file."""
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path in DOCUMENTS
        for link in _LINK.findall(path.read_text())
        if not (path.parent / link).exists()
    ]
    assert not broken, "links into nowhere: " + ", ".join(broken)


def test_commands_and_flags_exist() -> None:
    """`pykueue VERB --flag` in a document is one that the command line takes."""
    faults = []
    for name, text in documents():
        for verb, rest in re.findall(rf"pykueue ({'|'.join(cli.commands)})\b([^`\n|#]*)", text):
            command = cli.commands[verb]
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
            faults += [
                f"{name}: pykueue {verb} {f}" for f in re.findall(r"(?<=\s)--?[a-z][\w-]*", rest) if f not in known
            ]
    assert not faults, "no such flags: " + ", ".join(faults)


def test_makefile_targets_exist() -> None:
    """`make TARGET` in a document is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    faults = [
        f"{name}: make {target}"
        for name, text in documents()
        for target in re.findall(r"(?:`|^\s*|; )make ([a-z-]+)", text, re.MULTILINE)
        if target not in targets
    ]
    assert not faults, "no such targets: " + ", ".join(faults)


def test_metrics_exist() -> None:
    """A metric that a document names is one of ours, or told to be absent in the same line."""
    known = {series.prefix + name for name, series in SERIES.items()} | {"kueue_build_info"}
    faults = [
        f"{name}: {metric}"
        for name, text in documents()
        for line in text.splitlines()
        if "absent" not in line
        for metric in re.findall(r"`((?:kueue|pykueue_preemption)_[a-z_]+)`", line)
        if metric not in known and metric.removesuffix("_total") not in known
    ]
    assert not faults, "no such metrics: " + ", ".join(faults)


def test_every_verb_is_documented() -> None:
    """README tells of each verb, and each flag has a help text."""
    readme = (ROOT / "README.md").read_text()
    assert [verb for verb in cli.commands if f"pykueue {verb}" not in readme and f"make {verb}" not in readme] == []
    mute = [
        f"{verb} {parameter.name}"
        for verb, command in cli.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not mute, "flags without help: " + ", ".join(mute)


def test_architecture_fits_a_sitting() -> None:
    """ARCHITECTURE.md is read in one go."""
    assert (ROOT / "ARCHITECTURE.md").read_text().count("\n") < 300
