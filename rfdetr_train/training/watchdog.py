"""End a rank that makes no progress: a hung collective or data loader would wait, and cost, for ever."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

from rfdetr_train.errors import ExitCode


class Watchdog:
    """Dumps the stacks of all threads and ends the process after too long without a sign of life."""

    def __init__(self, seconds: float, on_hang: Callable[[str], None]) -> None:
        """Start to watch.

        Args:
            seconds: Longest time between two signs of life.
            on_hang: Is told what happened, before the process ends.
        """
        self._seconds = seconds
        self._on_hang = on_hang
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def alive(self) -> None:
        """Give a sign of life."""
        self._last = time.monotonic()

    def close(self) -> None:
        """Watch no longer."""
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        pause = min(self._seconds / 4, 10.0)
        while not self._ended.wait(pause):
            left = self._last + self._seconds - time.monotonic()
            # For a hang that holds the interpreter lock, in which this thread never runs again.
            faulthandler.dump_traceback_later(max(left, 0) + 4 * pause, exit=True)
            if left <= 0:
                self._end()

    def _end(self) -> None:
        self._on_hang(f"a training process made no progress for {self._seconds:.0f} s; the log above shows where it is")
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        sys.stderr.flush()
        os._exit(ExitCode.INFRASTRUCTURE)
