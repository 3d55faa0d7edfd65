"""Extract files of a .tar while it streams by."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rfdetr_train.storage.archives.ranges import PIECE
from rfdetr_train.storage.archives.store import changed
from rfdetr_train.storage.archives.tape import Tape
from rfdetr_train.storage.archives.tar_entries import TarEntry
from rfdetr_train.storage.archives.writing import beside, write_pieces, write_whole
from rfdetr_train.storage.store import Wanted

Work = tuple[Wanted, str]
"""What is wanted, and the CRC-32 in hex that it must have."""


class Checksum:
    """Passes the pieces of a file on and computes their CRC-32."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Begin."""
        self._pieces = pieces
        self.crc = 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the pieces."""
        for piece in self._pieces:
            self.crc = zlib.crc32(piece, self.crc)
            yield piece


def fetch_from_tape(tape: Tape, entries: Iterable[TarEntry], work: Iterable[Work], where: str) -> Iterator[Wanted]:
    """Write what is wanted as it comes by, and stop when all of it is there.

    Whether the archive has a folder around the dataset shows only at its end. Until then a file may be meant with or
    without it, and its size and CRC-32 decide: with both equal, it is the same content.

    Args:
        tape: The archive at its beginning.
        entries: Its files; ``tape`` stands at the content of the one that was taken last.
        work: What to write, and which CRC-32 each must have.
        where: The archive.

    Raises:
        FileNotFoundError: Something is not there.
        Conflict: Something has another CRC-32 or size.
    """
    left: dict[str, list[Work]] = {}
    for task in work:
        left.setdefault(task[0].key, []).append(task)
    others: set[str] = set()
    for entry in entries if left else ():
        keys = [key for key in (entry.name, entry.name.partition("/")[2]) if key in left]
        others.update(keys)
        tasks = [task for key in keys for task in left[key] if task[0].size == entry.size]
        for task in _bring(tasks, tape, entry.size) if tasks else ():
            left[task[0].key].remove(task)
            if not left[task[0].key]:
                del left[task[0].key]
            yield task[0]
        if not left:
            return
    for key in left:
        if key in others:
            raise changed(where, key, "another size or CRC-32 than was")
        raise FileNotFoundError(f"{where}/{key}")


def _bring(tasks: Sequence[Work], tape: Tape, size: int) -> list[Work]:
    """Write a file for all that may mean it, and return those that do."""
    first = tasks[0][0].destination
    content = Checksum(tape.pieces(size))
    with beside(first) as temporary:
        write_pieces(temporary, content)
        done = [task for task in tasks if task[1] == f"{content.crc:08x}"]
        for item, _ in done:
            if item.destination != first:
                write_whole(item.destination, _pieces(temporary))
        if tasks[0] in done:
            Path(temporary).replace(first)
        else:
            Path(temporary).unlink()
    return done


def _pieces(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
