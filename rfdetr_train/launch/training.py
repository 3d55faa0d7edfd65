"""One training, from a prepared dataset to checkpoints in the tracked run."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

from rfdetr_train.checkpoints.load import load
from rfdetr_train.datasets import Prepared, read_manifest
from rfdetr_train.launch.attempt import Attempt, TrainingResult
from rfdetr_train.launch.interrupts import stop_at_once
from rfdetr_train.params import Parameters
from rfdetr_train.storage.fetch import fetch_file
from rfdetr_train.training.device import check_device
from rfdetr_train.training.effective_batch import MIN_EFFECTIVE_BATCHES
from rfdetr_train.training.failures import shared_memory_notes

__all__ = ["TrainingResult", "train"]
_log = logging.getLogger(__name__)


def train(parameters: Parameters, prepared_dir: Path, *, kfp_run_id: str = "") -> TrainingResult:
    """Stage the images, train under torchrun, and publish everything into one MLflow run while it trains.

    Args:
        parameters: The validated parameters.
        prepared_dir: What ``convert`` made: COCO annotations and ``dataset.json``.
        kfp_run_id: Run of the pipeline that this is a step of; "" outside KFP.

    Raises:
        RfdetrTrainError: Of the class that fits the failure; what was trained until then is in the run.
    """
    begun = time.monotonic()
    prepared = read_manifest(prepared_dir)
    check_device(parameters.device, parameters.gpus_per_node)
    for note in [*parameters.notes, *_notes_on_size(parameters, prepared), *shared_memory_notes(parameters)]:
        _log.warning("%s", note)
    with tempfile.TemporaryDirectory(prefix="rfdetr-train-") as work:
        with stop_at_once():
            parameters = _with_local_weights(parameters, Path(work))
            attempt = Attempt.open(parameters, prepared, kfp_run_id, begun)
        return attempt.run(prepared_dir, Path(work))


def _notes_on_size(parameters: Parameters, prepared: Prepared) -> list[str]:
    """Say when rfdetr's epochs are not passes over the dataset (RFDETRDataModule.train_dataloader, rfdetr 1.11.2)."""
    images, wanted = len(prepared.splits["train"].images), MIN_EFFECTIVE_BATCHES * parameters.effective_batch_size
    if images >= wanted:
        return []
    return [
        f"epochs: the {images} training images are fewer than {MIN_EFFECTIVE_BATCHES} effective batches of "
        f"{parameters.effective_batch_size}; rfdetr repeats images until an epoch has {wanted}."
    ]


def _with_local_weights(parameters: Parameters, work: Path) -> Parameters:
    """Fetch and check weights that the user named; rfdetr itself downloads the official ones."""
    named = parameters.pretrain_weights
    if named in ("", "none"):
        return parameters
    local = fetch_file(named, work, parameter="pretrain_weights") if "://" in named else Path(named)
    load(local, parameter="pretrain_weights")
    return parameters.model_copy(update={"pretrain_weights": str(local.absolute())})
