"""WebP."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, Orientation, truncated_unless
from rfdetr_train.datasets.image_files.source import EndedError, MalformedError, Source
from rfdetr_train.datasets.image_files.tiff import read_exif

_FILE = Struct("<4sI4s4s")  # RIFF, bytes from here on, WEBP, name of the first chunk
_CHUNK = Struct("<4sI")
_LOSSY = Struct("<3s3sHH")  # frame tag, start code, width, height with two bits of scaling each
_LOSSLESS = Struct("<BI")  # signature, width and height less one in 14 bits each
_EXTENDED = Struct("<B3xHBHB")  # flags, width and height less one in 24 bits each
_HAS_EXIF = 0x08
_MOST_CHUNKS = 256


def parse(source: Source) -> Header:
    """Read the size from the first chunk, and EXIF from its own chunk where the flags name one."""
    riff, length, webp, name = source.unpack(_FILE, 0)
    if riff != b"RIFF" or webp != b"WEBP":
        raise MalformedError
    orientation = UPRIGHT
    if name == b"VP8X":
        flags, low, high, low_height, high_height = source.unpack(_EXTENDED, 20)
        width, height = (high << 16 | low) + 1, (high_height << 16 | low_height) + 1
        orientation = _exif(source) if flags & _HAS_EXIF else UPRIGHT
    elif name == b"VP8L":
        signature, sizes = source.unpack(_LOSSLESS, 20)
        width, height = (sizes & 0x3FFF) + 1, (sizes >> 14 & 0x3FFF) + 1
        if signature != 0x2F:
            raise MalformedError
    elif name == b"VP8 ":
        _, start_code, width, height = source.unpack(_LOSSY, 20)
        width, height = width & 0x3FFF, height & 0x3FFF
        if start_code != b"\x9d\x01\x2a":
            raise MalformedError
    else:
        raise MalformedError
    return Header("WEBP", width, height, orientation, False, truncated_unless(length + 8 <= source.size))


def is_lossless(source: Source) -> bool:
    """Say whether the pixels are stored without loss."""
    return any(name == b"VP8L" for name, _, _ in _chunks(source))


def _exif(source: Source) -> Orientation:
    """Read the chunk with EXIF, which stands behind the pixels."""
    for name, start, length in _chunks(source):
        if name == b"EXIF":
            return read_exif(source, start, start + length)
    return UPRIGHT


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start of the content and length of every chunk, up to the end of the file."""
    position = 12
    for _ in range(_MOST_CHUNKS):
        try:
            name, length = source.unpack(_CHUNK, position)
        except EndedError:
            return
        yield name, position + 8, length
        position += 8 + length + length % 2
