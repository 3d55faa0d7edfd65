"""Bring a big object in ranges, many at once, straight to their places in the file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from rfdetr_train.storage.parallel import map_parallel
from rfdetr_train.storage.retry import Result, TransientError, retrying
from rfdetr_train.storage.s3_errors import error_code
from rfdetr_train.storage.s3_requests import Client, Requests
from rfdetr_train.storage.store import Conflict

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, GetResult

Range = tuple[int, int]  # first byte, and the one behind the last
_FIRST = 1 << 20  # brought alone: only its answer tells the size and the version
_CHUNK = 1 << 20


class Download:
    """One object on its way to a file."""

    def __init__(self, requests: Requests, key: str, version: str) -> None:
        """Prepare; ``version`` is the ETag that the object must have, "" for any."""
        self._requests, self._key, self._version = requests, key, version
        self._limits = requests.limits
        self._where = f"{requests.location.uri}/{key}"
        self._deadline = time.monotonic() + self._limits.file_seconds

    def to(self, path: Path) -> None:
        """Write the object; what comes after its first range comes at once, and of the same version.

        Raises:
            Conflict: It has another version, or got one meanwhile.
        """
        size, done = self._retrying(lambda: self._requests.call(self._key, lambda client: self._begin(client, path)))
        ranges = list(_split(done, size, self._limits.range_bytes))
        if not ranges:
            return
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows now
            for _ in map_parallel(lambda part: self._bring(file.fileno(), part), ranges, self._limits.ranges):
                pass

    def _retrying(self, call: Callable[[], Result]) -> Result:
        return retrying(call, deadline=self._deadline, what=f"The download of {self._where}")

    def _begin(self, client: Client, path: Path) -> tuple[int, int]:
        """Write the first range, from now on insist on its version; return the size and the bytes written."""
        result = self._first(client)
        check_tag(result.meta["e_tag"], self._version, self._where)
        with path.open("wb") as file:
            write_chunks(file.fileno(), 0, result.stream(_CHUNK), result.range[1], self._where)
        self._version = result.meta["e_tag"] or ""
        return result.meta["size"], result.range[1]

    def _first(self, client: Client) -> GetResult:
        options = pinned(self._version)
        try:
            return obstore.get(client, self._key, options={**options, "range": (0, _FIRST)})
        except BaseError as error:
            # An empty object has no range, and some servers know none at all.
            if error_code(error) == "InvalidRange" or "non-partial" in str(error):
                return obstore.get(client, self._key, options=options)
            raise

    def _bring(self, descriptor: int, part: Range) -> None:
        """Write one range."""

        def bring(client: Client) -> None:
            stream = obstore.get(client, self._key, options={**pinned(self._version), "range": part}).stream(_CHUNK)
            write_chunks(descriptor, part[0], stream, part[1] - part[0], self._where)

        self._retrying(lambda: self._requests.call(self._key, bring))


def _split(first: int, size: int, part_bytes: int) -> Iterator[Range]:
    """Cut what follows ``first`` into ranges."""
    for start in range(first, size, part_bytes):
        yield start, min(start + part_bytes, size)


def pinned(version: str) -> GetOptions:
    """The options of a request that only this version may answer."""
    return {"if_match": version} if version else {}


def check_tag(found: str | None, version: str, where: str) -> None:
    """Refuse the answer of a server that knows no conditions, if it is of another version.

    Raises:
        Conflict: It is.
    """
    if version and found and found.strip('"') != version.strip('"'):
        raise Conflict(f"{where} has changed: it has version {found}, {version} was expected.")


def write_chunks(descriptor: int, start: int, chunks: Iterable[bytes | Bytes], wanted: int, where: str) -> None:
    """Write chunks to their place.

    Raises:
        TransientError: The answer ended before its time.
    """
    position = start
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(descriptor, view, position)
            position, view = position + written, view[written:]
    if position - start != wanted:
        raise TransientError(f"The answer for {where} broke off after {position - start:,} of {wanted:,} bytes.")
