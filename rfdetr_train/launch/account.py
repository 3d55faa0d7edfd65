"""Keeps account of where the time of an attempt goes, and adds it to that of the attempts before."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.launch.publication import GOODPUT, Publication, read_attempts
from rfdetr_train.params import Parameters
from rfdetr_train.training import goodput
from rfdetr_train.training.stopwatch import PROGRESS, read_progress

GOODPUT_FILE = "goodput.json"


@dataclass
class Account:
    """The time of one attempt.

    Attributes:
        parameters: Of the run.
        publication: Where the records go.
        begun: ``time.monotonic`` at the start of the attempt.
        staging: Seconds of staging.
        upload_wait: Seconds of the final flush.
        reached_before: Optimizer step that an earlier attempt on this disk had reached.
    """

    parameters: Parameters
    publication: Publication
    begun: float = field(default_factory=time.monotonic)
    staging: float = 0.0
    upload_wait: float = 0.0
    reached_before: int = 0

    @property
    def _output_dir(self) -> Path:
        return Path(self.parameters.output_dir)

    def forget_progress(self) -> None:
        """Take over what the attempt before said of itself, which must not stand for this one."""
        self.reached_before = read_progress(self._output_dir).step
        (self._output_dir / PROGRESS).unlink(missing_ok=True)

    def record(self, exit_code: int | None = None) -> goodput.Attempt:
        """Put the time so far beside the manifests; at every publication, for the process may be killed at any time.

        Args:
            exit_code: How the attempt ended; None while it goes on.
        """
        lease = self.publication.lease
        mine = goodput.measure(
            number=lease.generation if lease else 1,
            gpus=self.parameters.gpus,
            begun=self.begun,
            now=time.monotonic(),
            staging=self.staging,
            upload_wait=self.upload_wait,
            progress=read_progress(self._output_dir),
            reached_before=max(self.reached_before, lease.previous_step if lease else 0),
            exit_code=exit_code,
        )
        self.publication.record(f"{GOODPUT}/{mine.number:06d}.json", msgspec.json.encode(mine))
        return mine

    def close(self, exit_code: int) -> goodput.Goodput:
        """Add up all attempts, and write and log the sum.

        Args:
            exit_code: How the attempt ended.
        """
        mine = self.record(exit_code)
        earlier = read_attempts(self.publication.store, goodput.Attempt) if self.publication.store else []
        others = [attempt for attempt in earlier if attempt.number != mine.number]
        total = goodput.add_up([*others, mine], self.parameters.gpu_hour_price)
        data = msgspec.json.format(msgspec.json.encode(total), indent=1)
        atomic_write_bytes(self._output_dir / GOODPUT_FILE, data)
        if self.publication.run is not None:
            self.publication.run.log_summary(GOODPUT_FILE, data, _metrics(total))
        return total


def _metrics(total: goodput.Goodput) -> dict[str, float]:
    named = {f"goodput/{name}_seconds": value for name, value in total.seconds.items()}
    return {**named, "goodput/ratio": total.ratio, "goodput/gpu_hours": total.gpu_hours}
