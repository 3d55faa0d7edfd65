"""Bytes that are read in order, as a .tar is: from a stream, or from a file that can be skipped in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rfdetr_train.storage.archives.damage import CUT_OFF, damaged
from rfdetr_train.storage.archives.ranges import RangeReader

_STEP = 1 << 20


class Tape(Protocol):
    """Bytes in order."""

    position: int
    """How many lie behind."""

    def pieces(self, count: int) -> Iterator[bytes | memoryview]:
        """Yield the next ``count`` bytes.

        Raises:
            DatasetError: There are fewer.
        """

    def skip(self, count: int) -> None:
        """Pass over the next ``count`` bytes.

        Raises:
            DatasetError: There are fewer.
        """

    def rest(self) -> Iterator[bytes | memoryview]:
        """Yield all that is left."""


class StreamTape:
    """A stream."""

    def __init__(self, stream: Iterator[bytes], where: str) -> None:
        """Begin at the front.

        Args:
            stream: The bytes.
            where: Their address.
        """
        self.position = 0
        self._stream, self._where = stream, where
        self._left = memoryview(b"")

    def pieces(self, count: int) -> Iterator[bytes | memoryview]:
        """See ``Tape.pieces``."""
        while count:
            while not self._left:
                self._left = memoryview(self._next())
            piece, self._left = self._left[:count], self._left[count:]
            count -= len(piece)
            self.position += len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """See ``Tape.skip``."""
        for _ in self.pieces(count):
            pass

    def rest(self) -> Iterator[bytes | memoryview]:
        """See ``Tape.rest``."""
        yield self._left
        yield from self._stream

    def _next(self) -> bytes:
        piece = next(self._stream, None)
        if piece is None:
            raise damaged(self._where, CUT_OFF)
        return piece


class FileTape:
    """A file; what is skipped is not read."""

    def __init__(self, reader: RangeReader) -> None:
        """Begin at the front."""
        self.position = 0
        self._reader = reader
        self._size = reader.size

    def pieces(self, count: int) -> Iterator[bytes | memoryview]:
        """See ``Tape.pieces``."""
        stop = self._stop(count)
        while self.position < stop:
            piece = self._reader.read(self.position, min(_STEP, stop - self.position))
            self.position += len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """See ``Tape.skip``."""
        self.position = self._stop(count)

    def rest(self) -> Iterator[bytes | memoryview]:
        """See ``Tape.rest``."""
        return self.pieces(self._size - self.position)

    def _stop(self, count: int) -> int:
        if self.position + count > self._size:
            raise damaged(self._reader.uri, CUT_OFF)
        return self.position + count
