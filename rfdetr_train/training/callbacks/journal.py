"""Write the metrics of every epoch to the journal, from which the launcher sends them to MLflow."""

from __future__ import annotations

import math
import time
from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from rfdetr_train.checkpoints.files import JOURNAL
from rfdetr_train.tracking.journal import append


class EpochJournal(Checkpoint):
    """Records what Lightning collected over an epoch, at step = completed epochs (rank 0).

    rfdetr's own MLflow logger starts a new run at every start and logs no parameters (rfdetr 1.11.2), so it stays
    off. A subclass of Checkpoint because those run last, when the means over the epoch are known.
    """

    def __init__(self, output_dir: Path) -> None:
        """Remember where.

        Args:
            output_dir: Output folder.
        """
        self._path = output_dir / JOURNAL

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the finite scalars of the epoch."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        append(self._path, trainer.current_epoch + 1, finite, int(time.time() * 1000))
