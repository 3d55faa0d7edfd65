"""What is kept of the members of a .tar that went by: annotations whole, of the rest the two ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.archives.scratch import Scratch

_WHOLE = (".json", ".txt", ".yaml", ".yml", ".names", ".data", ".xml")
_WHOLE_BYTES = 8 << 30  # of such files together; what is over that is kept like the rest
_TAIL = 4 << 10
HEADS = (4 << 10, 64 << 10, 1 << 62)
"""Bytes that are kept from the front of a file: enough for most images, enough for thumbnails, all."""


class Spool:
    """A temporary file with the kept parts of all members."""

    def __init__(self, head: int) -> None:
        """Begin with none; ``head`` is one of ``HEADS``."""
        self._head = head
        self._file = Scratch()
        self._end = self._whole = 0

    def keep(self, name: str, size: int, pieces: Iterable[bytes | memoryview]) -> Kept:
        """Write what is kept of a member, and exhaust its pieces."""
        head = min(self._head, size)
        if name.lower().endswith(_WHOLE) and self._whole + size <= _WHOLE_BYTES:
            head = size
            self._whole += size
        kept = Kept(self._file, self._end, size, head, max(head, size - _TAIL))
        position = 0
        for piece in pieces:
            self._write(piece, position, 0, head, kept.place)
            self._write(piece, position, kept.tail, size, kept.place + head)
            position += len(piece)
        self._end += head + size - kept.tail
        return kept

    def _write(self, piece: bytes | memoryview, position: int, start: int, stop: int, place: int) -> None:
        """Write to its place what of a piece lies between start and stop of its member."""
        first, last = max(start, position), min(stop, position + len(piece))
        if first < last:
            self._file.write(place + first - start, memoryview(piece)[first - position : last - position])


class Kept(NamedTuple):
    """What is kept of a member: two parts, one behind the other.

    Attributes:
        file: The spool.
        place: Where they begin in it.
        size: Bytes of the member.
        head: Where the first part ends in the member.
        tail: Where the second one begins.
    """

    file: Scratch
    place: int
    size: int
    head: int
    tail: int

    def read(self, start: int, stop: int) -> bytes | None:
        """Return a part of the member, None where it is not kept."""
        if stop <= self.head or self.head == self.tail:
            return self.file.read(self.place + start, stop - start)
        if start >= self.tail:
            return self.file.read(self.place + self.head + start - self.tail, stop - start)
        return None


def check_room(uri: str, sizes: Iterable[int], head: int) -> None:
    """Refuse to keep the heads of members where the disk has no room for them.

    Args:
        uri: The archive.
        sizes: Of its members.
        head: Bytes of each.

    Raises:
        DatasetError: There is none.
    """
    needed = sum(min(size, head + _TAIL) for size in sizes)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        raise DatasetError(
            f"{uri} cannot be read here and there: that takes {needed:,} bytes in {tempfile.gettempdir()}, which has "
            f"{free:,}. Unpack it and give the folder, pack it as .zip, or name another folder in TMPDIR."
        )
