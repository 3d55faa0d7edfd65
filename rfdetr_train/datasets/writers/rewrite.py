"""Writes a COCO annotation file anew, with everything kept that need not change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from rfdetr_train.datasets.boxes import Fitted, fit_boxes
from rfdetr_train.datasets.manifest import PreparedCategory
from rfdetr_train.datasets.table import UNKNOWN, Flags, Ints
from rfdetr_train.datasets.writers.categories import Fields, agree, as_classes, numbered
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.raw_coco import (
    BigInts,
    Entry,
    Id,
    Raw,
    RawCoco,
    ids_and_areas,
    patched,
    write_raw,
)


class Rewrite:
    """What becomes of an annotation file.

    Attributes:
        is_needed: Whether something is known to change: images or annotations are left out, or have another size or
            box. Other findings may need it as well.
    """

    def __init__(
        self, content: Content, categories: Sequence[PreparedCategory], *, odd_ids: bool, thorough: bool
    ) -> None:
        """Decide which annotations stay.

        Args:
            content: What goes into the split.
            categories: The classes with their ids.
            odd_ids: Whether some ids may be no whole numbers.
            thorough: Also clip boxes, and leave out those without area.
        """
        self._content, self._categories, self._odd_ids = content, categories, odd_ids
        self._category_ids: BigInts = np.array([category.id for category in categories], object)
        self._fitted = _fit(content) if thorough else _as_they_are(content)
        self._no_box = (content.image != UNKNOWN) & np.isnan(content.table.boxes.xywh).any(axis=1)
        self._rows = np.flatnonzero((content.image != UNKNOWN) & ~self._no_box & ~self._fitted.degenerate)
        self._declared = content.table.images.sizes[content.rows]
        self._is_other = False
        self.is_needed = (
            len(content.rows) < len(content.table.images)
            or len(self._rows) < len(content.table.boxes)
            or bool(self._fitted.changed.any())
            or bool((content.sizes != self._declared).any())
        )

    def write(self, raw: RawCoco, path: Path, changes: Counter[str]) -> bool:
        """Write the file, and say whether anything in it is other than before.

        Args:
            raw: The file as it is.
            path: File to write.
            changes: Where to count what is changed.
        """
        changes["missing-bbox"] += int(self._no_box.sum())
        changes["degenerate-box"] += int(self._fitted.degenerate.sum())
        changes["box-outside-image"] += int(self._fitted.changed.sum())
        given = [self._content.table.images.ids[row] for row in self._content.rows.tolist()]
        ids, renumbered = _numbers(given)
        if renumbered:
            _count_ids(given, ids, "duplicate-image-id", changes)
        keeps_categories = agree(raw.categories, self._categories)
        entries = self._entries(raw, keeps_categories, changes)
        annotations = self._annotations(raw, np.array(ids, object), keeps_categories, changes)
        self._is_other = self.is_needed or not raw.is_plain or entries is not raw.categories
        write_raw(path, raw, self._images(raw, ids, changes), entries, annotations)
        return self._is_other

    def _entries(self, raw: RawCoco, keeps_categories: bool, changes: Counter[str]) -> Sequence[Fields]:
        """Return the categories."""
        entries: Sequence[Fields] = raw.categories
        if not keeps_categories:
            entries = numbered(entries, self._categories, changes)
        if self._content.table.name != "train":
            return entries
        labels = np.unique(self._content.table.boxes.label[self._rows])
        return as_classes(entries, self._categories, set(self._category_ids[labels].tolist()))

    def _images(self, raw: RawCoco, ids: Sequence[int], changes: Counter[str]) -> Iterator[Entry]:
        """Yield the images, with the names under which they are written and the sizes that they have."""
        content, known = self._content, (self._declared > 0).all(axis=1)
        other = (self._declared != content.sizes).any(axis=1)
        changes["size-mismatch"] += int((other & known).sum())
        changes["missing-size"] += int((other & ~known).sum())
        sizes = content.sizes.tolist()
        rows = zip(content.rows.tolist(), ids, content.names, sizes, other.tolist(), strict=True)
        for row, id_, name, (width, height), is_other in rows:
            size = {"width": width, "height": height} if is_other else {}
            yield self._patched(raw.images[row], {"id": id_, "file_name": name, **size})

    def _patched(self, entry: Raw, patch: Mapping[str, object]) -> Entry:
        """Return an entry with other values, and note whether it changed."""
        result = patched(entry, patch)
        self._is_other |= result is not entry
        return result

    def _annotations(
        self, raw: RawCoco, image_ids: BigInts, keeps_categories: bool, changes: Counter[str]
    ) -> Iterator[Entry]:
        """Yield the annotations: those that may have to change are taken apart."""
        boxes, rows = self._content.table.boxes, self._rows
        entries = [raw.annotations[row] for row in rows.tolist()]
        given, has_area = ids_and_areas(entries)
        ids, renumbered = _numbers(given)
        if renumbered:
            _count_ids(given, ids, "duplicate-annotation-id", changes)
        changes["missing-area"] += has_area.count(False)
        images = image_ids[self._content.image[rows]]
        same = (
            self._is_same(rows, images)
            & np.array(has_area, bool)
            & (keeps_categories and not renumbered and not self._odd_ids)
        )
        labels = self._category_ids[boxes.label[rows]]
        for entry, row, keep, id_, image, category, area in zip(
            entries, rows.tolist(), same.tolist(), ids, images.tolist(), labels.tolist(), has_area, strict=True
        ):
            if keep:
                yield entry
                continue
            patch: dict[str, Any] = {"id": id_, "image_id": image, "category_id": category}
            box = self._fitted.xywh[row]
            if self._fitted.changed[row]:
                patch["bbox"] = box.tolist()
            if not area:
                patch["area"] = max(float(box[2:].prod()), 0.0)
            yield self._patched(entry, patch)

    def _is_same(self, rows: Ints, images: BigInts) -> Flags:
        """Return which annotations keep their image and box."""
        table = self._content.table
        given = [table.images.ids[row] for row in table.boxes.image[rows].tolist()]
        same = np.array([old == new for old, new in zip(given, images.tolist(), strict=True)], bool)
        return same & ~self._fitted.changed[rows]


def _as_they_are(content: Content) -> Fitted:
    """Return the boxes unchanged."""
    none = np.zeros(len(content.table.boxes), bool)
    return Fitted(content.table.boxes.xywh, none, none)


def _fit(content: Content) -> Fitted:
    """Return the boxes clipped to their images; crowd regions stay as they are."""
    boxes = content.table.boxes
    sizes = np.append(content.sizes, [[0, 0]], axis=0)[content.image]  # UNKNOWN is the last one
    fitted = fit_boxes(boxes.xywh, sizes)
    there = (content.image != UNKNOWN) & ~boxes.crowd
    return Fitted(fitted.xywh, fitted.degenerate & there & ~np.isnan(boxes.xywh).any(axis=1), fitted.changed & there)


def _numbers(ids: Sequence[Id]) -> tuple[list[int], bool]:
    """Return ids that are numbers, each of its own, and whether they are others than before.

    Where some are strings or decimals all are 1 to n; else what repeats one or is missing gets the next free number.
    """
    numbers = [id_ for id_ in ids if isinstance(id_, int)]
    if len(set(numbers)) == len(ids):
        return numbers, False
    if any(isinstance(id_, str | float) for id_ in ids):
        return list(range(1, len(ids) + 1)), True
    free = count(max(numbers, default=0) + 1)
    seen: set[Id] = set()
    result = []
    for id_ in ids:
        result.append(id_ if isinstance(id_, int) and id_ not in seen else next(free))
        seen.add(id_)
    return result, True


def _count_ids(given: Sequence[Id], ids: Sequence[int], code: str, changes: Counter[str]) -> None:
    """Count the ids that are others than before, under a code where they were whole numbers."""
    odd = sum(not isinstance(id_, int) for id_ in given)
    changes["string-id"] += odd
    changes[code] += sum(isinstance(old, int) and old != new for old, new in zip(given, ids, strict=True))
