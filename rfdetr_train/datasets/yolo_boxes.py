"""The rows of YOLO label files as boxes, with what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rfdetr_train.datasets.findings import MAX_EXAMPLES, Findings
from rfdetr_train.datasets.table import UNKNOWN, Boxes, Flags, Floats, Ints, Table
from rfdetr_train.datasets.yolo_rows import SHORTEST_LONG, RowColumns
from rfdetr_train.datasets.yolo_task import Meaning


class Read(NamedTuple):
    """Rows that could be read.

    Attributes:
        boxes: The boxes.
        class_id: (m,) their class ids, which may be none of the dataset.
        kept: (r,) which of all rows they are.
        polygon: (r,) which rows are polygons.
        keypoints: (r,) which are boxes with keypoints.
    """

    boxes: Boxes
    class_id: Floats
    kept: Flags
    polygon: Flags
    keypoints: Flags


def read_boxes(rows: RowColumns, meaning: Meaning, labels: Mapping[int, int]) -> Read:
    """Make boxes of rows.

    Args:
        rows: The rows.
        meaning: What long rows are.
        labels: Class id -> label.
    """
    long = rows.count >= SHORTEST_LONG
    keypoints = np.isin(rows.count, meaning.keypoints)
    polygon = long & ~keypoints & (rows.count % 2 == 1) & meaning.polygons
    with np.errstate(invalid="ignore"):
        track = (rows.sixth >= 0) & (rows.sixth == np.floor(rows.sixth))
        whole = np.isfinite(rows.class_id) & (rows.class_id == np.floor(rows.class_id))
    kept = whole & ((rows.count == 5) | track | keypoints | polygon)
    xywh = rows.box.copy()
    spanned = polygon[rows.long]
    xywh[rows.long[spanned]] = rows.span[spanned]
    class_id = rows.class_id[kept]
    boxes = Boxes(
        image=rows.image[kept],
        label=_labels(class_id, labels),
        xywh=xywh[kept],
        crowd=np.zeros(int(kept.sum()), bool),
        place=rows.line[kept],
    )
    return Read(boxes, class_id, kept, polygon, keypoints)


def _labels(class_id: Floats, labels: Mapping[int, int]) -> Ints:
    """Return the labels of class ids, ``UNKNOWN`` for an id that is none."""
    ids = np.array(sorted(labels), np.float64)
    found = np.array([*(labels[id_] for id_ in sorted(labels)), UNKNOWN], np.int64)
    at = np.searchsorted(ids, class_id)
    matches = np.append(ids, np.nan)[at] == class_id
    return np.where(matches, found[at], UNKNOWN)


def polygons_of(rows: RowColumns, read: Read) -> dict[int, list[Floats]]:
    """Return the polygons by row of their box."""
    place = np.cumsum(read.kept) - 1
    return {int(place[row]): [points] for row, points in rows.polygons.items() if read.kept[row] and read.polygon[row]}


def report_rows(
    table: Table, rows: RowColumns, read: Read, meaning: Meaning, labels: Mapping[int, int], findings: Findings
) -> None:
    """Report what is odd about the rows that could be read."""
    known = id_range(labels)
    findings.add_boxes(
        "class-id-out-of-range",
        table,
        read.boxes.label == UNKNOWN,
        note=lambda row: f", class {int(read.class_id[row])} of {known}",
    )
    findings.add_boxes("track-id", table, rows.count[read.kept] == 6)
    findings.add_boxes("keypoint-row", table, read.keypoints[read.kept])
    findings.add_boxes("polygon-row", table, read.polygon[read.kept])
    findings.add_boxes("float-class-id", table, rows.decimal[read.kept])
    if meaning.ambiguous:
        findings.add_boxes("ambiguous-task", table, read.polygon[read.kept])


def report_files(files: Sequence[str], rows: RowColumns, read: Read, findings: Findings) -> None:
    """Report the rows that are left out, and files that mix boxes and polygons.

    Args:
        files: Keys of the label files, by image.
        rows: The rows.
        read: Those that could be read.
        findings: Where to report.
    """
    lost = np.flatnonzero(~read.kept)
    places = (f"{files[rows.image[row]]}:{rows.line[row]}, {_shape(rows, row)}" for row in lost[:MAX_EXAMPLES])
    findings.add_many("malformed-row", places, len(lost))
    boxes = rows.image[read.kept & (rows.count < SHORTEST_LONG)]
    mixed = np.intersect1d(boxes, rows.image[read.kept & read.polygon])
    findings.add_many("mixed-rows", (files[image] for image in mixed[:MAX_EXAMPLES]), len(mixed))


def _shape(rows: RowColumns, row: int) -> str:
    """Say why a row could not be read."""
    class_id = rows.class_id[row]
    is_whole = np.isfinite(class_id) and class_id == np.floor(class_id)
    return f"{rows.count[row]} columns" if is_whole else f"class {class_id:g}"


def id_range(labels: Iterable[int]) -> str:
    """Return the class ids that a dataset has, for people."""
    ids = sorted(labels)
    if ids == list(range(len(ids))):
        return f"0 to {len(ids) - 1}"
    return ", ".join(map(str, ids[:10])) + (", ..." if len(ids) > 10 else "")
