"""PNG."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, truncated_unless
from rfdetr_train.datasets.image_files.source import MalformedError, Source
from rfdetr_train.datasets.image_files.tiff import read_exif

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIRST = Struct(">4x4sIIB")  # name, width, height, bits
_CHUNK = Struct(">I4s")
_END = b"IEND\xaeB`\x82"  # with its checksum
_MOST_CHUNKS = 64


class Chunk(NamedTuple):
    """A part of the file.

    Attributes:
        name: Four letters.
        start: Where its content begins; its checksum follows the content.
        length: Bytes of the content.
    """

    name: bytes
    start: int
    length: int


def parse(source: Source) -> Header:
    """Read the image header, and EXIF where it stands before the pixels."""
    if source.take(0, len(_SIGNATURE)) != _SIGNATURE:
        raise MalformedError
    name, width, height, bits = source.unpack(_FIRST, len(_SIGNATURE))
    if name != b"IHDR":
        raise MalformedError
    exif = exif_chunk(source)
    orientation = read_exif(source, exif.start, exif.start + exif.length) if exif else UPRIGHT
    state = truncated_unless(source.has_end(_END, len(_SIGNATURE)))
    return Header("PNG", width, height, orientation, bits == 16, state)


def exif_chunk(source: Source) -> Chunk | None:
    """Find the chunk with EXIF."""
    return next((chunk for chunk in _chunks(source) if chunk.name == b"eXIf"), None)


def _chunks(source: Source) -> Iterator[Chunk]:
    """Yield the chunks between the image header and the pixels."""
    position = len(_SIGNATURE) + 25
    for _ in range(_MOST_CHUNKS):
        length, name = source.unpack(_CHUNK, position)
        if name in (b"IDAT", b"IEND"):
            return
        yield Chunk(name, position + 8, length)
        position += 12 + length
