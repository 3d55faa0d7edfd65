"""Bring a training to its end that was lost after early stopping had ended it."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer


class EndAtOnce(Callback):
    """Trains no further: what is left is what comes after the last epoch."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning forgets, over a restart, that it was told to stop."""
        trainer.should_stop = True
