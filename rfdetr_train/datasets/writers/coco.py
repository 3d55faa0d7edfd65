"""Writes a split as a new COCO annotation file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from rfdetr_train.datasets.manifest import PreparedCategory
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.rows import Rows, label_rows

# Annotations in memory at once.
_CHUNK = 1 << 16


class ImageEntry(msgspec.Struct, gc=False):
    """An entry of ``images``."""

    id: int
    file_name: str
    width: int
    height: int


class Box(msgspec.Struct, array_like=True, gc=False):
    """A box; a struct and no tuple, of which the garbage collector would look at every one."""

    x: float
    y: float
    width: float
    height: float


class AnnotationEntry(msgspec.Struct, gc=False):
    """An entry of ``annotations``; RF-DETR needs ``area``, and pycocotools all but the last."""

    id: int
    image_id: int
    category_id: int
    bbox: Box
    area: float
    iscrowd: int = 0
    segmentation: list[list[float]] | msgspec.UnsetType = msgspec.UNSET


def write_coco_file(
    path: Path, content: Content, categories: Sequence[PreparedCategory], changes: Counter[str], *, polygons: bool
) -> None:
    """Write the annotation file of a split that was not COCO.

    Args:
        path: The file.
        content: The split, with boxes in parts of the image sides.
        categories: The classes with their ids.
        changes: Where to count what is clipped and left out.
        polygons: Keep the polygons of rows that are polygons.
    """
    rows = label_rows(content, outlines=False, changes=changes)
    ids = range(1, len(content.names) + 1)
    annotations = annotation_entries(content, rows, categories, ids, 1, polygons=polygons)
    with path.open("wb", buffering=1 << 20) as file:
        file.write(b'{"images":')
        file.write(msgspec.json.encode(image_entries(content, ids)))
        file.write(b',"categories":' + msgspec.json.encode(category_entries(categories)) + b',"annotations":[')
        separator = b""
        for chunk in annotations:
            file.write(separator + msgspec.json.encode(chunk)[1:-1])
            separator = b","
        file.write(b"]}")


def image_entries(content: Content, ids: Sequence[int]) -> list[ImageEntry]:
    """Return the images of a split with the ids that they are to have."""
    return [
        ImageEntry(id_, name, width, height)
        for id_, name, (width, height) in zip(ids, content.names, content.sizes.tolist(), strict=True)
    ]


def category_entries(categories: Sequence[PreparedCategory]) -> list[dict[str, object]]:
    """Return the classes."""
    return [{"id": category.id, "name": category.name, "supercategory": "none"} for category in categories]


def annotation_entries(
    content: Content,
    rows: Rows,
    categories: Sequence[PreparedCategory],
    image_ids: Sequence[int],
    first_id: int,
    *,
    polygons: bool,
) -> Iterator[list[AnnotationEntry]]:
    """Yield rows as annotations in pixels, a part of them at a time.

    Args:
        content: The split.
        rows: Its rows, or some of them.
        categories: The classes with their ids.
        image_ids: Ids of the images of the split.
        first_id: Id of the first annotation.
        polygons: Give an annotation the polygons of its row.
    """
    # Objects: an id may have more than 64 bits.
    category_ids = np.array([category.id for category in categories], object)
    ids = np.array(image_ids, object)
    for start in range(0, len(rows.image), _CHUNK):
        part = slice(start, start + _CHUNK)
        image = rows.image[part]
        size = content.sizes[image].astype(np.float64)
        extent = rows.box[part, 2:] * size
        corner = rows.box[part, :2] * size - extent / 2
        entries = list(
            map(
                AnnotationEntry,
                range(first_id + start, first_id + start + len(image)),
                ids[image].tolist(),
                category_ids[rows.label[part]].tolist(),
                map(Box, *corner.T.tolist(), *extent.T.tolist()),
                extent.prod(axis=1).tolist(),
            )
        )
        if polygons:
            for entry, source, side in zip(entries, rows.source[part].tolist(), size, strict=True):
                parts = content.table.polygons.get(source)
                if parts:
                    entry.segmentation = [(np.clip(one, 0.0, 1.0) * side).ravel().tolist() for one in parts]
        yield entries
