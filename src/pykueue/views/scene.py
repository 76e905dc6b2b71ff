"""A picture as a value: rectangles and texts, back to front, in pixels from the top left corner.

Whoever draws knows nothing of file formats (`topology_picture.py`), and whoever writes a format knows nothing of what is drawn (`svg.py`,
`png.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

CHAR_WIDTH = 0.56
"""Width of a character, of the size of its text, on average of a sans-serif font."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle.

    Attributes:
        x: of its left edge.
        y: of its upper edge.
        width: of it.
        height: of it.
        fill: `#rrggbb`; empty for none.
        stroke: colour of the outline; empty for none.
        stroke_width: in pixels, half of it outside.
        title: what is shown where a pointer rests on it.
    """

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    stroke: str = ""
    stroke_width: float = 1.0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    Attributes:
        x: of its start, middle or end.
        y: of its base line.
        text: what it says.
        size: of the font.
        colour: `#rrggbb`.
        anchor: what `x` is.
        is_bold: whether it is.
    """

    x: float
    y: float
    text: str
    size: float = 12.0
    colour: str = "#1a1a1a"
    anchor: Literal["start", "middle", "end"] = "start"
    is_bold: bool = False


Shape: TypeAlias = Rect | Text


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of a size, white behind all."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def text_width(text: str, size: float) -> float:
    """About how wide a text is."""
    return len(text) * size * CHAR_WIDTH


def shortened(text: str, size: float, width: float, *, keep: Literal["start", "end"] = "start") -> str:
    """The text, with an ellipsis in the place of its end (or start) if it would be wider; empty if not even that fits."""
    if text_width(text, size) <= width:
        return text
    n_chars = int(width / (size * CHAR_WIDTH)) - 1
    if n_chars < 2:
        return ""
    return text[:n_chars] + "…" if keep == "start" else "…" + text[-n_chars:]


def stacked(scenes: list[Scene], gap: float = 16.0) -> Scene:
    """Pictures one above the other."""
    shapes: list[Shape] = []
    top = 0.0
    for scene in scenes:
        shapes += [_moved(shape, top) for shape in scene.shapes]
        top += scene.height + gap
    return Scene(max((s.width for s in scenes), default=0.0), max(0.0, top - gap), tuple(shapes))


def _moved(shape: Shape, down: float) -> Shape:
    return replace(shape, y=shape.y + down)
