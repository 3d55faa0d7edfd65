"""Signs of life for the watchdog, and the time of steps and validations for the launcher."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from rfdetr_train.training.stopwatch import Progress, ProgressFile, Stopwatch
from rfdetr_train.training.watchdog import Watchdog


class Heartbeat(Callback):
    """Knows at every batch that the training goes on, and for how long each part of it took."""

    def __init__(self, watch: Stopwatch, watchdog: Watchdog, file: ProgressFile | None) -> None:
        """Take the parts together.

        Args:
            watch: Adds up the seconds.
            watchdog: Is told of every sign of life.
            file: The word to the launcher; None on every rank but the first.
        """
        self._watch = watch
        self._watchdog = watchdog
        self._file = file
        self._clock = 0.0
        self._stall = 0.0
        self._started = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The start-up is over."""
        self._started = time.monotonic()
        self._first_step = trainer.global_step
        self._tell(trainer, now=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the steps from here on."""
        self._clock = time.monotonic()
        self._stall = self._watch.seconds["checkpoint_stall"]

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """A batch of data has come."""
        self._watchdog.alive()
        self._clock = self._clock or time.monotonic()  # no epoch starts when one continues in its middle

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Count the batch, without the time that a checkpoint held it."""
        self._watchdog.alive()
        now, stall = time.monotonic(), self._watch.seconds["checkpoint_stall"]
        self._watch.seconds["steps"] += now - self._clock - (stall - self._stall)
        self._clock, self._stall = now, stall
        self._tell(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the validation."""
        self._clock = time.monotonic()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """A batch was validated."""
        self._watchdog.alive()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the validation."""
        self._watchdog.alive()
        self._watch.seconds["validation"] += time.monotonic() - self._clock
        self._tell(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say the last word."""
        self._tell(trainer, now=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say how far it came."""
        self._tell(trainer, now=True)

    def _tell(self, trainer: Trainer, *, now: bool = False) -> None:
        if self._file is not None:
            self._file.write(
                Progress(trainer.global_step, self._first_step, dict(self._watch.seconds), self._started), now=now
            )
