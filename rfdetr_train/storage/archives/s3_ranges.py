"""The bytes of an archive in S3, by ranged GETs that are each tried again by themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import obstore

from rfdetr_train.storage.archives.ranges import PIECE, no_archive
from rfdetr_train.storage.retry import Result, TransientError
from rfdetr_train.storage.s3_client import Limits
from rfdetr_train.storage.s3_requests import Client, Requests
from rfdetr_train.storage.uri import Location

_AHEAD = 4  # pieces of a stream on their way


class S3Reader:
    """An archive in S3; see ``RangeReader``. Its ETag is asked for once, and every range must be of that version."""

    parallelism = 32
    workers = 8

    def __init__(self, location: Location) -> None:
        """Name the object; nothing is asked yet."""
        folder, _, self._key = location.prefix.rpartition("/")
        self.uri = location.uri
        self._requests = Requests(location._replace(prefix=folder), Limits())
        self._lock = Lock()
        self._found: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        """See ``RangeReader.size``."""
        return self._head()[0]

    def read(self, start: int, count: int) -> bytes:
        """See ``RangeReader.read``."""
        if not count:
            return b""
        etag = self._head()[1]

        def get(client: Client) -> bytes:
            options: obstore.GetOptions = {"range": (start, start + count)}
            if etag:
                options["if_match"] = etag
            found = bytes(obstore.get(client, self._key, options=options).bytes())
            if len(found) != count:
                raise TransientError(f"The answer for {self.uri} broke off after {len(found):,} of {count:,} bytes.")
            return found

        return self._ask(get)

    def stream(self) -> Iterator[bytes]:
        """See ``RangeReader.stream``; a few pieces are on their way at a time."""
        size = self.size
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(_AHEAD) as pool:
            try:
                for position in range(0, size, PIECE):
                    waiting.append(pool.submit(self.read, position, min(PIECE, size - position)))
                    if len(waiting) == _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for left in waiting:
                    left.cancel()

    def _head(self) -> tuple[int, str]:
        """Return size and ETag."""
        with self._lock:
            if self._found is None:
                meta = self._ask(lambda client: obstore.head(client, self._key))
                self._found = meta["size"], meta["e_tag"] or ""
            return self._found

    def _ask(self, request: Callable[[Client], Result]) -> Result:
        try:
            return self._requests.patiently(self._key, request)
        except FileNotFoundError:
            raise no_archive(self.uri) from None
