"""One attempt of a run: from the place where the last one ended to the end of the training, or of this pod."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rfdetr_train.checkpoints.files import BEST_TOTAL, LATEST
from rfdetr_train.checkpoints.publish import FlushResult
from rfdetr_train.datasets import Prepared, stage
from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.launch import torchrun
from rfdetr_train.launch.account import Account
from rfdetr_train.launch.interrupts import finish_first, stop_at_once
from rfdetr_train.launch.publication import Publication
from rfdetr_train.launch.resume import Plan, Start, begin, check_named_file, named_run, named_store, plan
from rfdetr_train.launch.run_record import RunRecord, read_run_record, write_run_record
from rfdetr_train.params import Parameters
from rfdetr_train.storage import Store
from rfdetr_train.tracking.artifacts import open_artifacts
from rfdetr_train.tracking.dataset import TrackedDataset
from rfdetr_train.tracking.find import Identity, RunState, identify
from rfdetr_train.tracking.run import is_finished
from rfdetr_train.tracking.server import tracking_uri
from rfdetr_train.tracking.session import Session
from rfdetr_train.training import goodput
from rfdetr_train.training.job import Job, Outcome

# How long the end waits for what is not published yet. A pod that is killed in the meantime loses no more than that.
FLUSH_SECONDS = 600.0
PREEMPTED_FLUSH_SECONDS = 120.0
MLFLOW_SECONDS = 120.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training left.

    Attributes:
        run_id: The MLflow run.
        checkpoint: Unchanging address of the best model, ``runs:/<run id>/checkpoints/objects/<sha256>/…``.
        output_dir: Local folder of checkpoints and logs.
        completed_epochs: Fewer than ``epochs`` after an early stop.
        goodput: Where the time of the run went, over all its attempts.
    """

    run_id: str
    checkpoint: str
    output_dir: Path
    completed_epochs: int
    goodput: goodput.Goodput


