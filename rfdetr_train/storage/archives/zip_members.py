"""The content of a member of a .zip, held to the size and the CRC-32 that the directory claims."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from rfdetr_train.storage.archives.damage import CUT_OFF, damaged
from rfdetr_train.storage.archives.ranges import PIECE
from rfdetr_train.storage.archives.zip_directory import DEFLATED, LOCAL_BYTES, STORED, ZipEntry, decoded_name

_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA = 128  # bytes that the extra fields of a local header rarely exceed
_BLOCK = 256 << 10  # packed bytes that are handed over at once; what is not used of them is copied
_STEP = 1 << 20  # bytes that are inflated at once: what a bomb can take


class Readable(Protocol):
    """An archive, or a part of it that is in memory already."""

    def read(self, start: int, count: int) -> bytes:
        """See ``RangeReader.read``."""


class Members:
    """Reads the members of one archive; remembers where their contents begin."""

    def __init__(self, uri: str) -> None:
        """Start with none."""
        self._uri = uri
        self._headers: dict[int, int] = {}

    def content(self, source: Readable, entry: ZipEntry) -> Iterator[bytes]:
        """Yield the whole content in pieces.

        Raises:
            DatasetError: It has another size or CRC-32 than the directory says, or cannot be inflated.
        """
        where = f"{self._uri}/{entry.name}"
        found = crc = 0
        for piece in self._unpacked(source, entry, PIECE):
            found += len(piece)
            if found > entry.size:
                break
            crc = zlib.crc32(piece, crc)
            yield piece
        if found != entry.size:
            more = "more than" if found > entry.size else f"{found:,} in the place of"
            raise damaged(where, f"it gives {more} the {entry.size:,} bytes that the directory says")
        if crc != entry.crc:
            raise damaged(where, f"its CRC-32 is {crc:08x}, the directory says {entry.crc:08x}")

    def part(self, source: Readable, entry: ZipEntry, start: int, stop: int) -> bytes:
        """Read a part that lies inside; of a deflated member what is behind it is neither read nor inflated.

        Raises:
            DatasetError: The member is damaged up to there. A CRC-32 tells only of one that is deflated, at its end.
        """
        if entry.method == STORED and entry.start in self._headers:
            return source.read(entry.start + self._headers[entry.start] + start, stop - start)
        to_end = entry.method == DEFLATED and stop == entry.size
        # Deflate never takes more than 5 bytes for 16,000 on top of them.
        first = stop + stop // 1000 + 64
        result = bytearray()
        position = 0
        for piece in self.content(source, entry) if to_end else self._unpacked(source, entry, first):
            result += piece[max(0, start - position) : max(0, stop - position)]
            position += len(piece)
            if position >= stop and not to_end:
                break
        if len(result) != stop - start:
            raise damaged(f"{self._uri}/{entry.name}", CUT_OFF)
        return bytes(result)

    def _unpacked(self, source: Readable, entry: ZipEntry, first: int) -> Iterator[bytes]:
        """Yield the content unchecked; ``first`` is how many packed bytes to read at once at first."""
        packed = self._packed(source, entry, first)
        return _inflated(packed, f"{self._uri}/{entry.name}") if entry.method == DEFLATED else packed

    def _packed(self, source: Readable, entry: ZipEntry, first: int) -> Iterator[bytes]:
        """Yield the bytes of a member as they lie in the archive."""
        count = min(entry.header + _EXTRA + min(first, entry.packed), entry.end - entry.start)
        data = source.read(entry.start, count)
        header = self._header(data, entry)
        piece = data[header : header + entry.packed]
        done = len(piece)
        yield piece
        while done < entry.packed:
            piece = source.read(entry.start + header + done, min(PIECE, entry.packed - done))
            done += len(piece)
            yield piece

    def _header(self, data: bytes, entry: ZipEntry) -> int:
        """Return the size of a local header, which must agree with the directory."""
        signature, _, flags, method, _, _, _, _, _, name, extra = _LOCAL.unpack_from(data)
        header = LOCAL_BYTES + name + extra
        if (
            signature != b"PK\3\4"
            or method != entry.method
            or LOCAL_BYTES + name != entry.header
            or decoded_name(data[LOCAL_BYTES : LOCAL_BYTES + name], flags, self._uri) != entry.name
            or entry.start + header + entry.packed > entry.end
        ):
            raise damaged(f"{self._uri}/{entry.name}", "what stands before its content is not what the directory says")
        self._headers[entry.start] = header
        return header


def _inflated(packed: Iterable[bytes], where: str) -> Iterator[bytes]:
    """Yield inflated bytes, at most ``_STEP`` at a time."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed:
            view = memoryview(piece)
            for start in range(0, len(view), _BLOCK):
                left: bytes | memoryview = view[start : start + _BLOCK]
                while left:
                    yield inflate.decompress(left, _STEP)
                    if inflate.eof:
                        return
                    left = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as error:
        raise damaged(where, str(error)) from None
    if not inflate.eof:
        raise damaged(where, CUT_OFF)
