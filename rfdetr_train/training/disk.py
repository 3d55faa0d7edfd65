"""Whether the checkpoints of a training will fit on the disk, said before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from rfdetr_train.checkpoints.commit import COMMITS, KEPT
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.params import Parameters

# Copies of the weights in a full state: themselves, two moments of AdamW, EMA.
_WITHOUT_EMA, _WITH_EMA = 3, 4
# Copies in the best files: regular with its EMA copy, EMA, the better of the two; as many again while one is replaced.
_BEST_FILES = 2 * 4


def check_room(output_dir: Path, model: nn.Module, parameters: Parameters, completed_epochs: int) -> None:
    """Estimate what the rest of the training will write and compare it with what is free.

    Args:
        output_dir: Output folder; it exists.
        model: The model, on whatever device.
        parameters: Of the run.
        completed_epochs: Epochs that are behind it.

    Raises:
        InfrastructureError: When it will not fit.
    """
    weights = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    state = weights * (_WITH_EMA if parameters.use_ema else _WITHOUT_EMA)
    intervals = parameters.epochs // parameters.checkpoint_interval - completed_epochs // parameters.checkpoint_interval
    wanted = state * (KEPT + 1 + intervals) + weights * _BEST_FILES
    found = [path.stat() for path in (output_dir / COMMITS).rglob("*") if path.is_file()]
    held = sum({status.st_ino: status.st_size for status in found}.values())  # to be replaced; some are linked twice
    free = shutil.disk_usage(output_dir).free + held
    if wanted > free:
        raise InfrastructureError(
            f"output_dir: the checkpoints need about {wanted / 1e9:.1f} GB in {output_dir}, where {free / 1e9:.1f} GB "
            f"are free: {KEPT + 1} states of {state / 1e9:.2f} GB, {intervals} checkpoint_<N>.pth as large, and the "
            f"best models. Name an output_dir with more room, or a checkpoint_interval of more than "
            f"{parameters.checkpoint_interval}."
        )
