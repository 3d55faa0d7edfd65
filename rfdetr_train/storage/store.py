"""The protocol of a store, and the one function that opens one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.uri import parse_location


class ObjectInfo(NamedTuple):
    """One object of a listing.

    Attributes:
        key: Posix path relative to the root of the store.
        size: Bytes.
        etag: The server's content tag; "" on a local disk, which has none.
    """

    key: str
    size: int
    etag: str


# The method `list` hides the builtin inside the classes that have it.
Listing = list[ObjectInfo]


class Store(Protocol):
    """A folder or an S3 prefix. A key is a posix path relative to it; a key that would leave it is refused."""

    uri: str
    parallelism: int
    """How many calls at once pay off: 1 on a local disk, 32 where every call waits for a server."""

    def exists(self, key: str) -> bool:
        """Say whether there is an object at the key."""

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is none.
            DatasetError: It is larger than ``max_bytes``.
        """

    def read_head(self, key: str, count: int) -> bytes:
        """Read the first ``count`` bytes, or all where there are fewer, and transfer no more than that."""

    def write(self, key: str, data: bytes) -> None:
        """Write an object, whole or not at all."""

    def delete(self, key: str) -> None:
        """Remove an object; no error where there is none."""

    def fetch(self, key: str, destination: Path, *, link: bool = True) -> None:
        """Bring an object to a local path, whole or not at all.

        Args:
            key: The object.
            destination: File to make; its folder is made too.
            link: Where source and destination are on one disk, a hard link will do.
        """

    def list(self, prefix: str = "") -> Listing:
        """List the objects under a folder-like prefix, sorted by key; an empty list where there is nothing."""


def open_store(uri: str) -> Store:
    """Open the store at a location; nothing is read yet.

    Raises:
        ParameterError: The location is of no known kind.
    """
    location = parse_location(uri)
    if location.scheme == "s3":
        from rfdetr_train.storage.s3 import S3Store

        return S3Store(location)
    from rfdetr_train.storage.local import LocalStore

    return LocalStore(location)


def check_key(key: str) -> str:
    """Return the key if it names something inside a store.

    Raises:
        DatasetError: It is empty, absolute, has a '..' or '.' part, a backslash or NUL, or is not UTF-8.
    """
    parts = key.split("/")
    if not all(parts) or ".." in parts or "." in parts or "\\" in key or "\0" in key or not _is_utf8(key):
        raise DatasetError(
            f"The file name {key!r} is refused: it must be a relative path in UTF-8 with '/' that stays inside the "
            "dataset (no '..', no leading '/', no backslash). Rename the file."
        )
    return key


def _is_utf8(key: str) -> bool:
    """Say whether a name can be written down; a local disk may hold names that cannot."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def too_large(uri: str, key: str, max_bytes: int) -> DatasetError:
    """Build the error of an object over its limit."""
    return DatasetError(
        f"{uri}/{key} is larger than {max_bytes:,} bytes, more than a file of its kind can need. "
        "Check that it is what its name says."
    )
