"""JPEG, with MPO and whatever else phones append to it."""

from __future__ import annotations

import re
from struct import Struct

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, Orientation, truncated_unless
from rfdetr_train.datasets.image_files.source import MalformedError, Source
from rfdetr_train.datasets.image_files.tiff import EXIF_PREFIX, read_exif

_SEGMENT = Struct(">BBH")  # 0xFF, marker, length with its own two bytes
_FRAME = Struct(">BHHB")  # bits, height, width, components
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG and DAC
_BARE = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))  # without a length: stuffing, TEM, RST0 to RST7, SOI
_EXIF, _END, _SCAN = 0xE1, 0xD9, 0xDA
_END_OF_IMAGE = b"\xff\xd9"
# What libjpeg writes, and so nearly every program: JFIF, then tables of 8 bits, each segment of a fixed length. The
# match takes a tenth of the time of the walk, which comes to the same place.
_USUAL = re.compile(
    rb"\xff\xd8 (?: \xff\xe0\x00\x10 .{14} )? (?: \xff\xdb\x00 (?: \x43 .{65} | \x84 .{130} ) )+ (?= \xff[\xc0-\xc2] )",
    re.DOTALL | re.VERBOSE,
)
# A depth map in extended XMP takes some dozens of 64 kB.
_MOST_SEGMENTS = 256


def parse(source: Source) -> Header:
    """Walk the segments up to the frame header, by their lengths: what lies inside, like a thumbnail, is not looked at.

    EXIF stands before the frame header, right at the start if it follows its standard.
    """
    usual = _USUAL.match(source.head)
    if usual:
        return _frame(source, usual.end(), UPRIGHT)
    exif: Orientation | None = None
    position = 2
    for _ in range(_MOST_SEGMENTS):
        mark, marker, length = source.unpack(_SEGMENT, position)
        if mark != 0xFF or marker == 0xFF:
            position += 1  # junk, or a fill byte; decoders skip both
        elif marker in _FRAMES:
            return _frame(source, position, exif or UPRIGHT)
        elif marker in _BARE:
            position += 2
        elif marker in (_END, _SCAN) or length < 2:
            raise MalformedError
        else:
            end = position + 2 + length
            if marker == _EXIF and exif is None and source.take(position + 4, len(EXIF_PREFIX)) == EXIF_PREFIX:
                exif = read_exif(source, position + 4, end)
            position = end
    raise MalformedError


def _frame(source: Source, position: int, orientation: Orientation) -> Header:
    """Read the frame header."""
    bits, height, width, components = source.unpack(_FRAME, position + 4)
    if bits != 8 or components not in (1, 3, 4):
        raise MalformedError  # Pillow, and with it RF-DETR, cannot read such a file
    state = truncated_unless(source.has_end(_END_OF_IMAGE, position))
    return Header("JPEG", width, height, orientation, components == 4, state)
