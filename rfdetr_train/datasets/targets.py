"""Writes the annotations of a dataset in COCO or YOLO."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from rfdetr_train.datasets.boxes import Box, fit
from rfdetr_train.datasets.coco import ANNOTATIONS_NAME
from rfdetr_train.datasets.coco_reader import CocoSplit, file_key
from rfdetr_train.datasets.headers import ImageSize, read_sizes
from rfdetr_train.datasets.manifest import PreparedImage
from rfdetr_train.datasets.progress import logger
from rfdetr_train.datasets.source import LabelledBox, Source, SourceSplit
from rfdetr_train.datasets.yolo import IMAGE_EXTENSIONS
from rfdetr_train.datasets.yolo_reader import YoloSplit
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import map_parallel


class Written(NamedTuple):
    """What was written for a split, relative to the prepared folder."""

    annotations: str
    image_folder: str
    images: list[PreparedImage]


def write_coco_split(source: Source, split: SourceSplit, folder: Path, changes: Counter[str]) -> Written:
    """Write ``<split>/_annotations.coco.json``.

    A file that is COCO already is copied byte for byte: an evaluation scores on the user's own annotations.
    """
    name = split.summary.name
    path = folder / name / ANNOTATIONS_NAME
    path.parent.mkdir(parents=True)
    if isinstance(split, CocoSplit):
        path.write_bytes(source.store.read(split.summary.annotations))
    else:
        path.write_bytes(msgspec.json.encode(_coco_file(source, split, changes)))
    images = [PreparedImage(image, found.key, found.size, found.etag) for image, found in split.images.items()]
    return Written(f"{name}/{ANNOTATIONS_NAME}", name, images)


def _coco_file(source: Source, split: SourceSplit, changes: Counter[str]) -> dict[str, object]:
    """Return a split as COCO; category ids are 1 to n, which RF-DETR maps to the labels 0 to n-1."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    sizes = read_sizes(source.store, list(split.images.values()), split.summary.name)
    for image_id, ((name, rows), size) in enumerate(zip(split.boxes(), sizes, strict=True), 1):
        images.append({"id": image_id, "file_name": name, "width": size.width, "height": size.height})
        for label, (x, y, w, h) in fitted_boxes(rows, ImageSize(1, 1), changes):
            box = x * size.width, y * size.height, w * size.width, h * size.height
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [
        {"id": category.label + 1, "name": category.name, "supercategory": "none"} for category in source.categories
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def write_yolo_split(source: Source, split: SourceSplit, folder: Path, changes: Counter[str]) -> Written:
    """Write ``<split>/labels/*.txt``, one file for every image, also for an image without boxes."""
    name = split.summary.name
    labels = folder / name / "labels"
    labels.mkdir(parents=True)
    flat = flat_names(split.images)
    if isinstance(split, YoloSplit):
        contents = map_parallel(source.store.read, split.label_keys.values(), source.store.parallelism)
        for image in split.images:
            data = next(contents) if image in split.label_keys else b""
            (labels / _label_name(flat[image])).write_bytes(data)
    else:
        sizes = dict(zip(split.images, read_sizes(source.store, list(split.images.values()), name), strict=True))
        if isinstance(split, CocoSplit):
            _warn_of_wrong_sizes(split, sizes)
            changes["crowd-region"] += sum(bool(annotation.iscrowd) for annotation in split.file.annotations)
        for image, rows in split.boxes():
            lines = [_row(row, sizes[image]) for row in fitted_boxes(rows, sizes[image], changes)]
            (labels / _label_name(flat[image])).write_text("".join(lines), encoding="utf-8")
    images = [PreparedImage(flat[image], found.key, found.size, found.etag) for image, found in split.images.items()]
    return Written(f"{name}/labels", f"{name}/images", images)


def write_data_yaml(folder: Path, classes: Sequence[str], splits: Iterable[str]) -> None:
    """Write ``data.yaml`` with folders relative to it."""
    import yaml

    keys = {"train": "train", "valid": "val", "test": "test"}
    values: dict[str, object] = {keys[split]: f"{split}/images" for split in splits}
    values |= {"nc": len(classes), "names": list(classes)}
    (folder / "data.yaml").write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def fitted_boxes(rows: Iterable[LabelledBox], size: ImageSize, changes: Counter[str]) -> Iterable[LabelledBox]:
    """Yield boxes clipped to an image of a size; boxes without area are left out, and what was changed is counted."""
    for label, box in rows:
        fitted = fit(box, size.width, size.height)
        if fitted is None:
            changes["degenerate-box"] += 1
            continue
        if fitted is not box:
            changes["box-outside-image"] += 1
        yield LabelledBox(label, fitted)


def _row(labelled: LabelledBox, size: ImageSize) -> str:
    """Return a YOLO row; the shortest digits that give the same float64 back."""
    x, y, w, h = relative_box(labelled.box, size)
    return f"{labelled.label} {x!r} {y!r} {w!r} {h!r}\n"


def relative_box(box: Box, size: ImageSize) -> Box:
    """Return centre, width and height in parts of the image sides for a box in pixels."""
    x, y, w, h = box
    return (x + w / 2) / size.width, (y + h / 2) / size.height, w / size.width, h / size.height


def flat_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return a file name without folders for every image, each with a stem of its own.

    RF-DETR reads YOLO images from one folder, and finds labels by the stem alone.
    """
    flat: dict[str, str] = {}
    stems: set[str] = set()
    for name in names:
        stem, extension = posixpath.splitext(name.replace("/", "__"))
        if extension.lower() not in IMAGE_EXTENSIONS:
            known = ", ".join(sorted(IMAGE_EXTENSIONS))
            raise DatasetError(f"The image '{name}' has no extension that YOLO readers know ({known}). Rename it.")
        # Without regard to case: not every disk tells A.txt from a.txt.
        free = next(
            candidate
            for number in range(len(stems) + 2)
            if (candidate := f"{stem}_{number}" if number else stem).casefold() not in stems
        )
        stems.add(free.casefold())
        flat[name] = free + extension
    return flat


def _label_name(image: str) -> str:
    """Return the name of the label file of an image."""
    return posixpath.splitext(image)[0] + ".txt"


def _warn_of_wrong_sizes(split: CocoSplit, sizes: Mapping[str, ImageSize]) -> None:
    """Log where the annotation file gives an image another size than it has; the size it has is used."""
    wrong = [
        image.file_name
        for image in split.file.images
        if (image.width, image.height) not in ((None, None), sizes[file_key(image)])
    ]
    if wrong:
        logger.warning(
            "%s: %d images have another size than the file says, first: %s. The size of the image is used.",
            split.summary.annotations,
            len(wrong),
            wrong[0],
        )
