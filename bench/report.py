"""How benchmarks tell their figures: parts for people on stderr as they come, and one JSON line at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def tell(part: Mapping[str, float]) -> None:
    """Some figures, a line each."""
    print(*(f"{name:36} {value:>14,}" for name, value in part.items()), sep="\n", file=sys.stderr, flush=True)


def report(parts: Iterable[Mapping[str, Any]], file: Path | None) -> dict[str, Any]:
    """Tell each part as it is measured, and at the end all figures; these."""
    figures: dict[str, Any] = {}
    for part in parts:
        figures |= part
        tell(part)
    close(figures, file)
    return figures


def close(figures: Mapping[str, Any], file: Path | None) -> None:
    """All figures as one JSON line, and into a file if one is given."""
    line = json.dumps(figures)
    print(line)
    if file is not None:
        file.write_text(line + "\n")
