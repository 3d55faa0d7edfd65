"""``lease.json``: what it says, and how it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from rfdetr_train.checkpoints.holder import Holder
from rfdetr_train.storage import Store, retrying

KEY = "lease.json"
TTL = 30.0  # seconds
_PATIENCE = 60.0  # seconds with a store that does not answer
Result = TypeVar("Result")


class Record(msgspec.Struct, frozen=True):
    """What ``lease.json`` says.

    Attributes:
        token: Random; a lease is ours as long as it has ours.
        generation: Counts the leases of the run.
        holder: The process.
        step: The last optimizer step that the holder knew of.
        ttl: Seconds without renewal after which the lease is lost.
        renewals: So that every renewal changes the content, and with it the version.
        released: Whether the holder ended in good order.
    """

    token: str
    generation: Annotated[int, Meta(ge=0)]
    holder: Holder
    step: int
    ttl: Annotated[float, Meta(gt=0, le=3600)]
    renewals: int = 0
    released: bool = False


def read_record(store: Store, *, deadline: float | None = None, ttl: float = TTL) -> tuple[Record, str] | None:
    """Read the lease of a run and its version; None when there is none.

    Args:
        store: The run's folder.
        deadline: For a store that does not answer, on the clock of ``time.monotonic``.
        ttl: Time to live of a lease that cannot be read.
    """
    try:
        data, version = patiently(lambda: store.read_versioned(KEY), deadline)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Record), version
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Held by nobody who can be named: free when it is not renewed.
        return Record("", 0, Holder("an unknown host", "", 1, 0), 0, ttl), version


def patiently(call: Callable[[], Result], deadline: float | None = None) -> Result:
    """Call a store that may not answer for a while."""
    return retrying(call, deadline=deadline or time.monotonic() + _PATIENCE, what="The lease of the run")
