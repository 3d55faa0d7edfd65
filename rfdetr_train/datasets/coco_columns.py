"""Entries of COCO annotation files as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numpy as np

from rfdetr_train.datasets.coco import Bbox, CocoAnnotation, CocoFile, CocoImage, Id
from rfdetr_train.datasets.table import UNKNOWN, Boxes, Flags, Floats, Images, Ints
from rfdetr_train.storage import ObjectInfo

_NO_BOX = Bbox()
_CORNERS = attrgetter("x", "y", "w", "h")
_CHUNK = 1 << 13  # entries that stay in the cache of the processor while all their columns are taken
_SHOWN = 500  # names that choose an image folder
_LARGEST = 1 << 31  # pixels of a side


@dataclass
class AnnotationColumns:
    """The annotations of a file, one row each.

    Attributes:
        image: (m,) row of the image, or ``UNKNOWN``.
        category: (m,) position in ``categories``, or ``UNKNOWN``.
        xywh: (m, 4) the box, NaN where there are not four numbers.
        crowd: (m,) whether it is a crowd region.
        area: (m,) whether the file gives an area.
        numbers: (m,) ids, or positions in the file where ``ids`` are given.
        ids: The ids where not all of them are whole numbers of 64 bits, else None.
        odd: (m,) whether the id, or that of the image or category, is a string or a decimal, or the id is missing.
    """

    image: Ints
    category: Ints
    xywh: Floats
    crowd: Flags
    area: Flags
    numbers: Ints
    ids: list[Id | None] | None
    odd: Flags

    def boxes(self) -> Boxes:
        """Return the annotations without labels."""
        return Boxes(self.image, np.full(len(self.image), UNKNOWN, np.int64), self.xywh, self.crowd, self.numbers)

    def where(self, key: str) -> Callable[[int], str]:
        """Return what says where the annotation of a row stands in the file with a key."""
        numbers, ids = self.numbers, self.ids
        if ids is None:
            return lambda row: f"{key}: annotation {numbers[row]}"
        return lambda row: f"{key}: annotations[{row}]" if ids[row] is None else f"{key}: annotation {ids[row]}"


def annotation_columns(file: CocoFile) -> AnnotationColumns:
    """Take the columns of the annotations of a file; of two images or categories with one id the first counts."""
    images = _positions([image.id for image in file.images])
    categories = _positions([category.id for category in file.categories])
    count = len(file.annotations)
    columns = AnnotationColumns(
        image=np.empty(count, np.int64),
        category=np.empty(count, np.int64),
        xywh=np.empty((count, 4)),
        crowd=np.empty(count, bool),
        area=np.empty(count, bool),
        numbers=np.arange(count),
        ids=None,
        odd=np.zeros(count, bool),
    )
    for start in range(0, count, _CHUNK):
        part = file.annotations[start : start + _CHUNK]
        rows = slice(start, start + len(part))
        for column, positions, ids in (
            (columns.image, images, [entry.image_id for entry in part]),
            (columns.category, categories, [entry.category_id for entry in part]),
        ):
            column[rows] = [positions.get(id_, UNKNOWN) for id_ in ids]
            _mark_odd(ids, rows, columns)
        columns.xywh[rows] = _xywh(part)
        columns.crowd[rows] = [bool(entry.iscrowd) for entry in part]
        columns.area[rows] = [entry.area is not None and entry.area == entry.area for entry in part]
        _take_ids(file.annotations, rows, columns)
    return columns


def _positions(ids: Sequence[Id]) -> dict[Id | None, int]:
    """Return the first position of every id."""
    return {id_: position for position, id_ in reversed(list(enumerate(ids)))}


def _xywh(entries: Sequence[CocoAnnotation]) -> Floats:
    """Return the boxes; NaN where there are not four numbers."""
    found = [entry.bbox or _NO_BOX for entry in entries]
    # A NaN that the file holds is another object than the default of a number that it does not.
    xywh = np.fromiter(chain.from_iterable(map(_CORNERS, found)), np.float64, 4 * len(found)).reshape(-1, 4)
    xywh[[row for row, box in enumerate(found) if box.h is math.nan or box.more is not None]] = np.nan
    return xywh


def _take_ids(entries: Sequence[CocoAnnotation], rows: slice, columns: AnnotationColumns) -> None:
    """Fill in the numbers of some rows, or all ids as they are where one is no number."""
    ids = [entry.id for entry in entries[rows]]
    _mark_odd(ids, rows, columns)
    if None in ids:  # at which pycocotools stops too
        columns.odd[rows] |= [id_ is None for id_ in ids]
    if columns.ids is None:
        numbers = _as_numbers(ids)
        if numbers is None:
            columns.numbers = np.arange(len(entries))
            columns.ids = [entry.id for entry in entries]
        else:
            columns.numbers[rows] = numbers


def _as_numbers(ids: Sequence[Id | None]) -> Ints | None:
    """Return ids as whole numbers of 64 bits, None where they are none."""
    if set(map(type, ids)) != {int}:
        return None
    try:
        return np.array(ids, np.int64)
    except OverflowError:
        return None


def _mark_odd(ids: Sequence[Id | None], rows: slice, columns: AnnotationColumns) -> None:
    """Mark the rows whose ids are there and no whole numbers."""
    if set(map(type, ids)) != {int}:
        columns.odd[rows] |= [isinstance(id_, str | float) for id_ in ids]


def image_columns(
    entries: Sequence[CocoImage], roots: Sequence[str], listing: Mapping[str, ObjectInfo]
) -> tuple[Images, str]:
    """Return the images, and the folder in which they are.

    Args:
        entries: The images of the file.
        roots: The folders in which they may be, the usual one first.
        listing: The objects of the dataset.
    """
    names = [entry.file_name.replace("\\", "/").removeprefix("./") for entry in entries]
    root = _choose_root(roots, names, listing)
    prefix = f"{root}/" if root else ""
    # The keys of a listing are safe; a name that leaves the folder gives none of them.
    keys = [key if (key := prefix + name) in listing else "" for name in names]
    return Images(names, keys, [plain_id(entry.id) for entry in entries], _sizes(entries)), root


def plain_id(id_: Id) -> int | str:
    """Return an id as a whole number or a string."""
    return int(id_) if isinstance(id_, float) else id_


def _choose_root(roots: Sequence[str], names: Sequence[str], listing: Mapping[str, ObjectInfo]) -> str:
    """Return the folder in which most of the images lie, the usual one where that does not decide."""
    if len(roots) == 1:
        return roots[0]
    some = names[:: max(len(names) // _SHOWN, 1)]
    return max(roots, key=lambda root: sum((f"{root}/{name}" if root else name) in listing for name in some))


def _sizes(entries: Sequence[CocoImage]) -> Ints:
    """Return (n, 2) width and height, 0 where the file gives none that an image can have."""
    sides = np.array([(entry.width or 0.0, entry.height or 0.0) for entry in entries]).reshape(-1, 2)
    return np.where((sides > 0) & (sides < _LARGEST), np.rint(sides), 0).astype(np.int64)
