"""A folder on a local disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rfdetr_train.errors import DatasetError
from rfdetr_train.files import atomic_write_bytes, temporary_sibling
from rfdetr_train.storage.store import Listing, ObjectInfo, check_key, too_large
from rfdetr_train.storage.uri import Location


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

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        Path(self._path(key)).unlink(missing_ok=True)

    def fetch(self, key: str, destination: Path, *, link: bool = True) -> None:
        """See ``Store.fetch``."""
        # The real path: a hard link to a symbolic link would leave the store again.
        source = os.path.realpath(self._path(key))
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
