"""Figures as PNG, for `docs/plots`. Needs the dependency group `bench`: `python -m pip install --group bench`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]


def curves(path: Path, title: str, lines: Mapping[str, Points], *, x: str, y: str, is_log: bool = False) -> None:
    """Some lines over one axis.

    Args:
        path: of the PNG.
        title: above the figure.
        lines: name to points.
        x: what the horizontal axis counts, with its unit.
        y: what the vertical axis counts, with its unit.
        is_log: whether the horizontal axis is logarithmic, and every point is marked.
    """
    figure, axes = _figure(title)
    for name, points in lines.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], label=name, marker="o" if is_log else None)
    if is_log:
        axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    _save(figure, path)


def bars(path: Path, title: str, groups: Mapping[str, Mapping[str, float]], *, y: str) -> None:
    """Groups of bars side by side.

    Args:
        path: of the PNG.
        title: above the figure.
        groups: name of each group to its bars by name.
        y: what the vertical axis counts, with its unit.
    """
    figure, axes = _figure(title)
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        at = [n + i * width for n, group in enumerate(groups.values()) if name in group]
        drawn = axes.bar(at, [group[name] for group in groups.values() if name in group], width, label=name)
        axes.bar_label(drawn, fmt="{:g}", fontsize=8)
    axes.set_xticks([n + 0.4 - width / 2 for n in range(len(groups))], list(groups))
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(title: str) -> tuple[Any, Any]:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise SystemExit("plots need matplotlib: python -m pip install --group bench") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    print(f"drawn: {path}", file=sys.stderr)
