"""Show where a training is: one line every few seconds in a pod's log, a live bar on a terminal."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_BARS = 1.0
_BAR = "{desc} {percentage:3.0f}%|{bar}|"  # the line has rate and remaining time already


class Progress(Callback):
    """Report epoch, optimizer step, loss, learning rate, images per second and the time that is left (rank 0)."""

    def __init__(self, images_per_batch: int) -> None:
        """Start with nothing shown.

        Args:
            images_per_batch: Images of one batch over all processes.
        """
        self._images_per_batch = images_per_batch
        self._bar: Any = None
        self._shown_at = 0.0
        self._train_seconds = 0.0
        self._batches = 0
        self._clock = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar on a terminal."""
        if trainer.is_global_zero and sys.stderr.isatty():
            from tqdm import tqdm

            total = trainer.num_training_batches * (trainer.max_epochs or 0)
            done = trainer.global_step * trainer.accumulate_grad_batches
            self._bar = tqdm(total=int(total), initial=int(done), bar_format=_BAR, dynamic_ncols=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; it runs from batch to batch, so that waiting for data counts and validating does not."""
        self._clock = time.monotonic()

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Start the clock where an epoch continues in its middle and does not start."""
        self._clock = self._clock or time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; show a line when it is time."""
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        self._train_seconds += now - self._clock
        self._clock = now
        self._batches += 1
        if self._bar is not None:
            self._bar.update(1)
        last_of_epoch = batch_idx + 1 == trainer.num_training_batches
        pause = SECONDS_BETWEEN_LINES if self._bar is None else SECONDS_BETWEEN_BARS
        # Not at every batch, on a terminal neither: reading the loss waits for the GPU.
        if not last_of_epoch and now - self._shown_at < pause:
            return
        self._shown_at = now
        line = self._line(trainer, outputs, batch_idx)
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.set_description_str(line)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the scores of the epoch."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        names = {"mAP50:95": "val/mAP_50_95", "mAP50": "val/mAP_50", "EMA mAP50:95": "val/ema_mAP_50_95"}
        values = {label: trainer.callback_metrics.get(key) for label, key in names.items()}
        scores = "  ".join(f"{label} {float(value):.4f}" for label, value in values.items() if value is not None)
        self._print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  validated  {scores}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print(self, line: str) -> None:
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def _line(self, trainer: Trainer, outputs: Any, batch_idx: int) -> str:
        batches = int(trainer.num_training_batches)
        left = batches * ((trainer.max_epochs or 0) - trainer.current_epoch) - (batch_idx + 1)
        seconds_per_batch = self._train_seconds / self._batches
        # Lightning has divided the loss by the accumulation; undo it, so that the figure does not depend on it.
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        rate = trainer.optimizers[0].param_groups[0]["lr"]  # the group that rfdetr logs as train/lr
        return (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"batch {batch_idx + 1}/{batches}  step {trainer.global_step}  loss {loss:.4f}  lr {rate:.2e}  "
            f"{self._images_per_batch / seconds_per_batch:.1f} images/s  "
            f"ETA {timedelta(seconds=round(left * seconds_per_batch))}"
        )
