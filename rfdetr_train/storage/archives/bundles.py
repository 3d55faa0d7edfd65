"""Small neighbours in an archive, read together: a request for each of 100,000 label files takes minutes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from threading import Lock

from rfdetr_train.storage.archives.ranges import RangeReader
from rfdetr_train.storage.archives.scratch import Scratch

_SMALL = 16 << 10  # bytes of a member
_BUNDLE = 1 << 20

Span = tuple[int, int]  # first byte, and the one behind the last


class Bundles:
    """Reads ranges of an archive; one in a bundle brings the whole bundle, once, to a file at the same place."""

    def __init__(self, reader: RangeReader, spans: Iterable[Span]) -> None:
        """Bundle what is small.

        Args:
            reader: The archive.
            spans: Where its members lie, in order.
        """
        self._reader = reader
        self._bundles = list(_bundles(spans))
        self._starts = [start for start, _ in self._bundles]
        self._locks = [Lock() for _ in self._bundles]
        self._here = [False] * len(self._bundles)
        self._mirror = Scratch()

    def read(self, start: int, count: int) -> bytes:
        """See ``RangeReader.read``."""
        number = bisect_right(self._starts, start) - 1
        if number < 0 or start + count > self._bundles[number][1]:
            return self._reader.read(start, count)
        first, stop = self._bundles[number]
        with self._locks[number]:
            if not self._here[number]:
                self._mirror.write(first, self._reader.read(first, stop - first))
                self._here[number] = True
        return self._mirror.read(start, count)


def _bundles(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield what at least two small members side by side take."""
    first = stop = members = 0
    for start, end in spans:
        small = end - start <= _SMALL
        if members and not (small and start == stop and end - first <= _BUNDLE):
            if members > 1:
                yield first, stop
            members = 0
        if small:
            first, stop, members = first if members else start, end, members + 1
    if members > 1:
        yield first, stop
