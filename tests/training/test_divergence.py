"""When a loss that is not finite ends a training."""

import pytest
import torch

from rfdetr_train.training.divergence import LossGuard


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_five_batches_in_a_row_are_a_divergence_and_four_are_not(bad):
    guard = LossGuard()
    for value in [bad] * 4 + [1.0] + [bad] * 5:
        guard.see(torch.tensor(value))
        assert not guard.diverged
    guard.see(torch.tensor(1.0))  # each batch is looked at when the next one has come
    assert guard.diverged
