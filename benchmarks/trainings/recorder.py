"""Writes down what a rank does, line by line, so that a killed process has told everything up to its end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

FOLDER, ATTEMPT, HOLD = "BENCH_RECORDS", "BENCH_ATTEMPT", "BENCH_HOLD_AFTER"


class Recorder(Callback):
    """Appends events to ``<attempt>-rank<n>.jsonl``: kind, ``time.monotonic``, optimizer step."""

    def __init__(self, path: Path, hold_after: int) -> None:
        """Open the file.

        Args:
            path: The file.
            hold_after: Optimizer step after which the training stands still, for whoever wants to kill it there;
                0 for never.
        """
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._hold_after = hold_after

    @classmethod
    def from_environment(cls) -> Recorder:
        """Make the one of this rank."""
        name = f"{os.environ.get(ATTEMPT, '000')}-rank{os.environ.get('RANK', '0')}.jsonl"
        return cls(Path(os.environ[FOLDER], name), int(os.environ.get(HOLD, "0")))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record where the training begins."""
        self.write(kind="start", step=trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record a batch with the optimizer step that it belongs to; in a list of callbacks, before the commit."""
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        keys = [int(target["sample"]) for target in batch[1] if "sample" in target]
        step = trainer.global_step if whole else trainer.global_step + 1
        self.write(kind="batch", step=step, epoch=trainer.current_epoch, batch=batch_idx, samples=keys)
        while 0 < self._hold_after < step:
            time.sleep(1)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that a validation begins."""
        self.write(kind="validation", step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the end."""
        self.write(kind="end", step=trainer.global_step)

    def write(self, **event: Any) -> None:
        """Append an event."""
        os.write(self._file, json.dumps({"time": time.monotonic(), **event}).encode() + b"\n")


def read(folder: Path, attempt: str, rank: int = 0) -> list[dict[str, Any]]:
    """The events of an attempt; none when it did not come to train."""
    path = folder / f"{attempt}-rank{rank}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
