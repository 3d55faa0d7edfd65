"""Run a checkpoint over a split, through the loader and the preprocessing of training.

Not ``RFDETR.predict``: it resizes without antialiasing, training and validation with it, and the scores differ
(0.0422 against 0.0450 AP with the same weights, rfdetr 1.11.2).
"""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import Callback
from rfdetr.config import ModelConfig, TrainConfig
from rfdetr.training import RFDETRDataModule, RFDETRModelModule, build_trainer

from rfdetr_train.checkpoints.load import CheckpointInfo, describe, load
from rfdetr_train.errors import CheckpointError
from rfdetr_train.rfdetr_schema import class_name
from rfdetr_train.training.configs import ACCELERATORS, MODEL_CONFIGS

_SECONDS_BETWEEN_LINES = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """What a checkpoint found on a split.

    Attributes:
        detections: COCO results: image_id, category_id, bbox (x, y, width, height in pixels of the image), score.
        categories: Category id of every label, in label order.
        model: Variant name.
        resolution: Side of the square model input in pixels.
        completed_epochs: Epochs of training behind the checkpoint; None when it does not say.
    """

    detections: list[dict[str, Any]]
    categories: list[int]
    model: str
    resolution: int
    completed_epochs: int | None


def predict(
    checkpoint: Path, dataset_dir: Path, *, split: str, device: str, batch_size: int, num_workers: int
) -> Predictions:
    """Detect objects in every image of a split.

    Args:
        checkpoint: One of the five checkpoint files, or another that rfdetr wrote.
        dataset_dir: Staged COCO dataset; ``train`` gives the label space.
        split: ``valid`` or ``test``.
        device: ``cuda``, ``cpu`` or ``mps``.
        batch_size: Images at once.
        num_workers: Data loading processes.

    Raises:
        CheckpointError: When the checkpoint cannot be loaded safely or its weights do not fit its description.
    """
    loaded = load(checkpoint, parameter="checkpoint")
    described = describe(loaded, checkpoint, parameter="checkpoint")
    name, model_config = _model_config(described, checkpoint, device)
    with tempfile.TemporaryDirectory(prefix="rfdetr-evaluate-") as scratch:
        changes = {"dataset_dir": str(dataset_dir), "output_dir": scratch, "batch_size": batch_size}
        changes |= {"num_workers": num_workers, "accelerator": ACCELERATORS[device]}
        train_config = _train_config(loaded, changes)
        module = RFDETRModelModule(model_config, train_config)
        _load_weights(module, loaded, checkpoint)
        data = RFDETRDataModule(model_config, train_config)
        collect = _Collect()
        trainer = build_trainer(
            train_config, model_config, include_training_callbacks=False, enable_model_summary=False, logger=False
        )
        # In place of rfdetr's own scoring, which rounds the annotations to float32.
        trainer.callbacks[:] = [collect]  # type: ignore[attr-defined]
        run = trainer.test if split == "test" else trainer.validate
        run(module, datamodule=data, verbose=False)
    dataset = data._dataset_test if split == "test" else data._dataset_val
    label2cat: dict[int, int] = dataset.label2cat  # type: ignore[union-attr]
    return Predictions(
        detections=[_coco_result(found, label2cat) for found in collect.found if found["label"] in label2cat],
        categories=[label2cat[label] for label in sorted(label2cat)],
        model=name,
        resolution=model_config.resolution,
        completed_epochs=described.epoch,
    )


class _Collect(Callback):
    """Keep what the model found, and say how far it is."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._shown_at = time.monotonic()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep(outputs, batch_idx, int(trainer.num_test_batches[0]))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep(outputs, batch_idx, int(trainer.num_val_batches[0]))

    def _keep(self, outputs: Any, batch_idx: int, batches: int) -> None:
        for result, target in zip(outputs["results"], outputs["targets"], strict=True):
            rows = zip(result["labels"].tolist(), result["scores"].tolist(), result["boxes"].tolist(), strict=True)
            image_id = int(target["image_id"])
            self.found += [{"image_id": image_id, "label": label, "score": s, "box": box} for label, s, box in rows]
        if time.monotonic() - self._shown_at >= _SECONDS_BETWEEN_LINES or batch_idx + 1 == batches:
            self._shown_at = time.monotonic()
            _log.info("evaluated batch %d of %d", batch_idx + 1, batches)


def _coco_result(found: dict[str, Any], label2cat: dict[int, int]) -> dict[str, Any]:
    left, top, right, bottom = found["box"]
    return {
        "image_id": found["image_id"],
        "category_id": label2cat[found["label"]],
        "bbox": [left, top, right - left, bottom - top],
        "score": found["score"],
    }


def _model_config(described: CheckpointInfo, checkpoint: Path, device: str) -> tuple[str, ModelConfig]:
    by_class_name = {class_name(name): name for name in MODEL_CONFIGS}
    if described.model_name not in by_class_name:
        raise CheckpointError(f"checkpoint: {checkpoint} holds {described.model_name}; wanted one of {by_class_name}.")
    name = by_class_name[described.model_name]
    # The weights come from the checkpoint itself; nothing is to be downloaded.
    return name, MODEL_CONFIGS[name](**{**described.model_config, "pretrain_weights": None, "device": device})


def _train_config(loaded: dict[str, Any], changes: dict[str, Any]) -> TrainConfig:
    """The config that the checkpoint was trained with, since preprocessing follows it, on one process here."""
    fields = TrainConfig.model_fields
    # Only what differs from the defaults: deprecated fields would warn, though nobody has set them.
    trained_with = {
        name: value
        for name, value in (loaded.get("args") or {}).items()
        if name in fields and value != fields[name].default
    }
    here = {"dataset_file": "roboflow", "devices": 1, "num_nodes": 1, "strategy": "auto", "resume": None}
    return TrainConfig(**{**trained_with, **here, "compute_test_loss": False, **changes})


def _load_weights(module: RFDETRModelModule, loaded: dict[str, Any], checkpoint: Path) -> None:
    weights = loaded.get("model")
    if weights is None:
        prefix = "model."
        weights = {k.removeprefix(prefix): v for k, v in loaded["state_dict"].items() if k.startswith(prefix)}
    try:
        module.model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint: the weights in {checkpoint} do not fit its model: {error}") from None
