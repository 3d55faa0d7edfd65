"""One training, from a prepared dataset to checkpoints in the tracked run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.checkpoints.files import BEST_TOTAL, bring_along, checkpoint_files, refuse_to_overwrite
from rfdetr_train.checkpoints.load import check_resumable, load
from rfdetr_train.datasets import Prepared, read_manifest, stage
from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.launch import torchrun
from rfdetr_train.params import Parameters
from rfdetr_train.rfdetr_schema import class_name
from rfdetr_train.storage.fetch import fetch_file
from rfdetr_train.tracking.run import CHECKPOINTS, TrackedRun, open_run
from rfdetr_train.tracking.server import without_credentials
from rfdetr_train.training.device import check_device
from rfdetr_train.training.job import Job

MIN_EFFECTIVE_BATCHES = 5  # rfdetr.training.module_data._MIN_TRAIN_BATCHES, compared by a test
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training left.

    Attributes:
        run_id: The MLflow run.
        checkpoint: Address of the best model, ``runs:/<run id>/checkpoints/checkpoint_best_total.pth``.
        output_dir: Local folder of checkpoints and logs.
        completed_epochs: Fewer than ``epochs`` after an early stop.
    """

    run_id: str
    checkpoint: str
    output_dir: Path
    completed_epochs: int


def train(parameters: Parameters, prepared_dir: Path) -> TrainingResult:
    """Stage the images, train under torchrun, and put everything into one MLflow run.

    Args:
        parameters: The validated parameters.
        prepared_dir: What ``convert`` made: COCO annotations and ``dataset.json``.

    Raises:
        RfdetrTrainError: Of the class that fits the failure; what was trained until then is in the run.
    """
    prepared = read_manifest(prepared_dir)
    output_dir = Path(parameters.output_dir)
    check_device(parameters.device, parameters.gpus_per_node)
    resume = _checked_resume(parameters, prepared, output_dir)
    for note in [*parameters.notes, *_notes_on_size(parameters, prepared)]:
        _log.warning("%s", note)
    with tempfile.TemporaryDirectory(prefix="rfdetr-train-") as work:
        parameters = _with_local_weights(parameters, Path(work))
        if resume is not None:
            bring_along(resume, output_dir)
        output_dir.mkdir(parents=True, exist_ok=True)
        dataset_dir = stage(prepared_dir, Path(work) / "dataset")
        with _tracked(parameters, prepared) as run:
            job = Job(
                parameters=parameters.as_sent(),
                dataset_dir=str(dataset_dir),
                classes=prepared.classes,
                run_id=run.run_id,
                tracking_uri=run.tracking_uri,
                outcome_file=str(Path(work) / "outcome.json"),
            )
            outcome = torchrun.run(job, processes=parameters.gpus_per_node, job_file=Path(work) / "job.json")
            _upload(run, output_dir)
            if outcome.exit_code != ExitCode.DONE:
                raise RfdetrTrainError(outcome.message, outcome.exit_code)
    return TrainingResult(run.run_id, run.artifact_uri(BEST_TOTAL), output_dir, outcome.completed_epochs)


def _notes_on_size(parameters: Parameters, prepared: Prepared) -> list[str]:
    """Say when rfdetr's epochs are not passes over the dataset (RFDETRDataModule.train_dataloader, rfdetr 1.11.2)."""
    images, wanted = len(prepared.splits["train"].images), MIN_EFFECTIVE_BATCHES * parameters.effective_batch_size
    if images >= wanted:
        return []
    return [
        f"epochs: the {images} training images are fewer than {MIN_EFFECTIVE_BATCHES} effective batches of "
        f"{parameters.effective_batch_size}; rfdetr repeats images until an epoch has {wanted}."
    ]


def _checked_resume(parameters: Parameters, prepared: Prepared, output_dir: Path) -> Path | None:
    resume = None if parameters.resume is None else Path(parameters.resume)
    if resume is not None:
        check_resumable(
            resume, model_name=class_name(parameters.model), classes=prepared.classes, epochs=parameters.epochs
        )
    refuse_to_overwrite(output_dir, resume)
    return resume


def _with_local_weights(parameters: Parameters, work: Path) -> Parameters:
    """Fetch and check weights that the user named; rfdetr itself downloads the official ones."""
    named = parameters.pretrain_weights
    if named in ("", "none"):
        return parameters
    local = fetch_file(named, work, parameter="pretrain_weights") if "://" in named else Path(named)
    load(local, parameter="pretrain_weights")
    return parameters.model_copy(update={"pretrain_weights": str(local.absolute())})


@contextmanager
def _tracked(parameters: Parameters, prepared: Prepared) -> Iterator[TrackedRun]:
    """Open the run, log what is trained on what, and end it as the training ended."""
    run = open_run(experiment=parameters.experiment, name=parameters.run, output_dir=Path(parameters.output_dir))
    _log.info("MLflow run %s in %s", run.run_id, without_credentials(run.tracking_uri))
    try:
        run.log_params({**parameters.as_sent(), "resolution_effective": parameters.effective_resolution})
        run.log_params({"classes": prepared.classes, "dataset_fingerprint": prepared.fingerprint})
        run.set_tags({"rfdetr.dataset_fingerprint": prepared.fingerprint, "rfdetr.dataset_uri": prepared.source})
        yield run
    except BaseException as error:
        run.set_tags({"rfdetr.failure": str(error)[:500]})
        stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", None) == ExitCode.PREEMPTED
        run.finish("KILLED" if stopped else "FAILED")
        raise
    run.finish("FINISHED")


def _upload(run: TrackedRun, output_dir: Path) -> None:
    """Put the checkpoints into the run."""
    try:
        run.log_files(checkpoint_files(output_dir), CHECKPOINTS)
    # Whatever store lies behind MLflow raises errors of its own (requests, boto3, OSError); the files are safe here.
    except Exception as error:
        raise InfrastructureError(
            f"the checkpoints could not be uploaded to MLflow run {run.run_id} "
            f"({type(error).__name__}: {without_credentials(str(error))[:300]}). They are in {output_dir}; when the "
            f"server is back: mlflow artifacts log-artifacts --run-id {run.run_id} --artifact-path {CHECKPOINTS} "
            f"--local-dir {output_dir}"
        ) from error
