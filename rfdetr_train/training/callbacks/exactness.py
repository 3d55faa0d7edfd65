"""Random numbers and running means of a step, the same whether or not the training was interrupted."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from rfdetr_train.training.accumulators import Sums, add_sums
from rfdetr_train.training.data import seed_of


class ExactSteps(Callback):
    """Seeds every batch from its place in the training, and completes the means of an interrupted epoch."""

    def __init__(self, seed: int, saved: Sums) -> None:
        """Remember what to restore.

        Args:
            seed: Of the run.
            saved: Sums of the interrupted epoch, of this rank.
        """
        self._seed = seed
        self._saved = saved

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed torch for dropout and whatever else draws in a step."""
        torch.manual_seed(seed_of(self._seed, trainer.global_rank, trainer.current_epoch, batch_idx))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After the first batch, when the metrics exist: add what they were before."""
        if self._saved:
            add_sums(trainer, self._saved)
            self._saved = {}
