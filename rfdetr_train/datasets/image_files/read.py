"""Reads the header of an image file of any format."""

from __future__ import annotations

import os
from pathlib import Path

from rfdetr_train.datasets.image_files import bmp, gif, jpeg, png, tiff, webp
from rfdetr_train.datasets.image_files.header import Header
from rfdetr_train.datasets.image_files.source import EndedError, MalformedError, Source

# The content tells, not the name: RF-DETR opens a file likewise.
_PARSERS = {
    b"\xff\xd8": ("JPEG", jpeg.parse),
    b"\x89P": ("PNG", png.parse),
    b"RI": ("WEBP", webp.parse),
    b"II": ("TIFF", tiff.parse),
    b"MM": ("TIFF", tiff.parse),
    b"BM": ("BMP", bmp.parse),
    b"GI": ("GIF", gif.parse),
}
PAGE = 4096


def read_header(source: Source, max_pixels: int) -> Header:
    """Read the header of an image, and look for its end; whatever is wrong is in the ``state`` of the answer.

    Args:
        source: The file.
        max_pixels: More than these are too many to decode.
    """
    kind, parse = _PARSERS.get(source.head[:2], ("", None))
    if parse is None:
        return Header(state="unreadable-image")
    try:
        header = parse(source)
    except EndedError:
        return Header(kind, state="truncated-image")
    except MalformedError:
        return Header(state="unreadable-image")
    pixels = header.width * header.height
    if not pixels:
        return header._replace(state="unreadable-image")
    return header._replace(state="oversized-image") if pixels > max_pixels else header


def read_local_header(path: Path, max_pixels: int) -> Header:
    """Read the header of an image on the local disk.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        source = Source(lambda start, count: os.pread(number, count, start), os.fstat(number).st_size, PAGE)
        return read_header(source, max_pixels)
