"""rfdetr's trainer with everything of ours around it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rfdetr.training import RFDETRModelModule, build_trainer

from rfdetr_train.checkpoints.load import completed_epochs, load
from rfdetr_train.checkpoints.resume_state import VERSION, ResumeState, read_resume_state
from rfdetr_train.errors import ExitCode
from rfdetr_train.params import Parameters
from rfdetr_train.training.accumulators import Sums, sums_of_rank
from rfdetr_train.training.callbacks.boundary import StepBoundary
from rfdetr_train.training.callbacks.checkpoints import BestCheckpoints, drop_stock_checkpoints
from rfdetr_train.training.callbacks.end_at_once import EndAtOnce
from rfdetr_train.training.callbacks.exactness import ExactSteps
from rfdetr_train.training.callbacks.heartbeat import Heartbeat
from rfdetr_train.training.callbacks.journal import EpochJournal
from rfdetr_train.training.callbacks.progress import Progress
from rfdetr_train.training.callbacks.rescale import RescaleBatches
from rfdetr_train.training.commit_writer import CommitWriter, Moment
from rfdetr_train.training.data import Position
from rfdetr_train.training.disk import check_room
from rfdetr_train.training.job import Job, Outcome, write_outcome
from rfdetr_train.training.signals import StopSignal
from rfdetr_train.training.stopwatch import ProgressFile, Stopwatch
from rfdetr_train.training.watchdog import Watchdog

if TYPE_CHECKING:
    from pytorch_lightning import Callback, Trainer

    from rfdetr_train.training.worker import World


class Assembly:
    """The trainer of a rank, and where in the data it begins.

    Attributes:
        trainer: rfdetr's, with our callbacks.
        start: Where the training begins or continues.
        watchdog: To be closed when the training has ended.
    """

    def __init__(
        self, job: Job, parameters: Parameters, world: World, module: RFDETRModelModule, stop: StopSignal
    ) -> None:
        """Build the trainer.

        Args:
            job: What the launcher says.
            parameters: Those of the job.
            world: The processes.
            module: rfdetr's module.
            stop: Whether this process was told to stop.
        """
        self._job, self._parameters, self._world = job, parameters, world
        resumed = _resumed(parameters)
        self.start = Position(resumed.epoch, resumed.samples) if resumed else Position(0, 0)
        if world.rank == 0:
            check_room(Path(parameters.output_dir), module.model, parameters, self.start.epoch)
        self.watchdog = Watchdog(parameters.hang_timeout, self._say_hung)
        self.trainer: Trainer = build_trainer(module.train_config, module.model_config, enable_model_summary=False)
        self._append_callbacks(stop, resumed)

    def _append_callbacks(self, stop: StopSignal, resumed: ResumeState | None) -> None:
        output_dir = Path(self._parameters.output_dir)
        first = self._world.rank == 0
        writer = self._writer(output_dir) if first else None
        watch = Stopwatch()
        saved: list[Sums] = resumed.accumulators if resumed else []
        sums = sums_of_rank(saved, self._world.rank, self._world.size) if saved else {}
        # build_trainer's own argument for callbacks would replace EMA and COCO evaluation as well.
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        stock = drop_stock_checkpoints(callbacks)
        callbacks += [
            Progress(self._parameters.batch_size * self._world.size),
            ExactSteps(self._parameters.seed, sums),
            Heartbeat(watch, self.watchdog, ProgressFile(output_dir) if first else None),
            RescaleBatches(self._parameters.batch_size * self._world.size),
            BestCheckpoints(stock),
            EpochJournal(output_dir),
            StepBoundary(self._parameters, writer=writer, stop=stop, watch=watch, describe=self._describe),
            *([EndAtOnce()] if resumed and resumed.stopped_early and self._parameters.early_stopping else []),
        ]

    def _writer(self, output_dir: Path) -> CommitWriter:
        return CommitWriter(
            output_dir,
            sequence=self._job.sequence,
            fingerprint=self._job.fingerprint,
            world_size=self._world.size,
        )

    def _describe(self, moment: Moment, accumulators: list[Sums]) -> dict[str, Any]:
        state = ResumeState(
            version=VERSION,
            seed=self._parameters.seed,
            fingerprint=self._job.fingerprint,
            epoch=moment.epoch,
            samples=moment.position,
            world_size=self._world.size,
            batch_size=self._parameters.batch_size,
            grad_accum_steps=self._parameters.grad_accum_steps,
            stopped_early=moment.stopped_early,
            accumulators=accumulators,
        )
        described: dict[str, Any] = msgspec.to_builtins(state)
        return described

    def _say_hung(self, message: str) -> None:
        message = f"rank {self._world.rank}: {message}. Start the same run again."
        write_outcome(Outcome(ExitCode.INFRASTRUCTURE, message), Path(self._job.outcome_file))


def _resumed(parameters: Parameters) -> ResumeState | None:
    if parameters.resume is None:
        return None
    loaded = load(Path(parameters.resume), parameter="resume")
    state = read_resume_state(loaded)
    if state is not None:
        return state
    # A checkpoint of rfdetr itself, of the end of an epoch: it knows no samples, so the next epoch begins.
    return ResumeState(
        version=VERSION,
        seed=parameters.seed,
        fingerprint="",
        epoch=completed_epochs(loaded) or 0,
        samples=0,
        world_size=1,
        batch_size=1,
        grad_accum_steps=1,
        stopped_early=False,
        accumulators=[],
    )
