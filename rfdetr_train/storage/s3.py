"""An S3 prefix, through obstore. Endpoint and credentials come from the standard AWS_* environment only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.exceptions import BaseError

from rfdetr_train.files import temporary_sibling
from rfdetr_train.storage.keys import by_folder, check_keys
from rfdetr_train.storage.memory import return_large_blocks
from rfdetr_train.storage.retry import TransientError, retrying
from rfdetr_train.storage.s3_client import Limits, abort_uploads
from rfdetr_train.storage.s3_download import Download
from rfdetr_train.storage.s3_errors import error_code
from rfdetr_train.storage.s3_fetch import Fetch
from rfdetr_train.storage.s3_requests import Client, Requests
from rfdetr_train.storage.store import Conflict, Listing, Names, ObjectInfo, Wanted, too_large
from rfdetr_train.storage.uri import Location

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion

    Metadata = list[ObjectMeta]


class S3Store:
    """A bucket, or a prefix in one."""

    parallelism = 32
    has_ranges = True

    def __init__(self, location: Location, limits: Limits | None = None) -> None:
        """Open the prefix; the first request is made by the first call.

        Raises:
            ParameterError: The environment names an endpoint that is not allowed.
        """
        self.uri = location.uri
        self._location = location
        self._limits = limits or Limits()
        self._requests = Requests(location, self._limits)

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        try:
            self._requests.call(key, lambda client: obstore.head(client, key))
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        """See ``Store.size``."""
        return self._requests.call(key, lambda client: obstore.head(client, key)["size"])

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        return self._requests.patiently(key, lambda client: self._content(client, key, max_bytes)[0])

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """See ``Store.read_range``."""

        def part(client: Client) -> bytes:
            try:
                return bytes(obstore.get_range(client, key, start=start, length=count))
            except BaseError as error:
                if error_code(error) == "InvalidRange":  # nothing is there, as in an empty object
                    return b""
                raise

        return self._requests.patiently(key, part)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """See ``Store.read_versioned``; the version is the ETag."""
        return self._requests.patiently(key, lambda client: self._content(client, key, None))

    def write(self, key: str, data: bytes) -> None:
        """See ``Store.write``."""
        self._requests.call(key, lambda client: obstore.put(client, key, data))

    def write_if(self, key: str, data: bytes, version: str | None) -> str:
        """See ``Store.write_if``."""
        try:
            return self._put_if(key, data, version)
        except Conflict:
            if not self.exists(key):
                raise
            found, current = self.read_versioned(key)
            if found == data:  # ours: the answer to an earlier attempt was lost
                return current
            bare = current.strip('"')
            if current != version or current == bare:
                raise
            # Ceph 16 compares the header with its bare tag, quotes and all, so that nothing ever matches.
            return self.write_if(key, data, bare)

    def put_file(self, key: str, path: Path, *, deadline: float | None = None) -> None:
        """See ``Store.put_file``."""
        self._requests.check(key)
        in_parts = path.stat().st_size > self._limits.part_bytes
        if in_parts:
            return_large_blocks()
        end = time.monotonic() + self._limits.file_seconds if deadline is None else deadline
        failed = 0

        def attempt() -> None:
            nonlocal failed
            failed += 1
            self._upload(key, path, end)
            failed -= 1

        try:
            retrying(attempt, deadline=end, what=f"The upload of {self.uri}/{key}")
        finally:
            # The parts of a failed attempt stay in the bucket, unseen and paid for.
            if in_parts and failed:
                self.abort_uploads(key)

    def copy(self, source: str, destination: str) -> bool:
        """See ``Store.copy``."""
        self._requests.check(destination)
        self._requests.call(source, lambda client: obstore.copy(client, source, destination))
        return True

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        self._requests.call(key, lambda client: obstore.delete(client, key))

    def abort_uploads(self, prefix: str = "") -> int:
        """See ``Store.abort_uploads``."""
        folder = "/".join(part for part in (self._location.prefix, prefix.strip("/")) if part)
        return abort_uploads(self._location.root, folder)

    def fetch(self, key: str, destination: Path, *, link: bool = True, version: str = "") -> None:
        """See ``Store.fetch``; a big object comes in ranges, all of the version of the first."""
        self._requests.check(key)
        with temporary_sibling(destination) as temporary:
            Download(self._requests, key, version).to(temporary)
            temporary.replace(destination)

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``; many small objects at once, then the big ones, each in ranges."""
        return Fetch(self._requests).all(wanted)

    def names(self, prefix: str = "") -> Names:
        """See ``Store.names``."""
        return [item["path"] for item in self._objects(prefix)]

    def folders(self) -> dict[str, Names]:
        """See ``Store.folders``."""
        return by_folder(self.names())

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``."""
        found = [ObjectInfo(item["path"], item["size"], item["e_tag"] or "") for item in self._objects(prefix)]
        found.sort(key=itemgetter(0))
        return found

    def _objects(self, prefix: str) -> Metadata:
        """Ask for all objects under a prefix."""

        def found(client: Client) -> Metadata:
            pages = obstore.list(client, prefix.strip("/") or None, chunk_size=1000)
            return [item for page in pages for item in page]

        objects = self._requests.any_key(prefix, found)
        check_keys([item["path"] for item in objects])
        return objects

    def _content(self, client: Client, key: str, max_bytes: int | None) -> tuple[bytes, str]:
        result = obstore.get(client, key)
        if max_bytes is not None and result.meta["size"] > max_bytes:
            raise too_large(self.uri, key, max_bytes)
        return bytes(result.bytes()), result.meta["e_tag"] or ""

    def _put_if(self, key: str, data: bytes, version: str | None) -> str:
        mode: Literal["create"] | UpdateVersion = "create" if version is None else {"e_tag": version}
        return self._requests.patiently(key, lambda client: obstore.put(client, key, data, mode=mode)["e_tag"] or "")

    def _upload(self, key: str, path: Path, deadline: float) -> None:
        """Put a file, in one attempt."""

        async def put(client: Client) -> None:
            limits = self._limits
            upload = obstore.put_async(client, key, path, chunk_size=limits.part_bytes, max_concurrency=limits.parts)
            await asyncio.wait_for(upload, deadline - time.monotonic())

        try:
            self._requests.call(key, lambda client: asyncio.run(put(client)))
        except TimeoutError:
            raise TransientError(f"The upload of {self.uri}/{key} did not end before its deadline.") from None
