"""The rows of YOLO label files as columns, before it is known whether long rows are polygons or keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rfdetr_train.datasets.table import Flags, Floats, Ints
from rfdetr_train.datasets.yolo_text import Rows

SHORTEST_LONG = 7
"""Columns of a triangle: a class and three points."""
_LOOKED_AT = 200


@dataclass
class RowColumns:
    """The rows of a split, in the order of its images and of the lines.

    Attributes:
        image: (r,) row of the image.
        line: (r,) line number.
        class_id: (r,) first number.
        decimal: (r,) whether it is written as a decimal.
        count: (r,) numbers of the row.
        sixth: (r,) sixth number of rows of six, NaN of others.
        box: (r, 4) corner, width, height, of a row that begins with class, centre, width and height.
        long: (l,) indices of the rows of seven numbers and more.
        span: (l, 4) corner, width, height of the box around their points; NaN where they are no points.
        samples: The numbers after the class of some of them.
        polygons: Index of a long row -> (k, 2) its points, where they were asked for.
    """

    image: Ints
    line: Ints
    class_id: Floats
    decimal: Flags
    count: Ints
    sixth: Floats
    box: Floats
    long: Ints
    span: Floats
    samples: list[Floats] = field(default_factory=list)
    polygons: dict[int, Floats] = field(default_factory=dict)


def columns_of(rows: Rows, images: Ints, *, polygons: bool) -> RowColumns:
    """Take the columns of parsed rows.

    Args:
        rows: The rows.
        images: Row of the image of each file.
        polygons: Whether to keep the points of long rows.
    """
    last = max(len(rows.values) - 1, 0)
    values = rows.values if len(rows.values) else np.full(1, np.nan)
    # Of shorter rows this reads on into the next one; nothing uses it.
    numbers = values[np.minimum(rows.start[:, None] + np.arange(6), last)]
    x, y, w, h = numbers[:, 1:5].T
    with np.errstate(invalid="ignore", over="ignore"):
        box = np.column_stack([x - w / 2, y - h / 2, w, h])
    long = np.flatnonzero(rows.count >= SHORTEST_LONG)
    columns = RowColumns(
        image=images[rows.file],
        line=rows.line,
        class_id=numbers[:, 0].copy(),
        decimal=rows.decimal,
        count=rows.count,
        sixth=np.where(rows.count == 6, numbers[:, 5], np.nan),
        box=box,
        long=long,
        span=_spans(rows, long),
    )
    for row in long[:_LOOKED_AT]:
        columns.samples.append(values[rows.start[row] + 1 : rows.start[row] + rows.count[row]].copy())
    if polygons:
        for row in long[rows.count[long] % 2 == 1].tolist():
            points = values[rows.start[row] + 1 : rows.start[row] + rows.count[row]]
            columns.polygons[row] = points.reshape(-1, 2)
    return columns


def _spans(rows: Rows, long: Ints) -> Floats:
    """Return the boxes around the points of long rows."""
    span = np.full((len(long), 4), np.nan)
    paired = rows.count[long] % 2 == 1  # after the class
    points = (rows.count[long[paired]] - 1) // 2
    if len(points):
        offsets = np.cumsum(points) - points
        within = np.arange(points.sum()) - np.repeat(offsets, points)
        places = np.repeat(rows.start[long[paired]] + 1, points) + 2 * within
        for axis in (0, 1):
            coordinates = rows.values[places + axis]
            low, high = np.minimum.reduceat(coordinates, offsets), np.maximum.reduceat(coordinates, offsets)
            with np.errstate(invalid="ignore"):
                span[paired, axis], span[paired, axis + 2] = low, high - low
    return span


def join(parts: Sequence[RowColumns]) -> RowColumns:
    """Put the rows of the parts of a split together; there is at least one part."""
    offsets = np.cumsum([0, *(len(part.image) for part in parts[:-1])]).tolist()
    plain = ("image", "line", "class_id", "decimal", "count", "sixth", "box", "span")
    return RowColumns(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in plain},
        long=np.concatenate([part.long + offset for part, offset in zip(parts, offsets, strict=True)]),
        samples=[sample for part in parts for sample in part.samples][:_LOOKED_AT],
        polygons={
            row + offset: points
            for part, offset in zip(parts, offsets, strict=True)
            for row, points in part.polygons.items()
        },
    )
