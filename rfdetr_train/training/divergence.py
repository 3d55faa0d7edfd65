"""Notice that the loss is not finite any more, without waiting for the GPU at every step."""

from __future__ import annotations

import torch
from torch import Tensor

NONFINITE_STEPS = 5  # in a row; one bad batch under mixed precision is skipped by its scaler and no reason to stop


class LossGuard:
    """Counts the batches in a row whose loss is NaN or infinite."""

    def __init__(self) -> None:
        """Start at none."""
        self._in_a_row = 0
        self._previous: Tensor | None = None

    @property
    def diverged(self) -> bool:
        """Whether so many in a row were not finite that the training is lost."""
        return self._in_a_row >= NONFINITE_STEPS

    def see(self, loss: Tensor) -> None:
        """Look at the loss of the batch before, which the device has finished long ago, and keep this one.

        Args:
            loss: Of this batch, a scalar.
        """
        if self._previous is not None:
            self._in_a_row = 0 if bool(torch.isfinite(self._previous)) else self._in_a_row + 1
        self._previous = loss.detach()
