"""A scene as PNG, by Pillow with the font that comes with it, so that a picture is the same everywhere.

Pillow is in the extra `png`; it is imported when a picture is made.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pykueue.api.errors import ConfigError
from pykueue.views.scene import Rect, Scene, Text

if TYPE_CHECKING:
    from PIL import ImageDraw

SCALE = 2
"""Pixels of the image for one of the scene, for screens of today."""
PIXELS_MAX = 60_000_000
"""Above it the image is not scaled."""
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def png(scene: Scene) -> bytes:
    """The file's bytes.

    Raises:
        ConfigError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise ConfigError(
            "-o png", ["the library Pillow is missing: pip install 'pykueue[png]', or use -o svg"]
        ) from error
    scale = SCALE if scene.width * scene.height * SCALE * SCALE <= PIXELS_MAX else 1
    image = Image.new("RGB", (max(1, round(scene.width * scale)), max(1, round(scene.height * scale))), "#ffffff")
    draw = ImageDraw.Draw(image)
    for shape in scene.shapes:
        if isinstance(shape, Rect):
            _rect(draw, shape, scale)
        else:
            _text(draw, shape, scale)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _rect(draw: ImageDraw.ImageDraw, rect: Rect, scale: int) -> None:
    half = rect.stroke_width / 2 if rect.stroke else 0.0
    left, top = round((rect.x - half) * scale), round((rect.y - half) * scale)
    right = max(left, round((rect.x + rect.width + half) * scale) - 1)
    bottom = max(top, round((rect.y + rect.height + half) * scale) - 1)
    width = max(1, round(rect.stroke_width * scale)) if rect.stroke else 0
    draw.rectangle((left, top, right, bottom), fill=rect.fill or None, outline=rect.stroke or None, width=width)


def _text(draw: ImageDraw.ImageDraw, text: Text, scale: int) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size=text.size * scale)
    draw.text(
        (text.x * scale, text.y * scale), text.text, fill=text.colour, font=font, anchor=_ANCHORS[text.anchor],
        stroke_width=0.25 * scale if text.is_bold else 0, stroke_fill=text.colour,
    )  # fmt: skip
