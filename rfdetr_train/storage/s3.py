"""An S3 prefix, through obstore. Endpoint and credentials come from the standard AWS_* environment only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from rfdetr_train.errors import DatasetError, InfrastructureError, RfdetrTrainError
from rfdetr_train.files import temporary_sibling
from rfdetr_train.storage.store import Listing, ObjectInfo, check_key, too_large
from rfdetr_train.storage.uri import Location

_CHUNK = 1 << 20
_REFUSED = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}


class S3Store:
    """A bucket, or a prefix in one."""

    parallelism = 32

    def __init__(self, location: Location) -> None:
        """Open the prefix; the first request is made by the first call."""
        self.uri = location.uri
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        self._store = obstore.store.S3Store(
            location.root,
            prefix=location.prefix or None,
            client_options={"allow_http": endpoint.startswith("http://")},
            # A server that does not answer is named within a minute; a throttled one gets its retries.
            retry_config={"max_retries": 8, "retry_timeout": timedelta(seconds=60)},
        )

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        try:
            with self._errors(key):
                obstore.head(self._store, check_key(key))
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        with self._errors(key):
            result = obstore.get(self._store, check_key(key))
            if max_bytes is not None and result.meta["size"] > max_bytes:
                raise too_large(self.uri, key, max_bytes)
            return bytes(result.bytes())

    def read_head(self, key: str, count: int) -> bytes:
        """See ``Store.read_head``."""
        try:
            with self._errors(key):
                return bytes(obstore.get_range(self._store, check_key(key), start=0, length=count))
        except InfrastructureError as error:
            # S3 answers a range of an empty object with an error.
            if "InvalidRange" in str(error):
                return b""
            raise

    def write(self, key: str, data: bytes) -> None:
        """See ``Store.write``."""
        with self._errors(key):
            obstore.put(self._store, check_key(key), data)

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        with self._errors(key):
            obstore.delete(self._store, check_key(key))

    def fetch(self, key: str, destination: Path, *, link: bool = True) -> None:
        """See ``Store.fetch``."""
        with self._errors(key), temporary_sibling(destination) as temporary:
            result = obstore.get(self._store, check_key(key))
            with temporary.open("wb") as file:
                for chunk in result.stream(min_chunk_size=_CHUNK):
                    file.write(chunk)
            temporary.replace(destination)

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``."""
        with self._errors(prefix):
            pages = obstore.list(self._store, prefix.strip("/") or None, chunk_size=1000)
            found = [
                ObjectInfo(check_key(item["path"]), item["size"], item["e_tag"] or "")
                for page in pages
                for item in page
            ]
        found.sort()
        return found

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn obstore's errors into ours.

        ``FileNotFoundError`` passes, but with a message of ours: the original repeats the server's whole answer.
        """
        try:
            yield
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise _explain(error, self.uri) from None
            raise FileNotFoundError(f"{self.uri}/{key}") from None
        except BaseError as error:
            raise _explain(error, f"{self.uri}/{key}".rstrip("/")) from None


def _explain(error: Exception, where: str) -> RfdetrTrainError:
    """Build the message of a failed request; never the server's answer, which may quote keys and signatures."""
    code = _code(error)
    if code == "NoSuchBucket":
        return DatasetError(f"The bucket of {where} does not exist. Check its name and AWS_ENDPOINT_URL.")
    if code in _REFUSED or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return InfrastructureError(
            f"Access to {where} was refused ({code or 'no permission'}). Check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, the role of the pod, and the policy of the bucket."
        )
    if "empty path segment" in str(error):
        return DatasetError(f"{where} holds a key with an empty part ('//'). Rename the object.")
    reason = code or str(error).splitlines()[0].rpartition(" - ")[2][:200]
    return InfrastructureError(
        f"The request for {where} failed ({reason}). Check AWS_ENDPOINT_URL, AWS_REGION and the network, and try again."
    )


def _code(error: Exception) -> str:
    """Return the error code of an S3 answer, "" where there was no answer."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found.group(1) if found else ""
