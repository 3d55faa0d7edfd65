"""Ways to train: what a launcher changes in itself before it runs; the agent and the ranks are its forks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from trainings.recorder import Recorder

TINY: Any = None  # installs the tiny encoder


def tiny() -> None:
    """Ours, with an encoder that trains in seconds."""
    TINY()
    record()


def tiny_with_samples() -> None:
    """Ours, tiny, every batch recorded with the keys of its samples."""
    import torch

    from rfdetr_train.training.data import SeededDataset

    tiny()
    original = SeededDataset.__getitem__

    def keyed(self: SeededDataset, key: Any) -> Any:
        image, target = original(self, key)
        return image, {**target, "sample": torch.tensor(key.seed)}

    SeededDataset.__getitem__ = keyed


def nano() -> None:
    """Ours, with the real encoder of the nano model."""
    record()


def nano_beside_inline() -> None:
    """Ours, nano; in between, checkpoints are saved and uploaded in line."""
    from trainings.inline import InlineCheckpoints

    record(InlineCheckpoints.from_environment())


def stock() -> None:
    """Rfdetr's own trainer, tiny, with its own checkpoints and its own resume."""
    from trainings.stock import train

    TINY()
    train(Path(os.environ["BENCH_JOB"]))
    sys.exit(0)


def record(*others: Any) -> None:
    """Put a recorder, and other callbacks, before the one that commits."""
    from rfdetr_train.training.assembly import Assembly

    original = Assembly._append_callbacks

    def append(self: Assembly, *arguments: Any) -> None:
        original(self, *arguments)
        self.trainer.callbacks += [Recorder.from_environment(), *others]
        connector = self.trainer._callback_connector
        self.trainer.callbacks = connector._reorder_callbacks(self.trainer.callbacks)

    Assembly._append_callbacks = append
