"""What a checkpoint says of the data behind it, so that a resume continues with the very next sample.

It stands beside Lightning's own state in ``checkpoint.pth``. Imports no torch: the launcher reads it too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rfdetr_train.errors import CheckpointError

KEY = "rfdetr_train"
VERSION = 1


class ResumeState(msgspec.Struct, frozen=True):
    """The state.

    Attributes:
        version: Of this structure.
        seed: Of the run.
        fingerprint: Of the dataset.
        epoch: Completed epochs.
        samples: Samples of the next epoch that have been seen, over all ranks; 0 between two epochs.
        world_size: Processes that trained.
        batch_size: Samples of a batch of one process.
        grad_accum_steps: Batches of an optimizer step.
        stopped_early: Whether early stopping ended the training here.
        accumulators: For each rank the sums behind the means of the epoch's metrics: name to value and weight.
    """

    version: int
    seed: int
    fingerprint: str
    epoch: int
    samples: int
    world_size: int
    batch_size: int
    grad_accum_steps: int
    stopped_early: bool
    accumulators: list[dict[str, tuple[float, float]]]

    @property
    def global_batch(self) -> int:
        """Samples of an optimizer step over all processes."""
        return self.world_size * self.batch_size * self.grad_accum_steps


def read_resume_state(loaded: dict[str, Any]) -> ResumeState | None:
    """Read the state of a loaded checkpoint; None for one that this library did not write.

    Raises:
        CheckpointError: When it is of another version or damaged.
    """
    if KEY not in loaded:
        return None
    try:
        state = msgspec.convert(loaded[KEY], ResumeState)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"resume: the checkpoint's own state is damaged ({error}).") from None
    if state.version != VERSION:
        raise CheckpointError(
            f"resume: the checkpoint has state version {state.version}, wanted {VERSION}. "
            "Resume with the version of rfdetr-pipelines that wrote it."
        )
    return state


def rescale_batches(loaded: dict[str, Any], state: ResumeState, batches: int) -> None:
    """Translate the batch counters of a checkpoint to another number of batches for the same samples, in place.

    Args:
        loaded: The checkpoint.
        state: Its state.
        batches: Batches of one process that the samples of the unfinished epoch are now.
    """
    progress = loaded["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    before = progress["current"]["ready"]
    for counters in (progress["current"], progress["total"]):
        for name in counters:
            counters[name] += batches - before
