"""What can be wrong with the entries of a COCO annotation file, beyond what tables show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rfdetr_train.datasets.coco import CocoAnnotation, CocoImage, Id
from rfdetr_train.datasets.coco_columns import AnnotationColumns
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.table import UNKNOWN, Ints, Table
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import check_key


def check_images(table: Table, entries: Sequence[CocoImage], findings: Findings) -> None:
    """Report images that are not there, unsafe and doubled names, doubled ids, and what the file does not say.

    Args:
        table: The split.
        entries: Its images.
        findings: Where to report.
    """
    images = table.images
    gone = [row for row, key in enumerate(images.keys) if not key]
    unsafe = [row for row in gone if not _is_safe(images.names[row])]
    findings.add_images("unsafe-file-name", table, unsafe)
    findings.add_images("missing-image", table, sorted(set(gone) - set(unsafe)))
    findings.add_images("duplicate-image-id", table, _repeated(images.ids))
    findings.add_images("duplicate-file-name", table, _repeated(images.names))
    findings.add_images("missing-size", table, (images.sizes[:, 0] <= 0) | (images.sizes[:, 1] <= 0))
    windows = [row for row, entry in enumerate(entries) if "\\" in entry.file_name]
    findings.add_images("backslash-in-name", table, windows)
    odd = [row for row, entry in enumerate(entries) if not isinstance(entry.id, int)]
    findings.add_images("string-id", table, odd)


def _is_safe(name: str) -> bool:
    """Whether a name stays in its folder."""
    try:
        check_key(name)
    except DatasetError:
        return False
    return True


def check_annotations(
    table: Table, entries: Sequence[CocoAnnotation], columns: AnnotationColumns, findings: Findings
) -> None:
    """Report annotations that no image or category has, doubled ids, and what the file does not say.

    Args:
        table: The split.
        entries: Its annotations.
        columns: The same as columns.
        findings: Where to report.
    """
    findings.add_boxes("duplicate-annotation-id", table, _repeated_ids(columns))
    findings.add_boxes("string-id", table, columns.odd)
    findings.add_boxes("missing-area", table, ~columns.area)
    unknown = columns.category == UNKNOWN
    findings.add_boxes("unknown-category", table, unknown, note=lambda row: f", category_id {entries[row].category_id}")
    lost = columns.image == UNKNOWN
    findings.add_boxes("unknown-image", table, lost, note=lambda row: f", image_id {entries[row].image_id}")
    findings.add_boxes("crowd-region", table, columns.crowd)


def _repeated_ids(columns: AnnotationColumns) -> Ints:
    """Return the rows of annotations whose id was there before."""
    if columns.ids is not None:
        given = [row for row, id_ in enumerate(columns.ids) if id_ is not None]
        return np.array([given[row] for row in _repeated([columns.ids[row] for row in given])], np.int64)
    order = np.argsort(columns.numbers, kind="stable")
    ordered = columns.numbers[order]
    return np.sort(order[1:][ordered[1:] == ordered[:-1]])


def _repeated(values: Sequence[Id | None]) -> list[int]:
    """Return the rows of values that were there before."""
    if len(set(values)) == len(values):
        return []
    seen: set[Id | None] = set()
    rows = []
    for row, value in enumerate(values):
        if value in seen:
            rows.append(row)
        seen.add(value)
    return rows
