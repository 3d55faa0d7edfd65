"""What is known of an image file from its header."""

from __future__ import annotations

import os
from typing import NamedTuple

from rfdetr_train.errors import ParameterError

# Above twice its MAX_IMAGE_PIXELS, which is this, Pillow refuses to open an image.
_MAX_PIXELS = 178_956_970
_VARIABLE = "RFDETR_MAX_IMAGE_PIXELS"


class Orientation(NamedTuple):
    """How an image is shown.

    Attributes:
        value: 1 to 8 as in EXIF; 1 is upright.
        at: Position in the file of a value that is not 1.
        upright: The bytes that belong there to make it 1.
    """

    value: int = 1
    at: int = 0
    upright: bytes = b""


UPRIGHT = Orientation()


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        kind: JPEG, PNG, BMP, WEBP, TIFF or GIF; "" where it is none of them.
        width: Pixels as stored, before the orientation is applied; 0 where it is not known.
        height: Likewise.
        orientation: How it is shown.
        unusual: CMYK, or more than 8 bits a channel.
        state: "" or the finding that keeps it from being used: unreadable-image, truncated-image or oversized-image.
    """

    kind: str = ""
    width: int = 0
    height: int = 0
    orientation: Orientation = UPRIGHT
    unusual: bool = False
    state: str = ""


def truncated_unless(complete: bool) -> str:
    """Return the state of an image whose end was looked for."""
    return "" if complete else "truncated-image"


def pixel_limit() -> int:
    """Return the most pixels that an image may have.

    Raises:
        ParameterError: The environment gives another limit that is no number.
    """
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return _MAX_PIXELS
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ParameterError(f"{_VARIABLE} is '{text}', wanted a number of pixels, for example {_MAX_PIXELS}.")
    return int(text)
