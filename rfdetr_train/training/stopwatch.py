"""Where the wall time of a rank goes, for the goodput of the run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from rfdetr_train.files import temporary_sibling

PROGRESS = ".progress.json"  # in the output folder, for the launcher
_SECONDS_BETWEEN_WRITES = 0.5


class Progress(msgspec.Struct, frozen=True):
    """What rank 0 tells the launcher while it trains.

    Attributes:
        step: Optimizer steps since the beginning of the run.
        first_step: The step at which this attempt began.
        seconds: Seconds of this attempt by what they went into: steps, validation, checkpoint_stall.
        started: ``time.monotonic`` of the first batch; 0 before it.
    """

    step: int = 0
    first_step: int = 0
    seconds: dict[str, float] = {}
    started: float = 0.0


class Stopwatch:
    """Adds up seconds by what they went into."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Add the time of a block."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] += time.monotonic() - begin


class ProgressFile:
    """Rank 0's word to the launcher, written twice a second."""

    def __init__(self, output_dir: Path) -> None:
        """Remember where."""
        self._path = output_dir / PROGRESS
        self._written = 0.0

    def write(self, progress: Progress, *, now: bool = False) -> None:
        """Write when it is time.

        Args:
            progress: What to say.
            now: Do not wait.
        """
        if now or time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
            # Not synced to the disk: it is in the way of the training, and a lost file costs a figure and no result.
            with temporary_sibling(self._path) as temporary:
                temporary.write_bytes(msgspec.json.encode(progress))
                temporary.replace(self._path)
            self._written = time.monotonic()


def read_progress(output_dir: Path) -> Progress:
    """What rank 0 said last; zeros when it said nothing."""
    try:
        return msgspec.json.decode((output_dir / PROGRESS).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return Progress()
