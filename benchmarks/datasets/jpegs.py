"""Thousands of small JPEG files with true headers, no two equal, for the price of drawing a thousand."""

from __future__ import annotations

import io
import random

SHAPES = (
    (640, 480), (640, 427), (480, 640), (640, 426), (427, 640),
    (500, 375), (640, 425), (640, 428), (375, 500), (612, 612),
)  # fmt: skip
"""Width and height in pixels of the ten commonest shapes of COCO's images."""
VARIANTS = 100
PADDING = 1500  # bytes at most, so that files differ in size as real ones do
FRAME = b"\xff\xc0\x00\x11\x08"  # how the frame header begins, which says the size
_FRAME_BYTES = 19
_QUALITY = 20


def draw_bases(dice: random.Random) -> list[list[bytes]]:
    """Draw the JPEG files that all others are made of.

    Returns:
        For each of ``SHAPES`` its variants, 2 to 5 kB each.
    """
    return [[_draw(size, dice) for _ in range(VARIANTS)] for size in SHAPES]


def number_jpeg(base: bytes, number: int, padding: int) -> bytes:
    """Make a file of its own of a base: a comment with a number goes behind the frame header.

    What stands before it stays as programs write it.

    Args:
        base: What ``draw_bases`` drew.
        number: Tells it from all others.
        padding: Bytes that the segment is longer.
    """
    digits = b"%012d" % number
    comment = (digits * (padding // len(digits) + 2))[: len(digits) + padding]
    end = base.index(FRAME) + _FRAME_BYTES
    return base[:end] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + base[end:]


def _draw(size: tuple[int, int], dice: random.Random) -> bytes:
    """Draw rectangles, so few that the file stays small."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", size, _colour(dice))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = dice.randrange(size[0] // 2), dice.randrange(size[1] // 2)
        pen.rectangle((x, y, x + size[0] // 3, y + size[1] // 3), fill=_colour(dice))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def _colour(dice: random.Random) -> tuple[int, int, int]:
    return dice.randrange(256), dice.randrange(256), dice.randrange(256)
