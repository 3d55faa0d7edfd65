"""Whether a run can continue from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.checkpoints.load import describe, load
from rfdetr_train.checkpoints.resume_state import ResumeState, read_resume_state
from rfdetr_train.errors import CheckpointError

_FULL_STATE = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks")


@dataclass(frozen=True)
class Wanted:
    """The run that is to continue from a checkpoint.

    Attributes:
        model_name: rfdetr's class of the model.
        classes: Of the dataset, in label order.
        fingerprint: Of the dataset.
        seed: Of the run.
        epochs: To train in all.
        batch_size: Samples of a batch of one process.
        grad_accum_steps: Batches of an optimizer step.
        world_size: Processes.
        early_stopping: Whether it may end before epochs.
    """

    model_name: str
    classes: list[str]
    fingerprint: str
    seed: int
    epochs: int
    batch_size: int
    grad_accum_steps: int
    world_size: int
    early_stopping: bool


def check_resumable(path: Path, wanted: Wanted, *, same_run: bool) -> None:
    """Check that a run can continue from a checkpoint, before anything is started.

    Args:
        path: The checkpoint.
        wanted: The run.
        same_run: It continues itself: one that was lost after its last epoch then only has to be brought to its end.

    Raises:
        CheckpointError: With the reason when it cannot, and both values where two differ.
    """
    loaded = load(path, parameter="resume")
    missing = [key for key in _FULL_STATE if not loaded.get(key)]
    if missing:
        raise CheckpointError(
            f"resume: {path} is not a full checkpoint: no {', '.join(missing)}. Wanted a checkpoint.pth or a "
            f"checkpoint_<N>.pth, which hold the optimizer too. To start anew from these weights, give them as "
            f"pretrain_weights={path}."
        )
    held = describe(loaded, path, parameter="resume")
    if held.model_name != wanted.model_name:
        raise CheckpointError(f"resume: {path} holds {held.model_name}, but the run trains {wanted.model_name}.")
    if held.classes and held.classes != wanted.classes:
        raise CheckpointError(
            f"resume: {path} was trained on classes {held.classes}, but the dataset has {wanted.classes}."
        )
    state = read_resume_state(loaded)
    if not same_run:
        _check_something_is_left(path, held.epoch, state, wanted)
    if state is not None:
        _check_same_data(path, state, wanted)


def _check_something_is_left(path: Path, epoch: int | None, state: ResumeState | None, wanted: Wanted) -> None:
    if epoch is not None and epoch >= wanted.epochs:
        raise CheckpointError(
            f"resume: {path} has completed {epoch} epochs and epochs is {wanted.epochs}: nothing is left to train. "
            f"Give epochs more than {epoch}."
        )
    if state is not None and state.stopped_early and wanted.early_stopping:
        raise CheckpointError(
            f"resume: {path} is the end of a training that early stopping ended. To go on, give early_stopping=false."
        )


def _check_same_data(path: Path, state: ResumeState, wanted: Wanted) -> None:
    """What must stay as it was for the next step to be the one that would have come."""
    if state.seed != wanted.seed:
        raise CheckpointError(
            f"seed: {path} was trained with seed {state.seed}, but the run has {wanted.seed}: the order of the data "
            f"would change in its middle. Give seed={state.seed}."
        )
    if state.fingerprint != wanted.fingerprint:
        raise CheckpointError(
            f"dataset_dir: {path} was trained on a dataset with fingerprint {state.fingerprint}, but this one has "
            f"{wanted.fingerprint}. Give the same data, or start a new run with pretrain_weights={path}."
        )
    held, found = state.global_batch, wanted.batch_size * wanted.grad_accum_steps * wanted.world_size
    if held != found:
        raise CheckpointError(
            f"batch_size: {path} was trained with {held} samples a step ({state.batch_size} x {state.grad_accum_steps} "
            f"accumulated x {state.world_size} processes), but the run has {found} ({wanted.batch_size} x "
            f"{wanted.grad_accum_steps} x {wanted.world_size}). Keep the product."
        )
