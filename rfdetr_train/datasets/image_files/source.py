"""Parts of a file, read where a parser asks for them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

Read = Callable[[int, int], bytes]
"""Start and count -> bytes, fewer where the file ends."""

_BLOCK = 256 << 10
_FARTHEST = 256 << 20  # of a search: no image of a size that we accept is longer


class EndedError(Exception):
    """The file ends before its header says."""


class MalformedError(Exception):
    """The bytes are not what the format allows."""


class Source:
    """A file of which one window is held in memory; asking for what lies outside moves the window there.

    Attributes:
        size: Bytes of the file.
        head: Its first bytes.
    """

    def __init__(self, read: Read, size: int, step: int) -> None:
        """Read the first window.

        Args:
            read: Reads the file.
            size: Its bytes.
            step: Bytes of a window. Where every read is a request, one small window behind the other moves the fewest
                bytes; a local file costs the same for a whole page.
        """
        self.size = size
        self._read = read
        self._step = step
        self._start = 0
        self.head = self._window = read(0, size if size <= 2 * step else step) if size else b""

    def unpack(self, form: Struct, position: int) -> tuple[Any, ...]:
        """Unpack the bytes at a position.

        Raises:
            EndedError: The file ends before.
        """
        offset = position - self._start
        if offset < 0 or offset + form.size > len(self._window):
            self._move(position, form.size)
            offset = 0
        return form.unpack_from(self._window, offset)

    def take(self, position: int, count: int) -> bytes:
        """Return the bytes at a position; ``count`` must be bounded by the caller.

        Raises:
            EndedError: The file ends before.
        """
        offset = position - self._start
        if offset < 0 or offset + count > len(self._window):
            self._move(position, count)
            offset = 0
        return self._window[offset : offset + count]

    def has_end(self, mark: bytes, after: int) -> bool:
        """Say whether the mark that ends an image is there; the window stays where it is.

        It is nearly always in the last bytes. Phones append a film or a depth map, some tools zeros: only then the
        file is searched, from ``after`` on.
        """
        return mark in self.tail(64, after) or mark in self.tail(4096, after) or self._holds(mark, after)

    def tail(self, count: int, after: int = 0) -> bytes:
        """Return the last bytes, and none before a position."""
        start = max(self.size - count, after)
        if start >= self._start and self._start + len(self._window) >= self.size:
            return self._window[start - self._start :]
        return self._read(start, self.size - start)

    def _holds(self, mark: bytes, start: int) -> bool:
        """Search the file from a position on, block by block."""
        for position in range(start, min(self.size, start + _FARTHEST), _BLOCK):
            if mark in self._read(position, _BLOCK + len(mark) - 1):
                return True
        return False

    def _move(self, position: int, count: int) -> None:
        """Read the window at a position."""
        if position + count > self.size:
            raise EndedError
        self._window = self._read(position, max(count, self._step))
        self._start = position
        if len(self._window) < count:
            raise EndedError
