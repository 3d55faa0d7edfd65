"""Progress of long work, in a log that people read in a terminal or a pod."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("rfdetr_train.datasets")
_SECONDS = 5.0


class Progress:
    """Logs a line every five seconds; short work stays silent."""

    def __init__(self, what: str, total: int) -> None:
        """Start the clock."""
        self._what = what
        self._total = total
        self._done = 0
        self._bytes = 0
        self._start = self._last = time.monotonic()

    def advance(self, size: int) -> None:
        """Count one more file.

        Args:
            size: Bytes transferred for it.
        """
        self._done += 1
        self._bytes += size
        now = time.monotonic()
        if now - self._last >= _SECONDS:
            self._last = now
            logger.info("%s", self._line(max(now - self._start, 1e-9)))

    def _line(self, seconds: float) -> str:
        """Return files done, bytes, rates and the time left."""
        rate = self._done / seconds
        line = f"{self._what}: {self._done:,}/{self._total:,} files, {rate:,.0f} files/s"
        if self._bytes:
            line += f", {self._bytes / 1e6:,.1f} MB, {self._bytes / 1e6 / seconds:,.1f} MB/s"
        return f"{line}, {(self._total - self._done) / rate:,.0f} s left"
