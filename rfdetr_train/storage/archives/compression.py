"""The stream inside a .gz or .zst, a bounded piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Literal, cast

from rfdetr_train.storage.archives.damage import CUT_OFF, damaged
from rfdetr_train.storage.archives.limits import Limits

Packing = Literal["", "gzip", "zstd"]

_STEP = 1 << 20  # bytes that are unpacked at once: what a bomb can take
_BLOCK = 256 << 10  # packed bytes that are handed over at once; what is not used of them is copied
_WINDOW = 128 << 20  # bytes of memory that a .zst may ask for: the limit of the zstd program too


def unpacked(stream: Iterator[bytes], packing: Packing, limits: Limits, where: str) -> Iterator[bytes]:
    """Yield the content of a stream.

    Args:
        stream: The archive.
        packing: How it is packed; "" leaves it as it is.
        limits: What it may hold.
        where: Its address.

    Raises:
        DatasetError: It is damaged, cut off or over a limit.
    """
    if not packing:
        yield from stream
        return
    counted = _Counted(stream)
    total = 0
    for piece in _gunzip(counted, where) if packing == "gzip" else _unzstd(counted, where):
        total += len(piece)
        limits.check_bytes(where, total)
        limits.check_ratio(where, total, counted.count)
        yield piece


class _Counted:
    """Passes a stream on, and counts its bytes."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._left = memoryview(b"")
        self.count = 0

    def read(self, count: int) -> bytes:
        """Read at most ``count`` bytes, as a file does; nothing at the end."""
        if not self._left:
            self._left = memoryview(next(self._stream, b""))
        piece, self._left = bytes(self._left[:count]), self._left[count:]
        self.count += len(piece)
        return piece


def _gunzip(stream: _Counted, where: str) -> Iterator[bytes]:
    """Yield what one .gz, or several that were joined, hold."""
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    begun = False
    try:
        while left := stream.read(_BLOCK):
            while left:
                if inflate.eof:
                    inflate, begun = zlib.decompressobj(16 + zlib.MAX_WBITS), False
                if not begun:
                    left = left.lstrip(b"\0")  # padding between and behind
                    begun = bool(left)
                yield inflate.decompress(left, _STEP)
                left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as error:
        raise damaged(where, str(error)) from None
    if begun and not inflate.eof:
        raise damaged(where, CUT_OFF)


def _unzstd(stream: _Counted, where: str) -> Iterator[bytes]:
    """Yield what the frames of a .zst hold. Whether the last one is whole shows only in what it holds."""
    import zstandard

    source = cast("IO[bytes]", stream)  # of which only ``read`` is used
    frames = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(source, read_across_frames=True)
    try:
        while piece := frames.read(_STEP):
            yield piece
    except zstandard.ZstdError as error:
        raise damaged(where, str(error)) from None
