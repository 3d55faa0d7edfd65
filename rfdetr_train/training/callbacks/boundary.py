"""What happens at an optimizer step's boundary: vote, snapshot, stop.

The decision and the snapshot are made when a step or an epoch ends; the files are written when the next one begins,
because Lightning logs the metrics of the step in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import CSVLogger

from rfdetr_train.checkpoints.files import interval_name
from rfdetr_train.checkpoints.resume_state import KEY
from rfdetr_train.errors import Diverged, InfrastructureError, Preempted
from rfdetr_train.params import Parameters
from rfdetr_train.training.accumulators import Sums, read_sums
from rfdetr_train.training.agreement import Agreement, Votes
from rfdetr_train.training.commit_writer import CommitWriter, Moment
from rfdetr_train.training.divergence import NONFINITE_STEPS, LossGuard
from rfdetr_train.training.signals import StopSignal
from rfdetr_train.training.snapshot import Snapshot
from rfdetr_train.training.stopwatch import Stopwatch


class StepBoundary(Checkpoint):
    """Commits checkpoints and ends the training when it must.

    A subclass of Checkpoint, appended last: it runs after the EMA callback (a checkpoint taken before it loses one
    EMA update) and after the validation of the epoch.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        writer: CommitWriter | None,
        stop: StopSignal,
        watch: Stopwatch,
        describe: Callable[[Moment, list[Sums]], dict[str, Any]],
    ) -> None:
        """Take the parts together.

        Args:
            parameters: When to commit.
            writer: Writes the commits; None on every rank but the first.
            stop: Whether this process was told to stop.
            watch: Adds up the time that commits hold the training.
            describe: Makes the resume state of a moment.
        """
        self._parameters = parameters
        self._writer = writer
        self._stop = stop
        self._watch = watch
        self._describe = describe
        self._guard = LossGuard()
        self._snapshot = Snapshot()
        self._pending: tuple[dict[str, Any], Moment] | None = None
        self._state: dict[str, Any] = {}
        self._stopping = False
        self._overdue = False
        self._committed = (0, time.monotonic())  # optimizer step and time

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the group for the votes."""
        self._agreement = Agreement()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to save."""
        self._stop.defer(trainer)
        self._committed = (trainer.global_step, time.monotonic())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the commit of the epoch before."""
        self._write_pending(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write the commit of the step before, and stop when that was decided."""
        self._write_pending(trainer)
        if self._stopping:
            self._wait()
            raise Preempted(f"the training was stopped after step {trainer.global_step}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: vote, and take a snapshot when one is due."""
        self._guard.see(outputs["loss"])
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        votes = self._vote(trainer)
        if votes.diverged:
            self._wait()
            raise Diverged(self._divergence(trainer))
        if batch_idx + 1 == trainer.num_training_batches:
            # The epoch's end commits. A checkpoint from here would skip its validation.
            if votes.stop:
                self._wait()
                raise Preempted(f"the training was stopped before the validation of epoch {trainer.current_epoch + 1}")
        elif votes.commit or votes.stop:
            seen = (batch_idx + 1) * trainer.world_size * self._parameters.batch_size
            self._take(trainer, Moment(trainer.current_epoch, trainer.global_step, seen))
            self._stopping = votes.stop

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Do not let a signal wait for a long validation; the last commit stands."""
        if not trainer.sanity_checking and self._agreement.any(Votes(stop=self._stop.requested)).stop:
            self._wait()
            raise Preempted(f"the training was stopped in the validation of epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the snapshot of a finished epoch."""
        completed = trainer.current_epoch + 1
        kept = completed % self._parameters.checkpoint_interval == 0
        last = completed == trainer.max_epochs or trainer.should_stop
        if self._writer is not None and self._writer.busy and not (kept or last):
            self._overdue = True  # made up for as soon as the writer is free
            return
        name = interval_name(completed) if kept else None
        self._take(trainer, Moment(completed, trainer.global_step, 0, name, trainer.should_stop))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last commit."""
        self._write_pending(trainer)
        self._wait()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take in what the end of the training added."""
        if self._writer is not None:
            self._writer.close()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the resume state beside Lightning's."""
        checkpoint[KEY] = self._state

    def _vote(self, trainer: Trainer) -> Votes:
        writer = self._writer
        votes = self._agreement.any(
            Votes(
                stop=self._stop.requested,
                commit=writer is not None and not writer.busy and self._is_due(trainer),
                diverged=self._guard.diverged,
                failed=writer is not None and writer.failed,
            )
        )
        if votes.failed:
            self._wait()
            raise InfrastructureError("another training process could not write its checkpoint")
        return votes

    def _is_due(self, trainer: Trainer) -> bool:
        step, moment = self._committed
        if self._overdue:
            return True
        steps, seconds = self._parameters.checkpoint_every_steps, self._parameters.checkpoint_every_seconds
        return (0 < steps <= trainer.global_step - step) or (0 < seconds <= time.monotonic() - moment)

    def _take(self, trainer: Trainer, moment: Moment) -> None:
        with self._watch.measure("checkpoint_stall"):
            # By all ranks together, before the first goes on alone.
            sums = self._agreement.gather(read_sums(trainer)) if moment.position else []
            self._committed = (trainer.global_step, time.monotonic())
            self._overdue = False
            if self._writer is None:
                return
            self._wait()
            self._state = self._describe(moment, sums)
            state = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
            self._pending = self._snapshot.take(state), moment

    def _write_pending(self, trainer: Trainer) -> None:
        if self._pending is None or self._writer is None:
            return
        with self._watch.measure("checkpoint_stall"):
            for logger in trainer.loggers:
                if isinstance(logger, CSVLogger):
                    logger.save()
            self._writer.begin(*self._pending)
            self._pending = None

    def _wait(self) -> None:
        if self._writer is not None:
            with self._watch.measure("checkpoint_stall"):
                self._writer.wait()

    def _divergence(self, trainer: Trainer) -> str:
        return (
            f"lr: the loss was not finite for {NONFINITE_STEPS} batches in a row, up to step {trainer.global_step} of "
            f"epoch {trainer.current_epoch + 1}. The last finite checkpoint is kept. A retry ends the same way: lower "
            f"lr (it is {self._parameters.lr:g}) and lr_encoder ({self._parameters.lr_encoder:g}), or look for "
            "defects in the annotations with rfdetr-train detect."
        )
