"""A folder on a local disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from pathlib import Path

from rfdetr_train.files import TEMPORARY, atomic_replace, atomic_write_bytes, temporary_sibling
from rfdetr_train.storage.keys import check_key, check_keys, check_names
from rfdetr_train.storage.local_fetch import Fetch, check_version, hard_link, version_of
from rfdetr_train.storage.store import Conflict, Listing, Names, ObjectInfo, Wanted, too_large
from rfdetr_train.storage.uri import Location
from rfdetr_train.storage.walk import LOCK, real_path, walk


class LocalStore:
    """A folder. Symbolic links are followed as long as they stay inside it."""

    parallelism = 1
    has_ranges = True

    def __init__(self, location: Location) -> None:
        """Open the folder; it need not exist yet."""
        self.uri = location.uri
        self._root = location.root
        self._real_folders: dict[str, str] = {}  # real paths

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        return Path(self._path(key)).is_file()

    def size(self, key: str) -> int:
        """See ``Store.size``."""
        return self._source(key)[1]

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        path, size = self._source(key)
        if max_bytes is not None and size > max_bytes:
            raise too_large(self.uri, key, max_bytes)
        # Path.open and a buffer would add a third to the time of 100,000 label files.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """See ``Store.read_range``."""
        descriptor = os.open(self._source(key)[0], os.O_RDONLY)
        try:
            return os.pread(descriptor, count, start)
        finally:
            os.close(descriptor)

    def write(self, key: str, data: bytes) -> None:
        """See ``Store.write``."""
        atomic_write_bytes(self._path(key), data)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """See ``Store.read_versioned``; the version is the digest of the content."""
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def write_if(self, key: str, data: bytes, version: str | None) -> str:
        """See ``Store.write_if``."""
        path = self._path(key)
        new = hashlib.sha256(data).hexdigest()
        with _locked(Path(path).parent):
            found = version_of(path)
            if found == new:
                return new
            if found != version:
                raise Conflict(
                    f"{self.uri}/{key} was written by somebody else: it has version {found}, {version} was expected."
                )
            atomic_write_bytes(path, data)
        return new

    def put_file(self, key: str, path: Path, *, deadline: float | None = None) -> None:
        """See ``Store.put_file``. A copy and no link: the source may be written to later."""
        with atomic_replace(self._path(key)) as temporary:
            shutil.copyfile(path, temporary)

    def copy(self, source: str, destination: str) -> bool:
        """See ``Store.copy``; a hard link where the file system has them, for no object is changed in place."""
        path = os.path.realpath(self._path(source))
        with atomic_replace(self._path(destination)) as temporary:
            if not hard_link(path, temporary):
                shutil.copyfile(path, temporary)
        return True

    def abort_uploads(self, prefix: str = "") -> int:
        """See ``Store.abort_uploads``."""
        left = [found.key for found in self.list(prefix) if TEMPORARY.fullmatch(found.key.rpartition("/")[2])]
        for key in left:
            self.delete(key)
        return len(left)

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        Path(self._path(key)).unlink(missing_ok=True)

    def fetch(self, key: str, destination: Path, *, link: bool = True, version: str = "") -> None:
        """See ``Store.fetch``."""
        # The real path: a hard link to a symbolic link would leave the store again.
        source = os.path.realpath(self._path(key))
        if version:
            check_version(source, version, f"{self.uri}/{key}")
        with temporary_sibling(destination) as temporary:
            if not (link and hard_link(source, temporary)):
                shutil.copyfile(source, temporary)
            temporary.replace(destination)

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``; where the first files can be linked, all are tried, else they are copied."""
        return Fetch(self.uri, self._source).all(wanted, link=link)

    def names(self, prefix: str = "") -> Names:
        """See ``Store.names``.

        Raises:
            DatasetError: As from ``list``.
        """
        found: Names = []
        for folder, names in self._folders(prefix):
            found += [f"{folder}/{name}" for name in names] if folder else names
        return found

    def folders(self) -> dict[str, Names]:
        """See ``Store.folders``.

        Raises:
            DatasetError: As from ``list``.
        """
        return dict(self._folders(""))

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``.

        Raises:
            DatasetError: A symbolic link leaves the folder or turns in a circle, or a folder cannot be read.
        """
        found: Listing = []
        for folder, files in walk(self._root, self._start(prefix), _name_and_size):
            above = f"{folder}/" if folder else ""
            infos = [ObjectInfo(above + name, size, "") for name, size in files if name != LOCK]
            check_keys([info.key for info in infos])
            found += infos
        found.sort(key=itemgetter(0))
        return found

    def folder(self, key: str) -> str:
        """Return the real path of a folder, for whoever opens many files there; each is looked at once."""
        if key not in self._real_folders:
            self._real_folders[key] = real_path(self._root, self._path(key) if key else self._root)
        return self._real_folders[key]

    def _folders(self, prefix: str) -> Iterator[tuple[str, Names]]:
        """Yield the names of the files of each folder under a folder-like prefix."""
        for folder, names in walk(self._root, self._start(prefix), attrgetter("name")):
            if LOCK in names:
                names.remove(LOCK)
            if names:
                check_names(folder, names)
                yield folder, names

    def _start(self, prefix: str) -> str:
        """Return the path of a folder-like prefix."""
        return self._path(prefix.rstrip("/")) if prefix.strip("/") else self._root

    def _path(self, key: str) -> str:
        """Return the path of a key that stays inside the root."""
        path = f"{self._root.rstrip('/')}/{check_key(key)}"
        real_path(self._root, path)
        return path

    def _source(self, key: str) -> tuple[str, int]:
        """Return the path of an object without symbolic links, and its size."""
        folder, _, name = check_key(key).rpartition("/")
        path = f"{self.folder(folder)}/{name}"
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            path = real_path(self._root, path)
            found = os.stat(path)  # noqa: PTH116
        return path, found.st_size


def _name_and_size(entry: os.DirEntry[str]) -> tuple[str, int]:
    """Return what a listing says of a file."""
    return entry.name, entry.stat().st_size


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of the compare-and-write of a folder; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
