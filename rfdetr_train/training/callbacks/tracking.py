"""Send the metrics of every epoch to the MLflow run."""

from __future__ import annotations

import math

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from rfdetr_train.tracking.run import TrackedRun


class EpochMetrics(Checkpoint):
    """Log what Lightning collected over an epoch, at step = completed epochs (rank 0).

    rfdetr's own MLflow logger starts a new run at every start and logs no parameters (rfdetr 1.11.2), so it stays
    off. A subclass of Checkpoint because those run last, when the means over the epoch are known.
    """

    def __init__(self, run: TrackedRun) -> None:
        """Remember the run.

        Args:
            run: The run that the launcher opened.
        """
        self._run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the finite scalars of the epoch."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._run.log_metrics(finite, step=trainer.current_epoch + 1)
