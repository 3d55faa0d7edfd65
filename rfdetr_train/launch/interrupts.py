"""SIGTERM and SIGINT in the launcher: at any time, also while it stages data or uploads."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rfdetr_train.errors import Preempted

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def stop_at_once() -> Iterator[None]:
    """Let a signal end the block with :class:`Preempted`: nothing in it needs to be saved."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Preempted(f"the training was stopped by {signal.Signals(number).name} before it had begun")

    yield from _handled(stop)


@contextmanager
def forward(to: Callable[[], None]) -> Iterator[list[int]]:
    """Pass signals on; gives the list of those that came.

    Args:
        to: Is called for each.
    """
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        received.append(number)
        _log.warning("signal %s: passed on to the training", signal.Signals(number).name)
        to()

    for _ in _handled(pass_on):
        yield received


@contextmanager
def finish_first() -> Iterator[None]:
    """Let a signal wait: the block publishes what the training left, and has a deadline of its own."""

    def note(number: int, _: FrameType | None) -> None:
        _log.warning("signal %s: the checkpoints are being published, then this ends", signal.Signals(number).name)

    yield from _handled(note)
