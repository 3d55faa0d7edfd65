"""A sample of a large dataset, as a dataset of its own that is small enough to be read at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, cast

import msgspec
import numpy as np

from rfdetr_train.datasets.coco_scan import scan_coco
from rfdetr_train.datasets.layout import Layout, Place
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.yolo import label_key
from rfdetr_train.storage import ObjectInfo, Store

MOST_IMAGES = 2000
"""Images of YOLO splits, all together, up to which all label files are read; and how many are looked at beyond."""
MOST_BYTES = 32 << 20
"""Of COCO annotation files, all together, up to which they are read whole."""
_UNKNOWN = ObjectInfo("", 0, "")


class Thin(NamedTuple):
    """A sample.

    Attributes:
        store: Reads it.
        layout: Where it lies.
        listing: Its objects, without their sizes.
        images: Split -> images of the whole dataset.
        boxes: Split -> what the boxes of the sample are multiplied by to estimate those of the whole dataset.
        evidence: How large it is.
    """

    store: Store
    layout: Layout
    listing: Mapping[str, ObjectInfo]
    images: dict[str, int]
    boxes: dict[str, float]
    evidence: tuple[str, ...]


def thin(store: Store, tree: Tree, layout: Layout) -> Thin | None:
    """Return a sample of a dataset, None where it is small or can only be read whole."""
    return _thin_coco(store, tree, layout) if layout.format == "coco" else _thin_yolo(store, tree, layout)


def _thin_yolo(store: Store, tree: Tree, layout: Layout) -> Thin | None:
    """Choose images that are spread evenly over a listing, with their label files."""
    found = {place.name: _images(tree, place) for place in layout.places}
    counts = {name: sum(len(names) for _, names in parts) for name, parts in found.items()}
    total = sum(counts.values())
    if total <= MOST_IMAGES:
        return None
    chosen = {name: _spread(parts, -(-counts[name] * MOST_IMAGES // total)) for name, parts in found.items()}
    images = [key for keys in chosen.values() for key in keys]
    listed = {key for place in layout.places if place.images is not None for key in chosen[place.name]}
    there = [key for key in images if key not in listed or key in tree]
    there += filter(None, [label_key(key, tree) for key in images])
    places = tuple(msgspec.structs.replace(place, images=tuple(chosen[place.name])) for place in layout.places)
    return Thin(
        store,
        msgspec.structs.replace(layout, places=places),
        dict.fromkeys(there, _UNKNOWN),
        counts,
        {name: counts[name] / max(len(keys), 1) for name, keys in chosen.items()},
        (f"{len(images):,} of {total:,} images were looked up; numbers of boxes are estimated from these.",),
    )


def _images(tree: Tree, place: Place) -> list[tuple[str, Sequence[str]]]:
    """Return the images of a split: folders with names, or "" with keys."""
    if place.images is not None:
        return [("", place.images)]
    parts: dict[str, Sequence[str]] = {
        folder: names for root in place.image_roots for folder, names in tree.images_below(root)
    }
    return list(parts.items())


def _spread(parts: list[tuple[str, Sequence[str]]], count: int) -> list[str]:
    """Return keys that are spread evenly, in order."""
    ends = list(accumulate(len(names) for _, names in parts))
    rows = np.linspace(0, ends[-1] - 1, min(count, ends[-1])).astype(np.int64) if ends else np.empty(0, np.int64)
    keys = []
    for (folder, names), end in zip(parts, ends, strict=True):
        inside = rows[(rows < end) & (rows >= end - len(names))] - (end - len(names))
        keys += [f"{folder}/{names[row]}".lstrip("/") for row in inside.tolist()]
    return sorted(keys)


def _thin_coco(store: Store, tree: Tree, layout: Layout) -> Thin | None:
    """Look at parts of large annotation files."""
    size = sum(store.size(place.annotations) for place in layout.places)
    if size <= MOST_BYTES or not store.has_ranges:
        return None
    scans = {}
    for place in layout.places:
        scan = scan_coco(store, place.annotations)
        if scan is None:
            return None
        scans[place.name] = scan
    files = {place.annotations: scans[place.name].data for place in layout.places}
    return Thin(
        cast(Store, _Scanned(store, files)),
        layout,
        _Keys(tree),
        {name: scan.images for name, scan in scans.items()},
        {name: scan.annotations / scan.looked_at for name, scan in scans.items()},
        tuple(
            f"{place.annotations}: {scan.looked_at:,} of about {scan.annotations:,} annotations were looked at; "
            "numbers of boxes are estimated from these."
            for place, scan in zip(layout.places, scans.values(), strict=True)
        ),
    )


class _Scanned:
    """Reads what was scanned in place of large files."""

    def __init__(self, store: Store, files: Mapping[str, bytes]) -> None:
        """Stand for a store of which only these files are read."""
        self.uri, self.parallelism = store.uri, 1
        self._files = files

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        return self._files[key]


class _Keys(Mapping[str, ObjectInfo]):
    """A listing that knows keys alone."""

    def __init__(self, tree: Tree) -> None:
        """Take the keys of a whole store."""
        self._tree = tree

    def __getitem__(self, key: str) -> ObjectInfo:
        """Return that nothing is known of a key that is there."""
        if key not in self._tree:
            raise KeyError(key)
        return _UNKNOWN

    def __contains__(self, key: object) -> bool:
        """Whether there is an object with a key."""
        return key in self._tree

    def __iter__(self) -> Iterator[str]:
        """Yield all keys."""
        return iter(self._tree)

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._tree)
