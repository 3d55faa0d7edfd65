"""Writes a split that came from COCO and is YOLO now as COCO again, with everything that the sidecar kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from rfdetr_train.datasets.coco import MAX_BYTES
from rfdetr_train.datasets.findings import Findings, Policy
from rfdetr_train.datasets.manifest import PreparedCategory
from rfdetr_train.datasets.table import UNKNOWN, Category, Ints
from rfdetr_train.datasets.writers.categories import Fields, agree, as_classes, numbered
from rfdetr_train.datasets.writers.coco import ImageEntry, annotation_entries
from rfdetr_train.datasets.writers.coco_again import copy_annotations, lists_classes
from rfdetr_train.datasets.writers.content import Content, select
from rfdetr_train.datasets.writers.matching import match_rows
from rfdetr_train.datasets.writers.raw_coco import BigInts, Entry, RawCoco, ids_and_areas, parse_raw, patched, write_raw
from rfdetr_train.datasets.writers.rows import label_rows
from rfdetr_train.datasets.writers.sidecar import Sidecar
from rfdetr_train.storage import Store

_KEEP_ALL = Policy("warn", "warn")


def original_names(sidecar: Sidecar, content: Content) -> Sequence[str]:
    """Return the names that the images of a split had; all stay as they are where one of these is taken by now."""
    known = sidecar.index.names.get(content.table.name, {})
    names = [known.get(name, name) for name in content.names]
    return names if len(set(names)) == len(names) else content.names


def restored_categories(sidecar: Sidecar, categories: Sequence[Category]) -> list[PreparedCategory] | None:
    """Return the classes with the ids that they had; None where they are no longer the same."""
    before = sidecar.parsed.categories
    ids = [category.id for category in before if isinstance(category.id, int)]
    if len(ids) < len(before) or [category.name for category in before] != [category.name for category in categories]:
        return None
    return [PreparedCategory(id_, own.id, own.name, own.label) for id_, own in zip(ids, categories, strict=True)]


class Restored:
    """A split that is restored: the annotations that its sidecar has, and what was edited since."""

    def __init__(
        self, sidecar: Sidecar, content: Content, categories: Sequence[PreparedCategory], changes: Counter[str]
    ) -> None:
        """Find what is still as it was.

        Args:
            sidecar: The sidecar, which has this split.
            content: The split as it is now, under the names that its images had.
            categories: The classes with their ids.
            changes: Where to count what is clipped and left out.
        """
        self._now, self._categories = content, categories
        table, outlines = sidecar.parsed.tables[content.table.name], sidecar.index.outlines
        self._before = select(table, None, Findings(), _KEEP_ALL, Counter(), sized=True)
        written = label_rows(self._before, outlines=outlines, changes=Counter())
        found = label_rows(content, outlines=outlines, changes=changes)
        self._place = _positions(content.names, self._before.names)
        known = self._place != UNKNOWN
        sizes = np.vstack([self._before.sizes, [[0, 0]]])[self._place]
        self._resized = known & (sizes != content.sizes).any(axis=1)
        labels = _positions([own.name for own in categories], [own.name for own in sidecar.parsed.categories])
        image = np.where(self._resized, UNKNOWN, self._place)
        matched = match_rows(written, found, image[found.image], labels[found.label])
        # Now, of the classes of before; the last two are of UNKNOWN and NO_CLASS.
        self._labels = np.full(len(sidecar.parsed.categories) + 2, UNKNOWN)
        self._labels[labels[labels != UNKNOWN]] = np.flatnonzero(labels != UNKNOWN)
        self._kept = self._keep(written.source, written.source[matched[matched != UNKNOWN]])
        self._new = found.take(np.flatnonzero(matched == UNKNOWN))

    def write(self, store: Store, path: Path) -> None:
        """Write the annotation file: the same bytes as before where nothing was edited since."""
        table = self._before.table
        if self._is_whole() and lists_classes(store, table, self._categories):
            copy_annotations(store, table, path)
            return
        raw = parse_raw(store.read(table.annotations, MAX_BYTES), table.annotations)
        keeps_categories = agree(raw.categories, self._categories)
        entries = self._entries(raw, keeps_categories)
        write_raw(path, raw, self._images(raw), entries, self._annotations(raw, keeps_categories))

    def _keep(self, written: Ints, matched: Ints) -> Ints:
        """Return the rows of the annotations that stay: those that never were label rows go with their images.

        Args:
            written: Rows of the annotations that were label rows.
            matched: Those of them that still are.
        """
        there = np.zeros(len(self._before.names) + 1, bool)  # the last one is of UNKNOWN
        there[self._place[(self._place != UNKNOWN) & ~self._resized]] = True
        stays = there[self._before.image] & (self._labels[self._before.table.boxes.label] != UNKNOWN)
        stays[written] = False
        stays[matched] = True
        return np.flatnonzero(stays)

    def _is_whole(self) -> bool:
        """Whether images and annotations are those of before."""
        table = self._before.table
        images = len(self._place) == len(table.images) and bool((self._place != UNKNOWN).all())
        return images and not self._resized.any() and len(self._kept) == len(table.boxes) and not len(self._new.image)

    def _image_ids(self) -> list[int]:
        """Return the id of every image: its old one, or the next free one."""
        before = [int(self._before.table.images.ids[row]) for row in self._before.rows.tolist()]
        free = count(max(before, default=0) + 1)
        return [next(free) if place == UNKNOWN else before[place] for place in self._place.tolist()]

    def _images(self, raw: RawCoco) -> Iterator[Entry]:
        """Yield the images, in the order of before, and those that are new."""
        present = np.argsort(self._place, kind="stable")
        sizes, names, ids = self._now.sizes.tolist(), self._now.names, self._image_ids()
        new = [row for row in present.tolist() if self._place[row] == UNKNOWN]
        for row in present[len(new) :].tolist():
            size = dict(zip(("width", "height"), sizes[row], strict=True)) if self._resized[row] else {}
            yield patched(raw.images[self._before.rows[self._place[row]]], size)
        for row in new:
            yield msgspec.json.encode(ImageEntry(ids[row], names[row], *sizes[row]))

    def _entries(self, raw: RawCoco, keeps_categories: bool) -> Sequence[Fields]:
        """Return the categories."""
        entries: Sequence[Fields] = raw.categories
        if not keeps_categories:
            entries = numbered(entries, self._categories, Counter())
        if self._now.table.name != "train":
            return entries
        used = {*self._category_ids(self._kept).tolist(), *(self._categories[label].id for label in self._new.label)}
        return as_classes(entries, self._categories, used)

    def _category_ids(self, rows: Ints) -> BigInts:
        """Return the category ids of annotations that stay."""
        ids = np.array([category.id for category in self._categories], object)
        return ids[self._labels[self._before.table.boxes.label[rows]]]

    def _annotations(self, raw: RawCoco, keeps_categories: bool) -> Iterator[Entry]:
        """Yield the annotations that stay, and those that are new."""
        ids = self._category_ids(self._kept).tolist()
        for row, category_id in zip(self._kept.tolist(), ids, strict=True):
            entry = raw.annotations[row]
            yield entry if keeps_categories else patched(entry, {"category_id": category_id})
        given, _ = ids_and_areas(raw.annotations)
        first = max((id_ for id_ in given if isinstance(id_, int)), default=0) + 1
        for chunk in annotation_entries(
            self._now, self._new, self._categories, self._image_ids(), first, polygons=bool(self._now.table.polygons)
        ):
            yield from map(msgspec.json.encode, chunk)


def _positions(names: Sequence[str], among: Sequence[str]) -> Ints:
    """Return the position of names among others, ``UNKNOWN`` where they are not there."""
    positions = {name: position for position, name in enumerate(among)}
    return np.array([positions.get(name, UNKNOWN) for name in names], np.int64)
