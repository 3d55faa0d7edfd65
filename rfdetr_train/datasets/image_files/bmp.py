"""BMP."""

from __future__ import annotations

from struct import Struct

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, truncated_unless
from rfdetr_train.datasets.image_files.source import MalformedError, Source

_FILE = Struct("<2s8xII")  # BM, offset of the pixels, length of the header that follows
_CORE = Struct("<HHHH")  # width, height, planes, bits of a pixel
_INFO = Struct("<iiHHII")  # width, height (negative: from the top), planes, bits, compression, bytes of the pixels
_CORE_LENGTH = 12
_INFO_LENGTHS = (40, 52, 56, 64, 108, 124)
_PLAIN = (0, 3, 6)  # not compressed, with or without masks


def parse(source: Source) -> Header:
    """Read the size, and whether the pixels are all there."""
    letters, offset, length = source.unpack(_FILE, 0)
    if letters == b"BM" and length == _CORE_LENGTH:
        width, height, _, bits = source.unpack(_CORE, _FILE.size)
        compression = stored = 0
    elif letters == b"BM" and length in _INFO_LENGTHS:
        width, height, _, bits, compression, stored = source.unpack(_INFO, _FILE.size)
        height = abs(height)
    else:
        raise MalformedError
    if width < 0:
        raise MalformedError
    if compression in _PLAIN:
        row = (width * bits + 31) // 32 * 4
        # Some writers leave out the padding of the last row.
        stored = row * (height - 1) + (width * bits + 7) // 8
    return Header("BMP", width, height, UPRIGHT, False, truncated_unless(offset + stored <= source.size))
