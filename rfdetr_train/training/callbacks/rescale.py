"""Continue an epoch with another number of processes."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from rfdetr_train.checkpoints.resume_state import read_resume_state, rescale_batches


class RescaleBatches(Callback):
    """Translates Lightning's batch counters when a batch of all ranks holds another number of samples than before."""

    def __init__(self, samples_per_batch: int) -> None:
        """Remember the present.

        Args:
            samples_per_batch: Samples of one batch over all ranks.
        """
        self._samples_per_batch = samples_per_batch

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Change the counters before Lightning reads them."""
        state = read_resume_state(checkpoint)
        if state is not None and state.samples:
            rescale_batches(checkpoint, state, state.samples // self._samples_per_batch)
