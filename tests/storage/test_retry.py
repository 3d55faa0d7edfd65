import errno
import threading
import time

import pytest

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import TransientError, retrying
from rfdetr_train.storage.retry import _FIRST_PAUSE, _LONGEST_PAUSE


class Pauses(threading.Event):
    """Notes how long somebody wanted to wait."""

    def __init__(self):
        super().__init__()
        self.taken = []

    def wait(self, timeout=None):
        self.taken.append(timeout)
        return super().is_set()


def failing(times, error):
    """A call that fails so often, then returns the number of calls."""
    calls = []

    def call():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


def test_pauses_grow_at_random_below_a_bound_that_doubles():
    rounds = [Pauses() for _ in range(50)]
    for stop in rounds:
        call = failing(12, TransientError("503"))
        assert retrying(call, deadline=time.monotonic() + 1e6, stop=stop, what="x") == 13
    for attempt in range(12):
        taken = [stop.taken[attempt] for stop in rounds]
        bound = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
        assert all(0 <= pause <= bound for pause in taken)
        assert min(taken) < bound / 3
        assert max(taken) > bound * 2 / 3


@pytest.mark.parametrize(
    "error", [TransientError("x"), ConnectionResetError(), TimeoutError(), OSError(errno.EIO, "x")]
)
def test_failure_that_may_pass_is_tried_again(error):
    assert retrying(failing(1, error), deadline=time.monotonic() + 60, stop=Pauses(), what="x") == 2


@pytest.mark.parametrize("error", [InfrastructureError("x"), FileNotFoundError(), OSError(errno.ENOSPC, "full")])
def test_failure_that_stays_is_raised_at_once(error):
    with pytest.raises(type(error)):
        retrying(failing(1, error), deadline=time.monotonic() + 60, stop=Pauses(), what="x")


def test_last_failure_is_raised_at_the_deadline():
    started = time.monotonic()
    with pytest.raises(TransientError, match="503"):
        retrying(failing(10**6, TransientError("503")), deadline=started + 0.2, what="x")
    assert time.monotonic() - started < 0.3


def test_stopping_ends_the_waiting():
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    started = time.monotonic()
    with pytest.raises(TransientError):
        retrying(failing(10**6, TransientError("503")), deadline=started + 60, stop=stop, what="x")
    assert time.monotonic() - started < 2
