"""The two inputs of scoring, annotations and detections: read, and checked to belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rfdetr_train.errors import DatasetError


class Image(msgspec.Struct):
    """An image; an annotation file has more of it."""

    id: int | str


class Category(msgspec.Struct):
    """A category and its name."""

    id: int
    name: str


class Annotation(msgspec.Struct):
    """An annotated box: x, y, width, height in pixels; area in square pixels."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int | bool = 0


class GroundTruth(msgspec.Struct):
    """What scoring needs of a COCO annotation file; other fields are skipped."""

    images: list[Image]
    categories: list[Category]
    annotations: list[Annotation]


class Detection(msgspec.Struct):
    """A COCO result: x, y, width, height in pixels; score from 0 to 1."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float


_Decoded = TypeVar("_Decoded")


def _read_json(path: Path, kind: type[_Decoded]) -> _Decoded:
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except msgspec.DecodeError as error:
        raise DatasetError(f"{path} is not the COCO JSON that scoring needs: {error}.") from error


def read_ground_truth(path: Path) -> GroundTruth:
    """Read what scoring needs of a COCO annotation file.

    Raises:
        DatasetError: It cannot be read.
    """
    return _read_json(path, GroundTruth)


def read_detections(detections: Sequence[dict[str, Any]] | Path) -> list[Detection]:
    """Read COCO results from a list or from a JSON file.

    Raises:
        DatasetError: They are none.
    """
    if isinstance(detections, Path):
        return _read_json(detections, list[Detection])
    try:
        return msgspec.convert(list(detections), list[Detection])
    except msgspec.ValidationError as error:
        raise DatasetError(f"The detections are not COCO results: {error}.") from error


def check_categories(truth: GroundTruth, categories: Iterable[int], source: Path) -> None:
    """Check that every category that is used is listed.

    Raises:
        DatasetError: Naming the first that is not.
    """
    known = {category.id for category in truth.categories}
    unknown = ({box.category_id for box in truth.annotations} | set(categories)) - known
    if unknown:
        raise DatasetError(
            f"{source}: category id {min(unknown)} is used, but 'categories' lists only {_some(known)}. "
            "Add the category to the file or correct the id."
        )


def check_detections(found: list[Detection], truth: GroundTruth, source: Path) -> None:
    """Check that the detections are of these images and categories, and finite.

    Raises:
        DatasetError: Naming the first that is not.
    """
    image_ids = {image.id for image in truth.images}
    category_ids = {category.id for category in truth.categories}
    for index, detection in enumerate(found):
        if detection.image_id not in image_ids:
            raise DatasetError(
                f"Detection {index} is of image id {detection.image_id!r}, which is not among the {len(image_ids)} "
                f"images of {source}. Score each split against its own annotation file."
            )
        if detection.category_id not in category_ids:
            raise DatasetError(
                f"Detection {index} has category id {detection.category_id}, but {source} has {_some(category_ids)}. "
                "Map the model's labels to category ids first."
            )
        if not all(map(math.isfinite, (*detection.bbox, detection.score))):
            raise DatasetError(
                f"Detection {index} (image id {detection.image_id!r}) has a box or score that is not finite: "
                f"{detection.bbox}, {detection.score}. The model's weights are damaged or it has diverged."
            )


def _some(ids: Iterable[int]) -> str:
    listed = sorted(ids)
    return ", ".join(map(str, listed[:10])) + (" …" if len(listed) > 10 else "")
