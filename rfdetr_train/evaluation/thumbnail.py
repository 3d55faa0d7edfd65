"""Draw labelled boxes on a picture small enough for a report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from rfdetr_train.evaluation.model import Box

LONG_SIDE = 480
_LABEL_LENGTH = 28


def draw_boxes(path: Path, boxes: Sequence[tuple[Box, str]], color: str) -> bytes:
    """Draw boxes on the image as the model saw it: without EXIF rotation, which rfdetr does not apply.

    Args:
        path: Image file.
        boxes: (box in pixels of the file, label).
        color: Of boxes and labels, as Pillow names it.

    Returns:
        A JPEG whose long side is ``LONG_SIDE``; small images are enlarged, to make room for the labels.

    Raises:
        OSError: The image cannot be read.
        PIL.Image.DecompressionBombError: The image is larger than Pillow opens.
    """
    with Image.open(path) as image:
        scale = LONG_SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # Decodes large JPEGs at a fraction of their size; other formats ignore it.
        image.draft("RGB", size)
        picture = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    corners = [(_corners(box, scale, picture.size), label) for box, label in boxes]
    for corner, _ in corners:
        draw.rectangle(corner, outline=color, width=2)
    # After all the boxes, so that no line crosses a label.
    for corner, label in corners:
        _draw_label(draw, corner, label, color)
    buffer = io.BytesIO()
    # Full colour resolution: at half, lines of two pixels turn grey.
    picture.save(buffer, "JPEG", quality=75, subsampling=0)
    return buffer.getvalue()


def _corners(box: Box, scale: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in the thumbnail, clipped to it; right is never left of left."""
    x, y, width, height = (value * scale for value in box)
    left, top = _clip(x, size[0] - 1), _clip(y, size[1] - 1)
    return left, top, max(left, _clip(x + width, size[0] - 1)), max(top, _clip(y + height, size[1] - 1))


def _clip(value: float, limit: float) -> float:
    return min(max(value, 0.0), limit)


def _draw_label(draw: ImageDraw.ImageDraw, corners: tuple[float, float, float, float], label: str, color: str) -> None:
    font = ImageFont.load_default(12)
    text = " ".join(label.split())[:_LABEL_LENGTH]
    width, height = draw.textlength(text, font) + 6, 15
    left = _clip(corners[0], max(draw.im.size[0] - width, 0))
    top = corners[1] - height if corners[1] >= height else corners[1]
    draw.rectangle((left, top, left + width, top + height), fill=color)
    draw.text((left + 3, top), text, fill="white", font=font)
