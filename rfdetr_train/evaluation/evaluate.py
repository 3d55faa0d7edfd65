"""Score a checkpoint on a split of a prepared dataset, and report it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from rfdetr_train.checkpoints.files import BEST_TOTAL
from rfdetr_train.checkpoints.published import fetch_published, parse_address
from rfdetr_train.datasets import Prepared, read_manifest, stage
from rfdetr_train.errors import DatasetError
from rfdetr_train.evaluation.model import Evaluation, SampleImage
from rfdetr_train.evaluation.predict import Predictions, predict
from rfdetr_train.evaluation.report import choose_samples, write_reports
from rfdetr_train.evaluation.score import score
from rfdetr_train.storage.fetch import fetch_file
from rfdetr_train.tracking.artifacts import open_artifacts
from rfdetr_train.tracking.run import download
from rfdetr_train.tracking.server import require_server
from rfdetr_train.training.device import check_device

SELECTION_SPLIT = "valid"
REPORTED_VERSIONS = ("rfdetr", "torch", "pycocotools")


def evaluate(
    checkpoint: str,
    prepared_dir: Path,
    output_dir: Path,
    *,
    split: str,
    device: str,
    batch_size: int,
    num_workers: int,
    run_id: str = "",
) -> Evaluation:
    """Evaluate and write ``evaluation.json`` and ``report.html``.

    Args:
        checkpoint: Path of a checkpoint file, its URI (``s3://``, ``runs:/``), or the folder of a run, which stands
            for its best model.
        prepared_dir: What ``convert`` made: COCO annotations and ``dataset.json``.
        output_dir: Folder of the reports.
        split: ``test``, or ``valid``, which also chose the checkpoint.
        device: ``cuda``, ``cpu`` or ``mps``.
        batch_size: Images at once.
        num_workers: Data loading processes.
        run_id: MLflow run of the training, for the report.

    Raises:
        DatasetError: When the dataset has no such split.
        CheckpointError: When the checkpoint is missing or cannot be used.
        ParameterError: When the device is not there.
    """
    prepared = read_manifest(prepared_dir)
    if split not in prepared.splits:
        raise DatasetError(
            f"eval_split: the dataset has no split {split!r}, only {', '.join(prepared.splits)}. Add one, or give "
            f"eval_split={SELECTION_SPLIT} to score on the split that chose the checkpoint."
        )
    check_device(device, processes=1)
    with tempfile.TemporaryDirectory(prefix="rfdetr-evaluate-") as work:
        local = _local_checkpoint(checkpoint, Path(work))
        dataset_dir = stage(prepared_dir, Path(work) / "dataset", image_splits=[split])
        predictions = predict(
            local, dataset_dir, split=split, device=device, batch_size=batch_size, num_workers=num_workers
        )
        evaluation = _assemble(predictions, prepared, dataset_dir / split, checkpoint=checkpoint, run_id=run_id)
        write_reports(evaluation, output_dir)
    return evaluation


def _local_checkpoint(checkpoint: str, work: Path) -> Path:
    address = parse_address(checkpoint)
    if address is not None:
        run_id, sha256, name = address
        store = open_artifacts(require_server(), run_id)
        return fetch_published(store, name, sha256, work, parameter="checkpoint")
    if checkpoint.startswith("runs:/"):
        return download(checkpoint, work)
    path = fetch_file(checkpoint, work, parameter="checkpoint") if "://" in checkpoint else Path(checkpoint)
    return path / BEST_TOTAL if path.is_dir() else path


def _assemble(
    predictions: Predictions, prepared: Prepared, split_dir: Path, *, checkpoint: str, run_id: str
) -> Evaluation:
    annotations = split_dir / "_annotations.coco.json"
    return Evaluation(
        scores=score(annotations, predictions.detections, categories=predictions.categories),
        split=split_dir.name,
        selection_split=split_dir.name == SELECTION_SPLIT,
        checkpoint=checkpoint,
        checkpoint_epoch=predictions.completed_epochs,
        model=predictions.model,
        resolution=predictions.resolution,
        dataset_fingerprint=prepared.fingerprint,
        dataset_uri=prepared.source,
        classes=prepared.classes,
        run_id=run_id,
        samples=_samples(split_dir, annotations, predictions),
        versions={name: version(name) for name in REPORTED_VERSIONS},
    )


def _samples(split_dir: Path, annotations: Path, predictions: Predictions) -> list[SampleImage]:
    coco = msgspec.json.decode(annotations.read_bytes())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    chosen = set(choose_samples(image["file_name"] for image in coco["images"]))
    truth, found = _by_image(coco["annotations"]), _by_image(predictions.detections)
    return [
        SampleImage(
            file_name=image["file_name"],
            image_path=split_dir / image["file_name"],
            ground_truth=[(tuple(box["bbox"]), names[box["category_id"]]) for box in truth[image["id"]]],
            detections=[(tuple(box["bbox"]), names[box["category_id"]], box["score"]) for box in found[image["id"]]],
        )
        for image in sorted(coco["images"], key=lambda image: image["file_name"])
        if image["file_name"] in chosen
    ]


def _by_image(entries: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        grouped[entry["image_id"]].append(entry)
    return grouped
