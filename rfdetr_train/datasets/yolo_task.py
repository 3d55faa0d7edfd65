"""What the rows of a YOLO dataset are: boxes, polygons, keypoints, or something that their bytes do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rfdetr_train.datasets.layout import Layout, Task
from rfdetr_train.datasets.table import Floats
from rfdetr_train.datasets.yolo_rows import RowColumns

_FOUR_POINTS = 9  # columns
_FEWEST = 10  # rows that show something by what all of them have in common
_MARGIN = 1.1  # keypoints lie about in their box


class Meaning(NamedTuple):
    """How rows are read.

    Attributes:
        task: What they were made for.
        keypoints: Numbers of columns that are a box with keypoints; long rows of other numbers are polygons.
        polygons: Whether long rows can be polygons.
        ambiguous: Whether they can be oriented boxes as well.
        evidence: What this was told from.
    """

    task: Task
    keypoints: tuple[int, ...]
    polygons: bool
    ambiguous: bool
    evidence: str


def tell_meaning(splits: Sequence[RowColumns], layout: Layout, task: Task | None) -> Meaning:
    """Tell what rows are.

    Args:
        splits: The rows of all splits.
        layout: Its hints go before the rows.
        task: What the user says goes before everything.
    """
    total = sum(len(rows.count) for rows in splits)
    lengths = tuple(sorted({int(n) for rows in splits for n in np.unique(rows.count[rows.long])}))
    told = "as it was said" if task else "as the data file says"
    hint = task or layout.task
    if layout.keypoints and hint in (None, "pose"):
        keypoints, values = layout.keypoints
        said = f"kpt_shape: rows are a box with {keypoints} keypoints of {values} values"
        return Meaning("pose", (5 + keypoints * values,), False, False, said)
    if hint == "pose":
        return Meaning("pose", lengths, False, False, f"rows are boxes with keypoints, {told}")
    if hint:
        return Meaning(hint, (), True, False, f"rows are of the task {hint}, {told}")
    if not lengths:
        return Meaning("detect", (), True, False, f"all of {total:,} label rows looked at are boxes")
    columns = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    if lengths == (_FOUR_POINTS,):
        said = f"all long label rows have {columns} columns: polygons of four points, or oriented boxes"
        return Meaning("segment", (), True, True, said)
    if len(lengths) == 1 and _are_keypoints([sample for rows in splits for sample in rows.samples]):
        said = f"all long label rows have {columns} columns, whose points lie in the box that the first four make"
        return Meaning("pose", lengths, False, False, said)
    return Meaning("segment", (), True, False, f"long label rows have {columns} columns: polygons")


def _are_keypoints(samples: Sequence[Floats]) -> bool:
    """Whether rows of one length are boxes with keypoints: what follows the box lies in it."""
    if len(samples) < _FEWEST:
        return False
    numbers = np.array(samples)
    return any(_lie_in_box(numbers, values) for values in (3, 2) if (numbers.shape[1] - 4) % values == 0)


def _lie_in_box(numbers: Floats, values: int) -> bool:
    """Whether keypoints of two or three values lie in their boxes, but for one in twenty.

    Args:
        numbers: (s, 4 + k * values) centre and size, then the keypoints.
        values: x, y and maybe the visibility: 0, 1 or 2.
    """
    points = numbers[:, 4:].reshape(len(numbers), -1, values)
    if values == 3 and not np.isin(points[..., 2], (0, 1, 2)).all():
        return False
    labelled = (points[..., :2] != 0).any(axis=-1)
    away = np.abs(points[..., :2] - numbers[:, None, :2])
    inside = np.logical_and.reduce(away <= numbers[:, None, 2:4] / 2 * _MARGIN, axis=-1)
    return bool(labelled.any()) and float(inside[labelled].mean()) >= 0.95
