"""A plain .tar on a local disk as a store: its headers are read one by one, its members where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rfdetr_train.storage.archives.limits import Limits
from rfdetr_train.storage.archives.names import keys_of
from rfdetr_train.storage.archives.ranges import PIECE, RangeReader
from rfdetr_train.storage.archives.store import ArchiveStore
from rfdetr_train.storage.archives.tape import FileTape
from rfdetr_train.storage.archives.tar_entries import TarEntry, tar_entries
from rfdetr_train.storage.archives.writing import write_whole
from rfdetr_train.storage.fetch import make_folders
from rfdetr_train.storage.parallel import map_unordered
from rfdetr_train.storage.store import ObjectInfo, Wanted


class TarStore(ArchiveStore[TarEntry]):
    """The files of a .tar. It has no checksums: a listing gives no tags."""

    has_ranges = True

    def __init__(self, reader: RangeReader, limits: Limits) -> None:
        """Take an archive; nothing is read yet."""
        super().__init__(reader)
        self._limits = limits

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``."""
        work = sorted(((self._wanted_member(item), item) for item in wanted), key=lambda pair: pair[0].start)
        make_folders(wanted)
        return map_unordered(self._bring, work, self._reader.workers)

    def _bring(self, work: tuple[TarEntry, Wanted]) -> Wanted:
        entry, item = work
        write_whole(item.destination, self._content(item.key, entry))
        return item

    def _load(self) -> dict[str, TarEntry]:
        entries = list(tar_entries(FileTape(self._reader), self._limits, self.uri))
        keys = keys_of(self.uri, [entry.name for entry in entries])
        return dict(zip(keys, entries, strict=True))

    def _info(self, key: str, member: TarEntry) -> ObjectInfo:
        return ObjectInfo(key, member.size, "")

    def _content(self, key: str, member: TarEntry) -> Iterator[bytes]:
        for start in range(0, member.size, PIECE):
            yield self._part(key, member, start, min(start + PIECE, member.size))

    def _part(self, key: str, member: TarEntry, start: int, stop: int) -> bytes:
        return self._reader.read(member.start + start, stop - start)
