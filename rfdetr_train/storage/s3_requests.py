"""Requests to an S3 prefix: keys checked, errors explained, credentials read again when they are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError

from rfdetr_train.storage.endpoint import endpoint_url, refuse_redirect
from rfdetr_train.storage.keys import check_key, check_length
from rfdetr_train.storage.retry import retrying
from rfdetr_train.storage.s3_client import Limits, connect
from rfdetr_train.storage.s3_errors import AccessRefused, error_code, explain
from rfdetr_train.storage.uri import Location

Result = TypeVar("Result")
Client = obstore.store.S3Store


class Requests:
    """What all requests of a store have in common."""

    def __init__(self, location: Location, limits: Limits) -> None:
        """Make a client; nothing is asked yet.

        Raises:
            ParameterError: The environment names an endpoint that is not allowed.
        """
        self.location, self.limits = location, limits
        self._endpoint = endpoint_url()
        self.client = self._connect()

    def patiently(self, key: str, request: Callable[[Client], Result]) -> Result:
        """Make a request that obstore itself does not try again when the connection breaks."""
        end = time.monotonic() + self.limits.retry_seconds
        return retrying(
            lambda: self.call(key, request), deadline=end, what=f"The request for {self.location.uri}/{key}"
        )

    def call(self, key: str, request: Callable[[Client], Result]) -> Result:
        """Make a request for a key."""
        self.check(key)
        return self.any_key(key, request)

    def any_key(self, key: str, request: Callable[[Client], Result]) -> Result:
        """Make a request, and once more where access was refused and the credentials may have been renewed."""
        refuse_redirect(self._endpoint, self.location.root)
        try:
            with self._errors(key):
                return request(self.client)
        except AccessRefused:
            self.client = self._connect()
        with self._errors(key):
            return request(self.client)

    def _connect(self) -> Client:
        return connect(self.location.root, self.location.prefix, self.limits)

    def check(self, key: str) -> None:
        """Refuse a key that no object may have, by itself or with the prefix."""
        check_length(f"{self.location.prefix}/{check_key(key)}".lstrip("/"))

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn obstore's errors into ours.

        ``FileNotFoundError`` passes, but with a message of ours: the original repeats the server's whole answer.
        """
        try:
            yield
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise explain(error, self.location.uri) from None
            raise FileNotFoundError(f"{self.location.uri}/{key}") from None
        except BaseError as error:
            raise explain(error, f"{self.location.uri}/{key}".rstrip("/")) from None
