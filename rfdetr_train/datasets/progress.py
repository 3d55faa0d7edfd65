"""Progress of long work, in a log that people read in a terminal or a pod."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("rfdetr_train.datasets")
_SECONDS = 5.0


class Progress:
    """Logs a line every five seconds; short work stays silent."""

    def __init__(self, what: str, total: int, total_bytes: int = 0) -> None:
        """Start the clock.

        Args:
            what: Name of the work.
            total: Files.
            total_bytes: Of all files, where they are transferred; the time left is told by them.
        """
        self._what, self._total, self._total_bytes = what, total, total_bytes
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
        line = f"{self._what}: {self._done:,}/{self._total:,} files, {self._done / seconds:,.0f} files/s"
        if self._bytes:
            of_all = f"/{self._total_bytes / 1e6:,.1f}" if self._total_bytes else ""
            line += f", {self._bytes / 1e6:,.1f}{of_all} MB, {self._bytes / 1e6 / seconds:,.1f} MB/s"
        part = self._bytes / self._total_bytes if self._bytes and self._total_bytes else self._done / self._total
        return f"{line}, {seconds / part - seconds:,.0f} s left"
