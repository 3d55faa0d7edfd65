"""Try again what fails for a while: a throttled, restarting or unreachable server."""

from __future__ import annotations

import errno
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from rfdetr_train.errors import InfrastructureError

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.2  # seconds
_LONGEST_PAUSE = 20.0
_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_NEVER = threading.Event()
Result = TypeVar("Result")


class TransientError(InfrastructureError):
    """A failure that may pass by itself: no answer, an answer that broke off, 429 or 5xx."""


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help; a missing file, a full disk or a refused access does not pass by itself."""
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in _PASSING
    return isinstance(error, TransientError)


def retrying(call: Callable[[], Result], *, deadline: float, stop: threading.Event | None = None, what: str) -> Result:
    """Call until it works, with exponential pauses of random length in between (full jitter).

    Args:
        call: The whole operation; it is safe to do twice.
        deadline: On the clock of ``time.monotonic``; no attempt begins after it.
        stop: Ends the waiting early.
        what: Name of the operation, for the log.

    Raises:
        InfrastructureError: The last failure, at the deadline or when stopped.
        OSError: The same, of the operating system.
    """
    stop = stop or _NEVER
    for attempt in itertools.count():
        try:
            return call()
        except (InfrastructureError, OSError) as error:
            pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
            if not is_transient(error) or stop.is_set() or time.monotonic() + pause >= deadline:
                raise
            _log.warning("%s: %s Attempt %d follows in %.1f s.", what, error, attempt + 2, pause)
            if stop.wait(pause):
                raise
    raise AssertionError("an endless count ended")
