"""The protocol of a store, and the one function that opens one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from rfdetr_train.errors import DatasetError, InfrastructureError
from rfdetr_train.storage.uri import parse_location


class Conflict(InfrastructureError):
    """An object is not the one that was expected: somebody else has written it in the meantime."""


class ObjectInfo(NamedTuple):
    """One object of a listing.

    Attributes:
        key: Posix path relative to the root of the store.
        size: Bytes.
        etag: The server's version of the content; "" where there is none, as on a local disk.
    """

    key: str
    size: int
    etag: str


class Wanted(NamedTuple):
    """One object to bring.

    Attributes:
        key: The object.
        size: Bytes that it must have.
        destination: File to make.
        version: The version that it must have, from ``read_versioned`` or a listing; "" takes any.
    """

    key: str
    size: int
    destination: Path
    version: str = ""


# The method `list` hides the builtin inside the classes that have it.
Listing = list[ObjectInfo]
Names = list[str]


class Store(Protocol):
    """A folder or an S3 prefix. A key is a posix path relative to it; a key that would leave it is refused."""

    uri: str
    parallelism: int
    """How many calls at once pay off: 1 on a local disk, 32 where every call waits for a server."""
    has_ranges: bool
    """Whether a part of an object costs only itself; in a packed archive it costs all that is before it."""

    def exists(self, key: str) -> bool:
        """Say whether there is an object at the key."""

    def size(self, key: str) -> int:
        """Return the bytes of an object.

        Raises:
            FileNotFoundError: There is none.
        """

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is none.
            DatasetError: It is larger than ``max_bytes``.
        """

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """Read ``count`` bytes from ``start`` on, or what there is of them, and transfer no more than that.

        Raises:
            FileNotFoundError: There is no object.
        """

    def write(self, key: str, data: bytes) -> None:
        """Write an object, whole or not at all."""

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Read an object and its version, for ``write_if``.

        Raises:
            FileNotFoundError: There is none.
        """

    def write_if(self, key: str, data: bytes, version: str | None) -> str:
        """Write an object if nobody else did, and return its new version.

        Bytes that are there already count as written: a lost answer is not a conflict. Where two writers compete,
        each must write something of its own.

        Args:
            key: The object.
            data: Its new content.
            version: What ``read_versioned`` gave; None when there must be no object yet.

        Raises:
            Conflict: There is another version.
        """

    def put_file(self, key: str, path: Path, *, deadline: float | None = None) -> None:
        """Copy a local file to an object, whole or not at all; failures that may pass are tried again.

        Args:
            key: The object.
            path: The file; it must not change meanwhile.
            deadline: On the clock of ``time.monotonic``; None lets the store choose.

        Raises:
            FileNotFoundError: There is no such file.
        """

    def copy(self, source: str, destination: str) -> bool:
        """Copy an object without moving its bytes through this machine; False where the store cannot.

        Raises:
            FileNotFoundError: There is no source.
        """

    def abort_uploads(self, prefix: str = "") -> int:
        """Remove what killed uploads to a folder-like prefix have left, and return the number.

        Nobody else may write there meanwhile. A failure is logged and not raised.
        """

    def delete(self, key: str) -> None:
        """Remove an object; no error where there is none."""

    def fetch(self, key: str, destination: Path, *, link: bool = True, version: str = "") -> None:
        """Bring an object to a local path, whole or not at all.

        Args:
            key: The object.
            destination: File to make; its folder is made too.
            link: Where source and destination are on one disk, a hard link will do.
            version: The version that it must have, from ``read_versioned`` or a listing; "" takes any.

        Raises:
            Conflict: It has another version, or changed while it was brought.
        """

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """Bring many objects, each whole or not at all, and yield each when it is there, in any order.

        Folders are made. The first failure ends it; what was brought until then stays. No two may have one destination.

        Args:
            wanted: The objects.
            link: Where source and destination are on one disk, hard links will do.

        Raises:
            FileNotFoundError: One is not there; the text of the error is its address.
            Conflict: One has another version or size, or changed while it was brought.
        """

    def names(self, prefix: str = "") -> Names:
        """Return the keys under a folder-like prefix, unsorted: less work than ``list`` where sizes do not matter."""

    def folders(self) -> dict[str, Names]:
        """Return the names of the files of every folder that has some; "" is the root. It saves the making of keys."""

    def list(self, prefix: str = "") -> Listing:
        """List the objects under a folder-like prefix, sorted by key; an empty list where there is nothing."""


def open_store(uri: str) -> Store:
    """Open the store at a location; nothing is read yet.

    A location that ends in .zip, .tar, .tar.gz, .tgz, .tar.zst or .tar.zstd is an archive, unless it is a local folder
    or is written with a '/' at its end.

    Raises:
        ParameterError: The location is of no known kind.
    """
    location = parse_location(uri)
    is_folder = uri.endswith("/") or (location.scheme == "file" and Path(location.root).is_dir())
    if location.names_archive and not is_folder:
        from rfdetr_train.storage.archives import open_archive

        return open_archive(location)
    if location.scheme == "s3":
        from rfdetr_train.storage.s3 import S3Store

        return S3Store(location)
    from rfdetr_train.storage.local import LocalStore

    return LocalStore(location)


def too_large(uri: str, key: str, max_bytes: int) -> DatasetError:
    """Build the error of an object over its limit."""
    return DatasetError(
        f"{uri}/{key} is larger than {max_bytes:,} bytes, more than a file of its kind can need. "
        "Check that it is what its name says."
    )
