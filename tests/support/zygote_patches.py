"""Faults put into a training from inside: places to hold it at, failures that need a GPU, notes of what it did.

Every function is called in the launcher before it starts, with what the test gave; agent and ranks are its forks.
"""

from __future__ import annotations

import functools
import itertools
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rfdetr.training import RFDETRModelModule
from torch.distributed.elastic.multiprocessing.api import SubprocessContext

from rfdetr_train.launch import attempt
from rfdetr_train.training import data, disk, worker
from rfdetr_train.training.callbacks.boundary import StepBoundary
from rfdetr_train.training.callbacks.heartbeat import Heartbeat
from rfdetr_train.training.commit_writer import CommitWriter
from rfdetr_train.training.watchdog import Watchdog


def _before(owner: Any, name: str, first: Callable[..., None]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def patched(*arguments: Any, **keywords: Any) -> Any:
        first(*arguments, **keywords)
        return original(*arguments, **keywords)

    setattr(owner, name, patched)


def _hold(folder: str, is_over: Callable[[], bool] = lambda: False) -> None:
    """Say that the place is reached, and wait for the test or for a signal."""
    Path(folder, "held").write_text(str(os.getpid()))
    while not (Path(folder, "go").exists() or is_over()):
        time.sleep(0.005)


def log_samples(folder: str, seed: int) -> None:
    """Note for each training sample that a rank loads its epoch, its position there, and its image."""
    places: dict[int, tuple[int, int]] = {}

    def note(_: Any, key: data.Key) -> None:
        if not places:
            for epoch, position in itertools.product(range(20), range(100)):
                places[data.seed_of(seed, epoch, position)] = epoch, position
        with Path(folder, f"samples-of-rank-{os.environ['RANK']}").open("a") as file:
            file.write("{} {} {}\n".format(*places[key.seed], key.image))

    _before(data.SeededDataset, "__getitem__", note)


def hold_before_step(folder: str, step: int, rank: int) -> None:
    """Hold a rank when so many optimizer steps are done, or until it was told to stop."""

    def hold(self: StepBoundary, trainer: Any, _: Any, __: Any, batch_idx: int) -> None:
        boundary = batch_idx % trainer.accumulate_grad_batches == 0
        if trainer.global_step == step and boundary and trainer.global_rank == rank:
            _hold(folder, lambda: self._stop.requested)

    _before(StepBoundary, "on_train_batch_start", hold)


def hold_in_validation(folder: str, epoch: int) -> None:
    """Hold in the validation after so many completed epochs, until told to stop."""

    def hold(self: StepBoundary, trainer: Any, *_: Any, **__: Any) -> None:
        if not trainer.sanity_checking and trainer.current_epoch + 1 == epoch:
            _hold(folder, lambda: self._stop.requested)

    _before(StepBoundary, "on_validation_batch_end", hold)


def hold_in_save(folder: str, step: int) -> None:
    """Hold the writing of a commit when its files are there and its record is not."""

    def hold(self: CommitWriter, moment: Any, _: Any) -> None:
        if moment.step == step:
            _hold(folder)

    _before(CommitWriter, "_commit", hold)


def hold_in_staging(folder: str) -> None:
    """Hold the launcher while it stages the images."""
    _before(attempt, "stage", lambda *_: _hold(folder))


def hold_before_the_lease(folder: str) -> None:
    """Hold the launcher when it has made the MLflow run, and not written down which."""
    _before(attempt.Publication, "connect", lambda *_: _hold(folder))


def hold_in_start_up(folder: str) -> None:
    """Hold the ranks before their first batch."""
    _before(data.ExactDataModule, "train_dataloader", lambda *_: _hold(folder))


def hold_at_the_end(folder: str) -> None:
    """Hold when the last commit is written and the training is not ended."""
    _before(StepBoundary, "on_fit_end", lambda *_: _hold(folder))


def nan_loss(step: int) -> None:
    """Make the loss NaN from an optimizer step on."""
    original = RFDETRModelModule.training_step

    def training_step(self: RFDETRModelModule, batch: Any, batch_idx: int) -> Any:
        loss = original(self, batch, batch_idx)
        return loss * torch.nan if self.trainer.global_step >= step else loss

    RFDETRModelModule.training_step = training_step


def out_of_memory(step: int) -> None:
    """Raise what torch raises when the memory of a GPU is full."""

    def fail(self: RFDETRModelModule, *_: Any) -> None:
        if self.trainer.global_step == step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    _before(RFDETRModelModule, "training_step", fail)


def hang_in_step(step: int) -> None:
    """Stay in a step for ever."""

    def hang(self: RFDETRModelModule, *_: Any) -> None:
        if self.trainer.global_step == step:
            time.sleep(3600)

    _before(RFDETRModelModule, "training_step", hang)


def impatient_watchdog(seconds: float, step: int, rank: int) -> None:
    """From an optimizer step on let a rank be taken for hung after so many seconds; the parameter's least is 10."""

    def begin(self: Heartbeat, trainer: Any, *_: Any, **__: Any) -> None:
        if trainer.global_step == step and trainer.global_rank == rank and self._watchdog._seconds != seconds:
            self._watchdog.close()
            self._watchdog = Watchdog(seconds, self._watchdog._on_hang)

    _before(Heartbeat, "on_train_batch_start", begin)


def log_commits(folder: str) -> None:
    """Note of each commit when it was decided on, in seconds of the monotonic clock, and its optimizer step."""

    def note(_: Any, __: Any, moment: Any) -> None:
        with Path(folder, "commits").open("a") as file:
            file.write(f"{time.monotonic()} {moment.step}\n")

    _before(StepBoundary, "_take", note)


def small_disk(megabytes: int) -> None:
    """Let so much be free on every disk."""
    usage = shutil.disk_usage("/")
    disk.shutil.disk_usage = lambda _: usage._replace(free=megabytes << 20)


def limit_file_size(step: int, megabytes: int) -> None:
    """From an optimizer step on let every write beyond a size fail, as it does on a full disk."""

    def limit(self: StepBoundary, trainer: Any, *__: Any) -> None:
        while self._writer is not None and self._writer.busy:
            time.sleep(0.01)  # or a slow disk decides which commits there are
        if trainer.global_step == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, resource.RLIM_INFINITY))

    _before(StepBoundary, "on_train_batch_start", limit)


def jumping_clock() -> None:
    """Let the wall clock of the ranks jump by hours at every look at it, forth and back."""
    clock, hours = time.time, itertools.cycle((0, 3, -5, 24, -48))

    def jump(*_: Any) -> None:
        time.time = lambda: clock() + 3600 * next(hours)

    _before(worker, "train", jump)


def slow_steps(seconds: float) -> None:
    """Make every step last at least so long."""
    _before(RFDETRModelModule, "training_step", lambda *_: time.sleep(seconds))


def wait_for_mlflow(seconds: float) -> None:
    """Wait for a server that does not answer no longer than that."""
    attempt.MLFLOW_SECONDS = seconds


def wait_for_ranks(seconds: float) -> None:
    """Let the agent wait so long for the other ranks after it told them to end; torch waits 30 s."""
    close = SubprocessContext.close
    SubprocessContext.close = lambda self, death_sig=None, timeout=None: close(self, death_sig, seconds)
