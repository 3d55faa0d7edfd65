"""Reads COCO annotation files into tables."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from rfdetr_train.datasets.checks import report_unlabelled
from rfdetr_train.datasets.coco import MAX_BYTES, CocoFile, parse_coco
from rfdetr_train.datasets.coco_checks import check_annotations, check_images
from rfdetr_train.datasets.coco_classes import SplitCategories, label_categories
from rfdetr_train.datasets.coco_columns import annotation_columns, image_columns
from rfdetr_train.datasets.coco_polygons import has_segmentation, read_polygons
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.layout import Layout, Place, Task
from rfdetr_train.datasets.model import SPLITS, printable
from rfdetr_train.datasets.splits import Parsed, usable_split
from rfdetr_train.datasets.table import Table
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import ObjectInfo, Store


def read_coco(
    store: Store,
    layout: Layout,
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    findings: Findings,
    *,
    polygons: bool = False,
) -> Parsed:
    """Read all annotation files.

    Raises:
        DatasetError: One is too large or cannot be parsed, or there are two for one split.
    """
    _refuse_ambiguous(layout.places)
    splits: list[SplitCategories] = []
    tasks: set[Task] = set()
    for place in sorted(layout.places, key=lambda place: SPLITS.index(place.name)):
        file, digest, task = _parse(store, place, findings, polygons=polygons)
        if usable_split(place.name, place.annotations, len(file.images), required, findings):
            splits.append(_tabulate(file, digest, place, listing, findings, polygons=polygons))
            tasks.add(task)
        del file  # before the next one is read
    classes = label_categories(splits, findings)
    source = next((split.table.annotations for split in splits), "")
    task = next((task for task in ("pose", "segment") if task in tasks), "detect")
    return Parsed({split.table.name: split.table for split in splits}, classes, f"categories of {source}", task)


def _refuse_ambiguous(places: Sequence[Place]) -> None:
    """Refuse two annotation files for one split."""
    for name, count in Counter(place.name for place in places).items():
        if count > 1:
            files = " and ".join(sorted(place.annotations for place in places if place.name == name))
            raise DatasetError(f"There are {count} annotation files for the split '{name}': {files}. Keep one of them.")


def _parse(store: Store, place: Place, findings: Findings, *, polygons: bool) -> tuple[CocoFile, bytes, Task]:
    """Return an annotation file, its digest, and what it was made for; its bytes are not kept.

    Raises:
        DatasetError: It has keypoints and not a single box.
    """
    data = store.read(place.annotations, MAX_BYTES)
    file = parse_coco(data, place.annotations, findings, polygons=polygons)
    task: Task = "segment" if has_segmentation(data, file.annotations) else "detect"
    if any(category.keypoints for category in file.categories):
        task = "pose"
        if file.annotations and all(entry.bbox is None for entry in file.annotations):
            raise DatasetError(
                f"{printable(place.annotations)} has keypoints without boxes: no annotation has a 'bbox'. RF-DETR "
                "learns boxes. Export them too."
            )
    return file, hashlib.sha256(data).digest(), task


def _tabulate(
    file: CocoFile,
    digest: bytes,
    place: Place,
    listing: Mapping[str, ObjectInfo],
    findings: Findings,
    *,
    polygons: bool,
) -> SplitCategories:
    """Make the table of an annotation file, without labels, and report what only its entries show."""
    images, root = image_columns(file.images, place.image_roots, listing)
    columns = annotation_columns(file)
    table = Table(
        name=place.name,
        source_name=place.source_name,
        annotations=place.annotations,
        image_root=root,
        relative=False,
        images=images,
        boxes=columns.boxes(),
        where=columns.where(place.annotations),
        digests={place.annotations: digest},
    )
    check_images(table, file.images, findings)
    check_annotations(table, file.annotations, columns, findings)
    report_unlabelled(table, findings)
    if polygons:
        read_polygons(file.annotations, table, findings)
    return SplitCategories(table, file.categories, columns.category)
