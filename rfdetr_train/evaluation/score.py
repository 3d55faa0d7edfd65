"""The COCO numbers of a set of detections, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rfdetr_train.evaluation.results import (
    Annotation,
    Detection,
    GroundTruth,
    check_categories,
    check_detections,
    read_detections,
    read_ground_truth,
)

# In the order of COCOeval.stats. Areas are in pixels of the original image.
METRICS = {
    "AP": "Mean precision over IoU 0.50 to 0.95 and all classes",
    "AP50": "AP at IoU 0.50: found, and roughly in place",
    "AP75": "AP at IoU 0.75: found, and tightly in place",
    "APsmall": "AP of objects under 32 × 32 px",
    "APmedium": "AP of objects from 32 × 32 to 96 × 96 px",
    "APlarge": "AP of objects over 96 × 96 px",
    "AR1": "Mean recall with 1 detection an image and class",
    "AR10": "Mean recall with at most 10",
    "AR100": "Mean recall with at most 100 detections",
    "ARsmall": "AR100 of objects under 32 × 32 px",
    "ARmedium": "AR100 of objects from 32 × 32 to 96 × 96 px",
    "ARlarge": "AR100 of objects over 96 × 96 px",
}

# Indices into COCOeval's precision, (IoU threshold, recall, class, area range, max detections).
_ALL_AREAS, _MAX_100 = 0, 2


@dataclass(frozen=True)
class ClassScore:
    """One class.

    Attributes:
        name: Class name.
        category_id: Category id in the annotation file.
        images: Images with at least one box of the class.
        boxes: Boxes to be found.
        AP: Mean over IoU 0.50 to 0.95; None without boxes.
        AP50: At IoU 0.50; None without boxes.
    """

    name: str
    category_id: int
    images: int
    boxes: int
    AP: float | None
    AP50: float | None


@dataclass(frozen=True)
class Scores:
    """The twelve COCO numbers (see ``METRICS``), 0 to 1, and what they were computed from.

    A number is None where the annotations have no object of its kind.

    Attributes:
        per_class: Classes that have annotations or were trained, by category id.
        image_count: Images of the annotation file.
        box_count: Boxes to be found: neither crowd regions nor boxes without an area.
        degenerate_count: Annotated boxes without width or height, left out.
        detection_count: Detections given, of any score.
    """

    AP: float | None
    AP50: float | None
    AP75: float | None
    APsmall: float | None
    APmedium: float | None
    APlarge: float | None
    AR1: float | None
    AR10: float | None
    AR100: float | None
    ARsmall: float | None
    ARmedium: float | None
    ARlarge: float | None
    per_class: list[ClassScore]
    image_count: int
    box_count: int
    degenerate_count: int
    detection_count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def finite_metrics(self) -> dict[str, float]:
        """Numbers for KFP Metrics and MLflow, which refuse None and NaN; a class goes by ``AP/<class>``."""
        metrics: dict[str, float] = {name: value for name in METRICS if (value := getattr(self, name)) is not None}
        for entry in self.per_class:
            if entry.AP is None:
                continue
            name = _metric_name(entry)
            while name in metrics:
                name += f"_{entry.category_id}"
            metrics[name] = entry.AP
        return metrics


def score(
    annotations: Path,
    detections: Sequence[dict[str, Any]] | Path,
    *,
    categories: Sequence[int] | None = None,
) -> Scores:
    """Score detections against a COCO annotation file as pycocotools does (boxes, at most 1, 10 and 100 an image).

    Args:
        annotations: COCO annotation JSON; only read. ``iscrowd``, ``area``, ``info`` and annotation ids may be missing.
        detections: COCO results: ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels), ``score``;
            a list, or a JSON file of it. May be empty.
        categories: Category ids that the model was trained on; they are listed even without annotations.

    Raises:
        DatasetError: A file cannot be read, or the detections do not belong to these annotations.
    """
    truth = read_ground_truth(annotations)
    found = read_detections(detections)
    check_categories(truth, categories or (), annotations)
    check_detections(found, truth, annotations)

    boxes = [box for box in truth.annotations if _has_area(box)]
    class_ids = sorted({box.category_id for box in boxes} | set(categories or ()))
    evaluator = _evaluate(truth, boxes, found, class_ids)
    return Scores(
        **dict(zip(METRICS, map(_or_none, evaluator.stats), strict=True)),
        per_class=_per_class(truth, boxes, evaluator, class_ids),
        image_count=len(truth.images),
        box_count=sum(not box.iscrowd for box in boxes),
        degenerate_count=len(truth.annotations) - len(boxes),
        detection_count=len(found),
    )


def _has_area(box: Annotation) -> bool:
    # No detection can have an IoU above 0 with such a box: left in, it would cap recall below 1 for every model.
    return box.bbox[2] > 0 and box.bbox[3] > 0


def _evaluate(truth: GroundTruth, boxes: list[Annotation], found: list[Detection], class_ids: list[int]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_coco(truth, boxes), _coco(truth, found), "bbox")
        evaluator.params.catIds = class_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _coco(truth: GroundTruth, entries: Sequence[Annotation | Detection]) -> COCO:
    """Ground truth or detections as pycocotools holds them (its ``loadRes`` fails on an empty list)."""
    coco = COCO()
    coco.dataset = {
        "images": [msgspec.to_builtins(image) for image in truth.images],
        "categories": [msgspec.to_builtins(category) for category in truth.categories],
        # Ids of our own, from 1: pycocotools marks a match by the annotation's id, so that an object with id 0 (the
        # first of every Roboflow export) would count as missed and its detection as wrong.
        "annotations": [_entry(index, entry) for index, entry in enumerate(entries, start=1)],
    }
    coco.createIndex()
    return coco


def _entry(index: int, entry: Annotation | Detection) -> dict[str, Any]:
    fields = {"id": index, "image_id": entry.image_id, "category_id": entry.category_id, "bbox": list(entry.bbox)}
    area = entry.bbox[2] * entry.bbox[3]
    if isinstance(entry, Detection):
        return {**fields, "area": area, "iscrowd": 0, "score": entry.score}
    return {**fields, "area": area if entry.area is None else entry.area, "iscrowd": int(entry.iscrowd)}


def _per_class(
    truth: GroundTruth, boxes: list[Annotation], evaluator: COCOeval, class_ids: list[int]
) -> list[ClassScore]:
    names = {category.id: category.name for category in truth.categories}
    precision = evaluator.eval["precision"][:, :, :, _ALL_AREAS, _MAX_100]
    images_of_boxes = defaultdict(list)
    for box in boxes:
        if not box.iscrowd:
            images_of_boxes[box.category_id].append(box.image_id)
    return [
        ClassScore(
            name=names[category_id],
            category_id=category_id,
            images=len(set(images_of_boxes[category_id])),
            boxes=len(images_of_boxes[category_id]),
            AP=_or_none(precision[:, :, index].mean()),
            AP50=_or_none(precision[0, :, index].mean()),
        )
        for index, category_id in enumerate(class_ids)
    ]


def _or_none(value: np.floating) -> float | None:
    """Pycocotools says -1 where there is no ground truth of the kind; 0 to 1 elsewhere."""
    return float(value) if value >= 0 else None


def _metric_name(entry: ClassScore) -> str:
    # MLflow takes letters, digits and _ - . space : /, at most 250 of them, and no name that is not its own path.
    name = re.sub(r"[^\w.\- ]", "_", entry.name)[:200]
    return f"AP/{name}" if name.strip(".") else f"AP/class {entry.category_id}"
