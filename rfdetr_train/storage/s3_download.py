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

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult

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
        with path.open("wb") as file:
            _write(file.fileno(), 0, result.stream(_CHUNK), result.range[1], self._where)
        self._version = result.meta["e_tag"] or ""
        return result.meta["size"], result.range[1]

    def _first(self, client: Client) -> GetResult:
        options = self._pinned()
        try:
            return obstore.get(client, self._key, options={**options, "range": (0, _FIRST)})
        except BaseError as error:
            # An empty object has no range, and some servers know none at all.
            if error_code(error) == "InvalidRange" or "non-partial" in str(error):
                return obstore.get(client, self._key, options=options)
            raise

    def _pinned(self) -> GetOptions:
        return {"if_match": self._version} if self._version else {}

    def _bring(self, descriptor: int, part: Range) -> None:
        """Write one range."""

        def bring(client: Client) -> None:
            stream = obstore.get(client, self._key, options={**self._pinned(), "range": part}).stream(_CHUNK)
            _write(descriptor, part[0], stream, part[1] - part[0], self._where)

        self._retrying(lambda: self._requests.call(self._key, bring))


def _split(first: int, size: int, part_bytes: int) -> Iterator[Range]:
    """Cut what follows ``first`` into ranges."""
    for start in range(first, size, part_bytes):
        yield start, min(start + part_bytes, size)


def _write(descriptor: int, start: int, chunks: Iterable[bytes], wanted: int, where: str) -> None:
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
