"""A scene as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from pykueue.views.scene import Rect, Scene, Text

_FONT = "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""


def svg(scene: Scene) -> str:
    """The document, ending with a line feed."""
    size = f'width="{_number(scene.width)}" height="{_number(scene.height)}"'
    box = f'viewBox="0 0 {_number(scene.width)} {_number(scene.height)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} {_FONT}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#ffffff"/>', *_elements(scene), "</svg>", ""])


def _elements(scene: Scene) -> Iterator[str]:
    for shape in scene.shapes:
        if isinstance(shape, Rect):
            yield _rect(shape)
        else:
            yield _text(shape)


def _rect(rect: Rect) -> str:
    places = zip(("x", "y", "width", "height"), (rect.x, rect.y, rect.width, rect.height), strict=True)
    attributes = [f'{name}="{_number(value)}"' for name, value in places]
    attributes.append(f"fill={quoteattr(rect.fill or 'none')}")
    if rect.stroke:
        attributes.append(f'stroke={quoteattr(rect.stroke)} stroke-width="{_number(rect.stroke_width)}"')
    if rect.title:
        return f"<rect {' '.join(attributes)}><title>{escape(rect.title)}</title></rect>"
    return f"<rect {' '.join(attributes)}/>"


def _text(text: Text) -> str:
    weight = ' font-weight="600"' if text.is_bold else ""
    anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    place = f'x="{_number(text.x)}" y="{_number(text.y)}" font-size="{_number(text.size)}"'
    return f"<text {place} fill={quoteattr(text.colour)}{anchor}{weight}>{escape(text.text)}</text>"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
