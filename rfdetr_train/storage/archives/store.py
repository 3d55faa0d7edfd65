"""What the stores of all archives have in common: an index that is made when it is needed, and nothing to write to."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, NoReturn, TypeVar

from rfdetr_train.errors import ParameterError
from rfdetr_train.storage.archives.ranges import RangeReader
from rfdetr_train.storage.keys import by_folder, check_key
from rfdetr_train.storage.store import Conflict, Listing, Names, ObjectInfo, Wanted, too_large

Member = TypeVar("Member")


class ArchiveStore(ABC, Generic[Member]):
    """The files of an archive below its root; see ``Store``."""

    has_ranges = False

    def __init__(self, reader: RangeReader) -> None:
        """Take an archive; nothing is read yet."""
        self.uri, self.parallelism = reader.uri, reader.parallelism
        self._reader = reader
        self._lock = Lock()
        self._index: dict[str, Member] | None = None

    @abstractmethod
    def _load(self) -> dict[str, Member]:
        """Return the members under their keys."""

    @abstractmethod
    def _info(self, key: str, member: Member) -> ObjectInfo:
        """Return what a listing says of a member."""

    @abstractmethod
    def _content(self, key: str, member: Member) -> Iterator[bytes]:
        """Yield the whole content of a member, checked."""

    @abstractmethod
    def _part(self, key: str, member: Member, start: int, stop: int) -> bytes:
        """Read a part of a member that lies inside."""

    @abstractmethod
    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``."""

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        return check_key(key) in self._members()

    def size(self, key: str) -> int:
        """See ``Store.size``."""
        return self._find(key)[1]

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        member, size = self._find(key)
        if max_bytes is not None and size > max_bytes:
            raise too_large(self.uri, key, max_bytes)
        whole = io.BytesIO()
        for piece in self._content(key, member):
            whole.write(piece)
        return whole.getvalue()

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """See ``Store.read_range``."""
        member, size = self._find(key)
        stop = min(start + count, size)
        if start == 0 and stop == size:
            return self.read(key)
        return self._part(key, member, start, stop) if start < stop else b""

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """See ``Store.read_versioned``; the version is the CRC-32 where the archive has one."""
        return self.read(key), self._info(key, self._find(key)[0]).etag

    def fetch(self, key: str, destination: Path, *, link: bool = True, version: str = "") -> None:
        """See ``Store.fetch``."""
        for _ in self.fetch_all([Wanted(key, self.size(key), destination, version)], link=link):
            pass

    def names(self, prefix: str = "") -> Names:
        """See ``Store.names``."""
        folder = f"{prefix.strip('/')}/".lstrip("/")
        return [key for key in self._members() if key.startswith(folder)]

    def folders(self) -> dict[str, Names]:
        """See ``Store.folders``."""
        return by_folder(self.names())

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``; the tag is the CRC-32 where the archive has one, else ""."""
        members = self._members()
        return [self._info(key, members[key]) for key in sorted(self.names(prefix))]

    def write(self, key: str, data: bytes) -> None:
        """Refuse."""
        self._read_only()

    def write_if(self, key: str, data: bytes, version: str | None) -> str:
        """Refuse."""
        self._read_only()

    def put_file(self, key: str, path: Path, *, deadline: float | None = None) -> None:
        """Refuse."""
        self._read_only()

    def copy(self, source: str, destination: str) -> bool:
        """See ``Store.copy``: an archive cannot."""
        return False

    def delete(self, key: str) -> None:
        """Refuse."""
        self._read_only()

    def abort_uploads(self, prefix: str = "") -> int:
        """See ``Store.abort_uploads``: there are none."""
        return 0

    def _members(self) -> dict[str, Member]:
        with self._lock:
            if self._index is None:
                self._index = self._load()
            return self._index

    def _find(self, key: str) -> tuple[Member, int]:
        """Return a member and its size."""
        member = self._members().get(check_key(key))
        if member is None:
            raise FileNotFoundError(f"{self.uri}/{key}")
        return member, self._info(key, member).size

    def _wanted_member(self, item: Wanted) -> Member:
        """Return the member that somebody wants.

        Raises:
            FileNotFoundError: There is none.
            Conflict: It has another version or size.
        """
        member, size = self._find(item.key)
        if size != item.size:
            raise changed(self.uri, item.key, f"{size:,} bytes, {item.size:,} were")
        etag = self._info(item.key, member).etag
        if item.version and etag != item.version:
            raise changed(self.uri, item.key, f"version {etag or 'unknown'}, {item.version} was")
        return member

    def _read_only(self) -> NoReturn:
        raise ParameterError(f"{self.uri} is an archive, which is only read. Write to a folder or an s3:// prefix.")


def changed(uri: str, key: str, found: str) -> Conflict:
    """Build the error of a member that is another one than was listed."""
    return Conflict(f"{uri}/{key} has changed: it has {found} expected.")
