"""The running means of an epoch's metrics, which Lightning leaves out of its checkpoints.

Without them the means of an epoch that was interrupted cover only the part after the resume.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from pytorch_lightning import Trainer

Sums = dict[str, tuple[float, float]]


def read_sums(trainer: Trainer) -> Sums:
    """The sums of this rank: for each metric of the epoch the weighted sum of its values, and the weight."""
    return {
        key: (float(metric.value), float(metric.cumulated_batch_size))
        for key, metric in trainer.fit_loop.epoch_loop._results.items()
        if metric.is_tensor and metric.meta.on_epoch and metric.meta.is_mean_reduction
    }


def add_sums(trainer: Trainer, saved: Sums) -> None:
    """Add what an interrupted epoch had summed up before, once the metrics of this attempt exist.

    Args:
        trainer: After its first batch.
        saved: From :func:`read_sums`. A float holds every float32 exactly.
    """
    for key, metric in trainer.fit_loop.epoch_loop._results.items():
        if key in saved:
            value, weight = saved[key]
            metric.value = metric.value + torch.tensor(value, dtype=metric.value.dtype, device=metric.value.device)
            metric.cumulated_batch_size = metric.cumulated_batch_size + int(weight)


def sums_of_rank(saved: list[Sums], rank: int, world_size: int) -> Sums:
    """The part of a rank: its own, or with another number of ranks everything for the first."""
    if len(saved) == world_size:
        return saved[rank]
    if rank:
        return {}
    total: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for sums in saved:
        for key, (value, weight) in sums.items():
            total[key] = (total[key][0] + value, total[key][1] + weight)
    return dict(total)
