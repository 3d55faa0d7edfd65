"""A .zip as a store: its directory and its members are read by range, so that it need not be read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rfdetr_train.storage.archives.bundles import Bundles
from rfdetr_train.storage.archives.limits import SMALL, Limits
from rfdetr_train.storage.archives.names import check_names, is_ignored, keys_of, plain_name
from rfdetr_train.storage.archives.ranges import PIECE, RangeReader
from rfdetr_train.storage.archives.store import ArchiveStore
from rfdetr_train.storage.archives.writing import write_whole
from rfdetr_train.storage.archives.zip_directory import ZipEntry, read_directory
from rfdetr_train.storage.archives.zip_members import Members, Readable
from rfdetr_train.storage.fetch import make_folders
from rfdetr_train.storage.parallel import map_unordered
from rfdetr_train.storage.store import ObjectInfo, Wanted

_GAP = 64 << 10  # bytes between two members that are read with them rather than asked around

_Work = list[tuple[ZipEntry, Wanted]]


class ZipStore(ArchiveStore[ZipEntry]):
    """The files of a .zip."""

    def __init__(self, reader: RangeReader, limits: Limits) -> None:
        """Take an archive; nothing is read yet."""
        super().__init__(reader)
        self._limits = limits
        self._contents = Members(reader.uri)
        self._source: Readable = reader

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``; members that lie side by side come in one range, several ranges at once."""
        work = sorted(((self._wanted_member(item), item) for item in wanted), key=lambda pair: pair[0].start)
        make_folders(wanted)
        for done in map_unordered(self._bring, list(_side_by_side(work)), self._reader.workers):
            yield from done

    def _load(self) -> dict[str, ZipEntry]:
        entries = read_directory(self._reader, self._limits)
        _check_sizes(self.uri, entries, self._limits, self._reader.size)
        files = _files(self.uri, entries)
        if self.parallelism > 1:
            self._source = Bundles(self._reader, [(entry.start, entry.end) for entry in entries])
        keys = keys_of(self.uri, [name for name, _ in files])
        return {key: entry for key, (_, entry) in zip(keys, files, strict=True)}

    def _info(self, key: str, member: ZipEntry) -> ObjectInfo:
        return ObjectInfo(key, member.size, f"{member.crc:08x}")

    def _content(self, key: str, member: ZipEntry) -> Iterator[bytes]:
        return self._contents.content(self._source, member)

    def _part(self, key: str, member: ZipEntry, start: int, stop: int) -> bytes:
        return self._contents.part(self._source, member, start, stop)

    def _bring(self, work: _Work) -> list[Wanted]:
        """Bring members that lie side by side."""
        start, stop = work[0][0].start, work[-1][0].end
        source: Readable = self._reader
        if stop - start <= PIECE:
            source = _Window(start, self._reader.read(start, stop - start))
        for entry, item in work:
            write_whole(item.destination, self._contents.content(source, entry))
        return [item for _, item in work]


class _Window(NamedTuple):
    """A part of an archive in memory; see ``Readable``."""

    start: int
    data: bytes

    def read(self, start: int, count: int) -> bytes:
        return self.data[start - self.start : start - self.start + count]


def _side_by_side(work: Iterable[tuple[ZipEntry, Wanted]]) -> Iterator[_Work]:
    """Cut what is wanted, sorted by place, into groups that a piece can hold; a big member is alone."""
    group: _Work = []
    for pair in work:
        entry = pair[0]
        if group and (entry.end - group[0][0].start > PIECE or entry.start - group[-1][0].end > _GAP):
            yield group
            group = []
        group.append(pair)
    if group:
        yield group


def _files(where: str, entries: Iterable[ZipEntry]) -> list[tuple[str, ZipEntry]]:
    """Return the names and entries of what belongs to the dataset; all names are checked."""
    named = [(plain_name(entry.name), entry) for entry in entries if entry.name not in (".", "./")]
    check_names(where, [name for name, _ in named])
    return [(name, entry) for name, entry in named if entry.name[-1] != "/" and not is_ignored(name)]


def _check_sizes(where: str, entries: Sequence[ZipEntry], limits: Limits, size: int) -> None:
    """Refuse an archive whose content, as its directory claims it, is over a limit."""
    total = sum(entry.size for entry in entries)
    limits.check_bytes(where, total)
    limits.check_ratio(where, total, size)
    for entry in entries:
        if entry.size > SMALL:
            limits.check_ratio(f"{where}/{entry.name}", entry.size, entry.packed)
