"""The bytes of an archive, wherever it lies: by range, and all in order. All of one version of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Protocol

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.archives.scratch import close_with, read_at
from rfdetr_train.storage.store import Conflict

PIECE = 8 << 20  # bytes that are read at once where there are many to read


class RangeReader(Protocol):
    """An archive as bytes; every call may come from any thread, and the first one opens it."""

    uri: str
    parallelism: int
    """See ``Store.parallelism``."""
    workers: int
    """How many pieces at once pay off when everything is read."""

    @property
    def size(self) -> int:
        """Bytes of the archive.

        Raises:
            DatasetError: There is none.
        """

    def read(self, start: int, count: int) -> bytes:
        """Read a range that lies inside.

        Raises:
            Conflict: The archive is another one by now.
        """

    def stream(self) -> Iterator[bytes]:
        """Read everything in order.

        Raises:
            Conflict: The archive is another one by now.
        """


class FileReader:
    """An archive on a local disk."""

    parallelism = 1

    def __init__(self, path: str) -> None:
        """Name the file; it is opened when it is needed."""
        self.uri = path
        self._path = Path(path)
        self.workers = min(4, os.cpu_count() or 1)
        self._lock = Lock()
        self._opened: tuple[int, os.stat_result] | None = None

    @property
    def size(self) -> int:
        """See ``RangeReader.size``."""
        return self._open()[1].st_size

    def read(self, start: int, count: int) -> bytes:
        """See ``RangeReader.read``."""
        descriptor, opened = self._open()
        found = read_at(descriptor, start, count)
        self._check_same(opened)
        return found

    def stream(self) -> Iterator[bytes]:
        """See ``RangeReader.stream``."""
        for start in range(0, self.size, PIECE):
            yield self.read(start, min(PIECE, self.size - start))

    def _open(self) -> tuple[int, os.stat_result]:
        with self._lock:
            if self._opened is None:
                descriptor = _open(self.uri)
                close_with(self, descriptor)
                self._opened = descriptor, os.fstat(descriptor)
            return self._opened

    def _check_same(self, opened: os.stat_result) -> None:
        """Refuse an archive that was written to, or whose name another file has got."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            now = None
        if now is None or _version(now) != _version(opened):
            raise swapped(self.uri)


def swapped(uri: str) -> Conflict:
    """Build the error of an archive that is another one by now."""
    return Conflict(f"{uri} has changed while it was read: it is not the archive that was opened. Start again.")


def no_archive(uri: str) -> DatasetError:
    """Build the error of an archive that is not there."""
    return DatasetError(f"There is no archive at {uri}. Check the path.")


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise no_archive(path) from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None


def _version(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