@dataclass
class Attempt:
    """What an attempt needs while it goes on."""

    parameters: Parameters
    prepared: Prepared
    identity: Identity
    decided: Plan
    session: Session
    publication: Publication
    foreign: Store | None
    account: Account
    start: Start = field(default_factory=Start)

    @property
    def output_dir(self) -> Path:
        """Output folder of the run."""
        return Path(self.parameters.output_dir)

    @classmethod
    def open(cls, parameters: Parameters, prepared: Prepared, kfp_run_id: str, begun: float) -> Attempt:
        """Find out which run this is, and take its lease.

        Args:
            parameters: The validated parameters.
            prepared: The dataset.
            kfp_run_id: Run of the pipeline; "" outside KFP.
            begun: ``time.monotonic`` at the start of this attempt.

        Raises:
            RfdetrTrainError: When it cannot be continued, belongs to another job, or would only repeat its failure.
        """
        output_dir = Path(parameters.output_dir)
        identity = identify(parameters.as_sent(), fingerprint=prepared.fingerprint, kfp_run_id=kfp_run_id)
        check_named_file(parameters, prepared)
        decided = plan(parameters, identity, read_run_record(output_dir))
        foreign, continue_run = named_store(parameters.resume), decided.continue_run
        if named_run(parameters.resume) and is_finished(tracking_uri(output_dir), continue_run):
            # A finished run stays as it is; its checkpoints are where a new one begins.
            foreign, continue_run = open_artifacts(tracking_uri(output_dir), continue_run), ""
        output_dir.mkdir(parents=True, exist_ok=True)
        session = Session(
            identity,
            output_dir,
            params=_params(parameters, prepared),
            dataset=_tracked(prepared),
            continue_run=continue_run,
        )
        session.start(MLFLOW_SECONDS, require=decided.look)
        publication = Publication(session, output_dir, parameters.as_sent())
        account = Account(parameters, publication, begun)
        attempt = cls(parameters, prepared, identity, decided, session, publication, foreign, account)
        try:
            publication.connect()
        except BaseException:
            # The run is not for us to end: another job writes it, or nobody can.
            publication.close()
            raise
        return attempt

    def run(self, prepared_dir: Path, work: Path) -> TrainingResult:
        """Train, publish, and end the run as the training ended.

        Args:
            prepared_dir: The prepared dataset.
            work: Scratch folder.
        """
        try:
            with stop_at_once():
                job = self._prepare(prepared_dir, work)
            self.publication.on_published = self.account.record
            self.publication.start(self.start.restored)
            outcome = torchrun.run(
                job,
                processes=self.parameters.gpus_per_node,
                job_file=work / "job.json",
                on_start=self.publication.stop_training_with,
            )
            with finish_first():
                return self._end(outcome)
        except RfdetrTrainError as error:
            with finish_first():
                self._close(error.exit_code, str(error))
            raise
        except BaseException as error:
            with finish_first():
                self._close(ExitCode.INFRASTRUCTURE, f"{type(error).__name__}: {error}")
            raise
        finally:
            self.publication.close()

    def _prepare(self, prepared_dir: Path, work: Path) -> Job:
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=self.output_dir) as scratch:
            store, foreign = self.publication.store, self.foreign
            self.start = begin(self.parameters, self.prepared, self.decided, store, foreign, Path(scratch))
        self._record(RunState.RUNNING)
        self.account.forget_progress()
        if self.start.checkpoint is not None:
            _log.info("continuing from %s, commit %d", self.start.checkpoint, self.start.sequence)
        before = time.monotonic()
        dataset_dir = stage(prepared_dir, work / "dataset")
        self.account.staging = time.monotonic() - before
        resume = None if self.start.checkpoint is None else str(self.start.checkpoint)
        return Job(
            parameters=self.parameters.model_copy(update={"resume": resume}).as_sent(),
            dataset_dir=str(dataset_dir),
            classes=self.prepared.classes,
            fingerprint=self.prepared.fingerprint,
            sequence=self.start.sequence,
            outcome_file=str(work / "outcome.json"),
        )

    def _end(self, outcome: Outcome) -> TrainingResult:
        if self.publication.lost.is_set():
            raise InfrastructureError(
                f"run {self._run_id()}: another job has taken over this run, so this one was stopped. What was trained "
                f"here is in {self.output_dir}; what the other job writes stands."
            )
        before = time.monotonic()
        preempted = outcome.exit_code == ExitCode.PREEMPTED
        flushed = self.publication.finish(PREEMPTED_FLUSH_SECONDS if preempted else FLUSH_SECONDS)
        self.account.upload_wait = time.monotonic() - before
        total = self.account.close(outcome.exit_code)
        if outcome.exit_code != ExitCode.DONE:
            raise RfdetrTrainError(_and_how_to_go_on(outcome, flushed, self.output_dir), outcome.exit_code)
        address = self.publication.address_of()
        if flushed.pending or address is None:
            raise InfrastructureError(_not_published(flushed, self.output_dir))
        self._close(ExitCode.DONE, "")
        return TrainingResult(self._run_id(), address, self.output_dir, outcome.completed_epochs, total)

    def _close(self, exit_code: int, message: str) -> None:
        if self.publication.lost.is_set():
            return  # the run belongs to the job that has taken it
        state = RunState.of(exit_code)
        self._record(state)
        self.session.finish(state, failure=message)

    def _record(self, state: RunState) -> None:
        identity = self.identity
        record = RunRecord(
            self._run_id(),
            identity.parameters_digest,
            identity.fingerprint,
            self.parameters.as_sent(),
            state,
            identity.kfp_run_id,
        )
        write_run_record(self.output_dir, record)

    def _run_id(self) -> str:
        return self.session.run.run_id if self.session.run is not None else ""


def _params(parameters: Parameters, prepared: Prepared) -> dict[str, object]:
    return {
        **parameters.as_sent(),
        "resolution_effective": parameters.effective_resolution,
        "classes": prepared.classes,
        "dataset_fingerprint": prepared.fingerprint,
    }


def _tracked(prepared: Prepared) -> TrackedDataset:
    counts = {name: len(split.images) for name, split in prepared.splits.items()}
    return TrackedDataset(prepared.source, prepared.fingerprint, counts)


def _and_how_to_go_on(outcome: Outcome, flushed: FlushResult, output_dir: Path) -> str:
    published = (
        f"Its last checkpoint is in the MLflow run (commit {flushed.published_sequence})"
        if flushed.published_sequence and not flushed.pending
        else f"Its last checkpoint is {output_dir / LATEST} ({flushed.reason or 'there is none yet'})"
    )
    if outcome.exit_code not in (ExitCode.PREEMPTED, ExitCode.INFRASTRUCTURE):
        return f"{outcome.message} {published}."
    return f"{outcome.message.rstrip('.')}. {published}; the same command again continues from there."


def _not_published(flushed: FlushResult, output_dir: Path) -> str:
    return (
        f"the training is done, but {BEST_TOTAL} and the other checkpoints are not all published ({flushed.reason}). "
        f"They are in {output_dir}; when the server is back, the same command again publishes them and trains no more."
    )
