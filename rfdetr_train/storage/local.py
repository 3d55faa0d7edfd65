"""A folder on a local disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rfdetr_train.errors import DatasetError
from rfdetr_train.files import atomic_replace, atomic_write_bytes, digest, temporary_sibling
from rfdetr_train.storage.keys import check_key
from rfdetr_train.storage.store import Conflict, Listing, ObjectInfo, too_large
from rfdetr_train.storage.uri import Location

_LOCK = ".rfdetr-lock"
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}(\..*)?")  # as files.temporary_sibling names them


class LocalStore:
    """A folder. Symbolic links are followed as long as they stay inside it."""

    parallelism = 1

    def __init__(self, location: Location) -> None:
        """Open the folder; it need not exist yet."""
        self.uri = location.uri
        self._root = location.root

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        return Path(self._path(key)).is_file()

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        with Path(self._path(key)).open("rb") as file:
            if max_bytes is not None and os.fstat(file.fileno()).st_size > max_bytes:
                raise too_large(self.uri, key, max_bytes)
            return file.read()

    def read_head(self, key: str, count: int) -> bytes:
        """See ``Store.read_head``."""
        with Path(self._path(key)).open("rb", buffering=0) as file:
            return file.read(count)

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
            found = _digest(path)
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
            if not _link(path, temporary):
                shutil.copyfile(path, temporary)
        return True

    def abort_uploads(self, prefix: str = "") -> int:
        """See ``Store.abort_uploads``."""
        left = [found.key for found in self.list(prefix) if _TEMPORARY.fullmatch(found.key.rpartition("/")[2])]
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
        found = _digest(source) if version else ""
        if found and found != version:
            raise Conflict(f"{self.uri}/{key} has changed: it has version {found}, {version} was expected.")
        with temporary_sibling(destination) as temporary:
            if not (link and _link(source, temporary)):
                shutil.copyfile(source, temporary)
            temporary.replace(destination)

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``.

        Raises:
            DatasetError: A symbolic link leaves the folder or turns in a circle, or a folder cannot be read.
        """
        folder = self._path(prefix.rstrip("/")) if prefix.strip("/") else self._root
        skip = len(self._root.rstrip("/")) + 1
        found = [ObjectInfo(check_key(path[skip:]), size, "") for path, size in self._walk(folder, ())]
        found.sort()
        return found

    def _path(self, key: str) -> str:
        """Return the path of a key that stays inside the root."""
        path = f"{self._root.rstrip('/')}/{check_key(key)}"
        self._check_inside(path)
        return path

    def _check_inside(self, path: str) -> str:
        """Return the real path, if it is inside the root."""
        real = os.path.realpath(path)
        if real != self._root and not real.startswith(self._root.rstrip("/") + "/"):
            raise DatasetError(
                f"{path} is a symbolic link that leaves the dataset folder. "
                "Put a copy or a hard link of the file there instead."
            )
        return real

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        """Yield path and size of every file under a folder.

        Args:
            folder: Where to look.
            above: Real paths of the folders that led here through symbolic links.
        """
        try:
            entries = list_folder(folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder == self._root and isinstance(error, NotADirectoryError):
                raise DatasetError(f"{folder} is a file, not a folder. Unpack it and give the folder.") from None
            return
        except PermissionError:
            raise DatasetError(f"{folder} cannot be read: permission denied. Change its permissions.") from None
        for entry in entries:
            linked = entry.is_symlink()
            real = self._check_inside(entry.path) if linked else ""
            if entry.name == _LOCK:
                continue
            if entry.is_file():
                yield entry.path, entry.stat().st_size
            elif entry.is_dir():
                if linked and (real in above or f"{os.path.realpath(folder)}/".startswith(f"{real}/")):
                    raise DatasetError(f"{entry.path} is a symbolic link to a folder above it. Remove the link.")
                yield from self._walk(entry.path, (*above, real) if linked else above)


def list_folder(folder: str) -> list[os.DirEntry[str]]:
    """Read a folder at once, so that a deep tree does not hold one open handle per level."""
    with os.scandir(folder) as entries:
        return list(entries)


def _link(source: str, temporary: Path) -> bool:
    """Make a hard link where the system allows one."""
    try:
        os.link(source, temporary)
    except OSError:
        # Another disk, a file of another user, or a file system without hard links.
        return False
    return True


def _digest(path: str) -> str | None:
    """Return the version of a file, None where there is none."""
    try:
        return digest(Path(path))
    except FileNotFoundError:
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of the compare-and-write of a folder; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
