"""What is recognised and cannot train a detector, or cannot be read: refused by name."""

from __future__ import annotations

import posixpath
from collections import Counter

from rfdetr_train.datasets.layout import Layout
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError

NEEDS = (
    "COCO needs train/_annotations.coco.json beside the images (Roboflow layout), annotations/instances_train*.json "
    "with the images in train*/ or images/, or a JSON file for each split beside a folder of images. YOLO needs "
    "data.yaml with names, train and val, or obj.data, or classes.txt, and images/ beside labels/."
)
_AROUND = ", or say --task segment (dataset_task) to take the upright box around each"
_FEW_JSON = 16
_FOREIGN = {
    ".xml": "Pascal VOC or CVAT XML",
    ".tfrecord": "TFRecord",
    ".parquet": "Parquet",
    ".csv": "CSV",
    ".json": "one JSON file for each image (LabelMe or Supervisely)",
}


def oriented(what: str, uri: str, hint: str = "") -> DatasetError:
    """Build the error of a dataset of oriented boxes."""
    return DatasetError(
        f"{printable(uri)} has oriented boxes: {what}. RF-DETR learns upright boxes. "
        f"Export it for object detection{hint}."
    )


def refuse_oriented(tree: Tree, layout: Layout | None, task: str) -> None:
    """Refuse DOTA label files, and rows that a hint or the user calls oriented boxes.

    Raises:
        DatasetError: They are there.
    """
    if task == "obb":
        raise oriented("--task obb (dataset_task) says so", tree.root)
    folders = [folder for folder in sorted(tree.folders) if posixpath.basename(folder).lower().startswith("labeltxt")]
    labels = [folder for folder in tree.folders if posixpath.basename(folder) == "labels"]
    if folders and not labels and (layout is None or layout.format == "yolo"):
        raise oriented(f"{tree.full(folders[0])}/ is where DOTA has its labels", tree.root)
    if layout is not None and layout.task == "obb" and not task:
        raise oriented(f"{layout.class_source.removeprefix('names of ')} has 'task: obb'", tree.root, _AROUND)


def unknown(tree: Tree, format_name: str) -> DatasetError:
    """Build the error of a dataset of no known format."""
    ends = Counter(posixpath.splitext(key)[1].lower() or "without extension" for key in tree)
    counts = ", ".join(f"{count} {end}" for end, count in ends.most_common(5))
    top = sorted({key.split("/")[0] + ("/" if "/" in key else "") for key in tree})
    places = ", ".join(top[:8]) + (", ..." if len(top) > 8 else "")
    names = [name for end, name in _FOREIGN.items() if ends[end] > (_FEW_JSON if end == ".json" else 0)]
    foreign = f"; {' and '.join(names)} cannot be read, export it as COCO or YOLO" if names else ""
    wanted = f"of the format {format_name}" if format_name else "of a known format"
    nested = tree.nested_data_file()
    hint = f"; perhaps you mean the folder of {nested}" if nested else ""
    found = printable(f"{len(tree)} files ({counts}) in {places}{foreign}{hint}", 600)
    return DatasetError(f"{printable(tree.root)} is no dataset {wanted}. {NEEDS} Found {found}.")
