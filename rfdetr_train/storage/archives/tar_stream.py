"""A .tar as a store where it is packed, or in S3: one stream, that is read from front to end.

What naming a format and reading annotations and image headers needs is kept on the way, so that one time is enough.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple

from rfdetr_train.storage.archives.compression import Packing, unpacked
from rfdetr_train.storage.archives.damage import damaged
from rfdetr_train.storage.archives.limits import Limits
from rfdetr_train.storage.archives.names import keys_of
from rfdetr_train.storage.archives.ranges import PIECE, RangeReader
from rfdetr_train.storage.archives.spool import HEADS, Kept, Spool, check_room
from rfdetr_train.storage.archives.store import ArchiveStore
from rfdetr_train.storage.archives.tape import StreamTape
from rfdetr_train.storage.archives.tar_entries import tar_entries
from rfdetr_train.storage.archives.tar_fetch import Checksum, fetch_from_tape
from rfdetr_train.storage.fetch import make_folders
from rfdetr_train.storage.store import ObjectInfo, Wanted

_log = logging.getLogger(__name__)


class StreamedFile(NamedTuple):
    """A file that went by.

    Attributes:
        name: In the archive.
        start: Where its content begins in the unpacked stream.
        crc: CRC-32 of its content.
        kept: What is kept of it.
    """

    name: str
    start: int
    crc: int
    kept: Kept


class TarStreamStore(ArchiveStore[StreamedFile]):
    """The files of a .tar that is read as a stream; the tag of a listing is the CRC-32 that was seen."""

    def __init__(self, reader: RangeReader, limits: Limits, packing: Packing) -> None:
        """Take an archive; nothing is read yet."""
        super().__init__(reader)
        self._limits, self._packing = limits, packing
        if packing:
            self.parallelism = 1
        self._deepening = Lock()
        self._head = HEADS[0]

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``: the stream is read once, to the last file that is wanted, and need not be listed."""
        if not all(item.version for item in wanted):
            self._members()  # without versions only a listing tells which files are meant
        work = [(item, item.version) for item in wanted]
        if self._index is not None:
            work = [(item, self._info(item.key, self._wanted_member(item)).etag) for item in wanted]
        make_folders(wanted)
        tape = self._tape()
        return fetch_from_tape(tape, tar_entries(tape, self._limits, self.uri), work, self.uri)

    def _load(self) -> dict[str, StreamedFile]:
        return self._read_through(self._head)

    def _info(self, key: str, member: StreamedFile) -> ObjectInfo:
        return ObjectInfo(key, member.kept.size, f"{member.crc:08x}")

    def _content(self, key: str, member: StreamedFile) -> Iterator[bytes]:
        crc = 0
        for start in range(0, member.kept.size, PIECE):
            piece = self._part(key, member, start, min(start + PIECE, member.kept.size))
            crc = zlib.crc32(piece, crc)
            yield piece
        if crc != member.crc:
            raise damaged(f"{self.uri}/{key}", f"its CRC-32 is {crc:08x}, {member.crc:08x} when it was listed")

    def _part(self, key: str, member: StreamedFile, start: int, stop: int) -> bytes:
        found = member.kept.read(start, stop)
        if found is not None:
            return found
        if not self._packing:
            return self._reader.read(member.start + start, stop - start)
        self._keep_more(stop)
        return self._part(key, self._find(key)[0], start, stop)

    def _keep_more(self, stop: int) -> None:
        """Read the archive once more and keep more of all files: where one is wanted to ``stop``, others will be."""
        with self._deepening:
            if self._head >= stop:
                return
            head = next(head for head in HEADS if head >= stop)
            check_room(self.uri, [member.kept.size for member in self._members().values()], head)
            self._index = self._read_through(head)
            self._head = head

    def _read_through(self, head: int) -> dict[str, StreamedFile]:
        """Read the archive and keep the heads of its files."""
        _log.info("%s is read through, %.1f MB: it has no list of its files.", self.uri, self._reader.size / 1e6)
        spool, tape = Spool(head), self._tape()
        found: list[StreamedFile] = []
        for entry in tar_entries(tape, self._limits, self.uri):
            content = Checksum(tape.pieces(entry.size))
            kept = spool.keep(entry.name, entry.size, content)
            found.append(StreamedFile(entry.name, entry.start, content.crc, kept))
        keys = keys_of(self.uri, [file.name for file in found])
        return dict(zip(keys, found, strict=True))

    def _tape(self) -> StreamTape:
        return StreamTape(unpacked(self._reader.stream(), self._packing, self._limits, self.uri), self.uri)
