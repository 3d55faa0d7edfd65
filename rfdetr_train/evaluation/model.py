"""What one evaluation knows: the scores, what they were computed from, and pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rfdetr_train.evaluation.score import Scores

# Detections below this score are not drawn or listed; they do count in the scores.
DISPLAY_THRESHOLD = 0.3

# x, y, width, height in pixels of the original image.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class SampleImage:
    """One image of the gallery.

    Attributes:
        file_name: Name in the annotation file.
        image_path: Where the image is on this machine.
        ground_truth: (box, class name) of every annotation.
        detections: (box, class name, score) of every detection.
    """

    file_name: str
    image_path: Path
    ground_truth: Sequence[tuple[Box, str]]
    detections: Sequence[tuple[Box, str, float]]

    @property
    def shown_detections(self) -> list[tuple[Box, str, float]]:
        """Detections with a score of at least ``DISPLAY_THRESHOLD``."""
        return [detection for detection in self.detections if detection[2] >= DISPLAY_THRESHOLD]


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint scored on one split.

    Attributes:
        scores: The numbers.
        split: ``train``, ``valid`` or ``test``.
        selection_split: Whether the checkpoint was chosen by its score on this very split.
        checkpoint: Path or URI of the checkpoint.
        checkpoint_epoch: Epochs that the checkpoint had completed; None when it does not say.
        model: ``nano``, ``small``, ``medium``, ``base`` or ``large``.
        resolution: Side of the square model input in pixels.
        dataset_fingerprint: Fingerprint of the dataset.
        dataset_uri: Where the dataset came from.
        classes: Class names in label order.
        run_id: MLflow run, or "".
        samples: Images for the gallery.
        versions: Library name to version.
    """

    scores: Scores
    split: str
    selection_split: bool
    checkpoint: str
    checkpoint_epoch: int | None
    model: str
    resolution: int
    dataset_fingerprint: str
    dataset_uri: str
    classes: Sequence[str]
    run_id: str = ""
    samples: Sequence[SampleImage] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without paths of this machine other than those that were asked for."""
        return {
            "split": self.split,
            "selection_split": self.selection_split,
            "checkpoint": self.checkpoint,
            "checkpoint_epoch": self.checkpoint_epoch,
            "model": self.model,
            "resolution": self.resolution,
            "dataset_uri": self.dataset_uri,
            "dataset_fingerprint": self.dataset_fingerprint,
            "classes": list(self.classes),
            "run_id": self.run_id,
            "versions": dict(sorted(self.versions.items())),
            "scores": self.scores.to_dict(),
            "display_threshold": DISPLAY_THRESHOLD,
            "samples": [
                {
                    "file_name": sample.file_name,
                    "ground_truth": [{"bbox": list(box), "class": name} for box, name in sample.ground_truth],
                    "detections": [
                        {"bbox": list(box), "class": name, "score": score}
                        for box, name, score in sample.shown_detections
                    ],
                }
                for sample in self.samples
            ],
        }
