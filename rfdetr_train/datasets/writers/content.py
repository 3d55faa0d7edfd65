"""What goes into a written split: the images and annotations that a policy leaves, each image once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfdetr_train.datasets.findings import Findings, Policy
from rfdetr_train.datasets.images import Action, Frames
from rfdetr_train.datasets.table import NO_CLASS, UNKNOWN, Flags, Ints, Table
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import check_key
from rfdetr_train.storage.keys import check_keys

DROPPED_IMAGE, DROPPED_BOX = "dropped-image", "dropped-box"
"""What a policy left out, in the counts of a conversion."""


@dataclass
class Content:
    """The images of a split with their annotations.

    Attributes:
        table: The split as it was read.
        rows: (k,) row of each image in the table; of two entries for one file the first.
        names: Names of the images, as the annotations give them.
        sizes: (k, 2) width and height in the frame of the boxes; 0 where they are not known.
        actions: What makes each image agree with its boxes; see ``bake.upright``.
        image: (m,) the image of every annotation of the table, counted from 0; ``UNKNOWN`` where it is left out.
        usable: (n,) the rows of the table that are images here.
    """

    table: Table
    rows: Ints
    names: Sequence[str]
    sizes: Ints
    actions: list[Action]
    image: Ints
    usable: Flags


def select(
    table: Table, frames: Frames | None, findings: Findings, policy: Policy, changes: Counter[str], *, sized: bool
) -> Content:
    """Select what goes into a written split.

    Args:
        table: The split.
        frames: Sizes and actions of its images; None where the annotations say their size and no file is needed.
        findings: What is wrong with it.
        policy: What is left out because of that.
        changes: Where to count what is left out.
        sized: Leave out images whose size is not known.
    """
    dropped_images, dropped_boxes = findings.dropped(table, policy)
    sizes = table.images.sizes if frames is None else frames.size
    usable = ~dropped_images & (_safe(table) if frames is None else _there(table))
    if sized:
        usable &= sizes.all(axis=1)
    changes[DROPPED_IMAGE] += len(usable) - int(usable.sum())
    rows, position = _each_once(table, usable, changes)
    known = table.boxes.image >= 0
    image = np.full(len(table.boxes), UNKNOWN)
    image[known] = position[table.boxes.image[known]]
    _count_lost(table, changes)
    dropped_boxes &= known & (table.boxes.label >= 0)
    changes[DROPPED_BOX] += int(dropped_boxes.sum())
    image[dropped_boxes | (table.boxes.label < 0)] = UNKNOWN
    actions: list[Action] = [frames.action[row] if frames else "" for row in rows.tolist()]
    return Content(table, rows, [table.images.names[row] for row in rows.tolist()], sizes[rows], actions, image, usable)


def _there(table: Table) -> Flags:
    """Return which images exist."""
    return np.fromiter(map(bool, table.images.keys), bool, len(table.images))


def _safe(table: Table) -> Flags:
    """Return which images have names that stay in their folder."""
    try:
        check_keys(table.images.names)
    except DatasetError:
        return np.fromiter(map(_is_safe, table.images.names), bool, len(table.images))
    return np.ones(len(table.images), bool)


def _is_safe(name: str) -> bool:
    """Whether a name stays in its folder."""
    try:
        check_key(name)
    except DatasetError:
        return False
    return True


def _each_once(table: Table, usable: Flags, changes: Counter[str]) -> tuple[Ints, Ints]:
    """Return the first row of every image, and for every row of the table its image.

    Two entries that name one file are one image with the boxes of both.
    """
    position = np.full(len(usable), UNKNOWN)
    first: dict[str, int] = {}
    rows: list[int] = []
    for row in np.flatnonzero(usable).tolist():
        position[row] = found = first.setdefault(table.images.keys[row] or table.images.names[row], len(rows))
        if found == len(rows):
            rows.append(row)
    changes["duplicate-file-name"] += int(usable.sum()) - len(rows)
    return np.array(rows, np.int64), position


def _count_lost(table: Table, changes: Counter[str]) -> None:
    """Count the annotations that belong to no image or class."""
    lost = table.boxes.image < 0
    changes["unknown-image"] += int(lost.sum())
    changes["unknown-category"] += int((~lost & (table.boxes.label == UNKNOWN)).sum())
    changes["class-only-in-valid"] += int((~lost & (table.boxes.label == NO_CLASS)).sum())
