"""Reads the label files of a YOLO dataset into tables. Images are listed, never opened."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from rfdetr_train.datasets.checks import report_unlabelled
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.layout import Layout, Place, Task
from rfdetr_train.datasets.model import SPLITS, Severity
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.datasets.splits import Parsed, common_folder, merge_classes, usable_split
from rfdetr_train.datasets.table import Images, Table
from rfdetr_train.datasets.yolo import MAX_LABEL_BYTES, find_orphans, images_below, label_key
from rfdetr_train.datasets.yolo_boxes import id_range, polygons_of, read_boxes, report_files, report_rows
from rfdetr_train.datasets.yolo_rows import RowColumns, columns_of, join
from rfdetr_train.datasets.yolo_task import Meaning, tell_meaning
from rfdetr_train.datasets.yolo_text import parse_rows
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import ObjectInfo, Store, map_parallel

_CHUNK = 1024  # files parsed at once


@dataclass
class _Split:
    """A split, before it is known what its rows are.

    Attributes:
        place: Where it lies.
        root: Key of the folder that the names of its images are relative to.
        keys: Keys of its images.
        labels: Key of the label file of each, "" where there is none.
        rows: The rows of the label files.
        digests: SHA-256 of the label files.
    """

    place: Place
    root: str
    keys: list[str]
    labels: list[str]
    rows: RowColumns = field(init=False)
    digests: dict[str, bytes] = field(default_factory=dict)


def read_yolo(
    store: Store,
    layout: Layout,
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    findings: Findings,
    *,
    polygons: bool = False,
    task: Task | None = None,
) -> Parsed:
    """Read all label files.

    Raises:
        DatasetError: A label file is too large, or no longer there.
    """
    splits = []
    for place in sorted(layout.places, key=lambda place: SPLITS.index(place.name)):
        split = _list_split(place, listing)
        if usable_split(place.name, split.root or place.annotations, len(split.keys), required, findings):
            split.rows = _read_rows(store, split, findings, polygons=polygons)
            splits.append(split)
    meaning = tell_meaning([split.rows for split in splits], layout, task)
    names = _names(layout, splits, findings)
    categories, merged = merge_classes(list(names), list(names.values()))
    labels = dict(zip(names, merged, strict=True))
    _report_doubled_names(names, _used(splits), layout.class_source, findings)
    tables = {split.place.name: _tabulate(split, listing, meaning, labels, findings) for split in splits}
    _report_orphans(splits, listing, findings)
    confidence = 0.4 if meaning.ambiguous else 1.0
    return Parsed(tables, categories, layout.class_source, meaning.task, (meaning.evidence,), confidence)


def _list_split(place: Place, listing: Mapping[str, ObjectInfo]) -> _Split:
    """Find the images of a split and their label files."""
    if place.images is not None:
        keys = list(dict.fromkeys(place.images))
        root = common_folder(keys)
    else:
        keys = images_below(place.image_roots, listing)
        root = place.image_roots[0] if len(place.image_roots) == 1 else common_folder(keys)
    labels = [label_key(key, listing) for key in keys]
    return _Split(place, root, keys, labels)


def _read_rows(store: Store, split: _Split, findings: Findings, *, polygons: bool) -> RowColumns:
    """Read and parse the label files of a split."""
    labelled = np.flatnonzero([bool(key) for key in split.labels])
    files = [key for key in split.labels if key]
    contents = _contents(store, files, split.place.name)
    parts = []
    for start in range(0, max(len(files), 1), _CHUNK):
        keys = files[start : start + _CHUNK]
        some = list(islice(contents, len(keys)))
        for key, data in zip(keys, some, strict=True):
            split.digests[key] = hashlib.sha256(data).digest()
        rows = parse_rows(some, keys, findings)
        parts.append(columns_of(rows, labelled[start : start + _CHUNK], polygons=polygons))
    return join(parts)


def _contents(store: Store, keys: Sequence[str], split: str) -> Iterator[bytes]:
    """Yield the label files."""
    progress = Progress(f"{split}: label files", len(keys))
    try:
        for data in map_parallel(lambda key: store.read(key, MAX_LABEL_BYTES), keys, store.parallelism):
            progress.advance(len(data))
            yield data
    except FileNotFoundError as error:
        raise DatasetError(
            f"A label file of {store.uri} was removed while the dataset was read: {error}. Start again when nothing "
            "writes to it."
        ) from None


def _names(layout: Layout, splits: Sequence[_Split], findings: Findings) -> dict[int, str]:
    """Return the names by class id, sorted; where no file names them, the ids that rows have."""
    if layout.classes is not None:
        if sorted(layout.classes) != list(range(len(layout.classes))):
            findings.add("class-id-gap", f"{layout.class_source}: {id_range(layout.classes)}")
        return dict(sorted(layout.classes.items()))
    if "missing-class-names" not in (code for code, _ in layout.notes):
        findings.add("missing-class-names", layout.class_source or "there is no data.yaml and no classes.txt")
    return {id_: str(id_) for id_ in sorted(_used(splits)) if id_ >= 0}


def _used(splits: Sequence[_Split]) -> set[int]:
    """Return the class ids that rows have."""
    found = [np.unique(split.rows.class_id) for split in splits]
    return {int(id_) for ids in found for id_ in ids[np.isfinite(ids)] if id_ == np.floor(id_)}


def _report_doubled_names(names: Mapping[int, str], used: set[int], source: str, findings: Findings) -> None:
    """Report class names that occur twice: an error where more than one of them is used, else no row is in doubt."""
    ids = defaultdict[str, list[int]](list)
    for id_, name in names.items():
        ids[name].append(id_)
    for name, same in ids.items():
        if len(same) > 1:
            severity: Severity = "error" if len(used.intersection(same)) > 1 else "warning"
            findings.add("duplicate-class-name", f"{source}: '{name}'", severity=severity)


def _tabulate(
    split: _Split, listing: Mapping[str, ObjectInfo], meaning: Meaning, labels: Mapping[int, int], findings: Findings
) -> Table:
    """Make the table of a split, and report what only its files show."""
    read = read_boxes(split.rows, meaning, labels)
    files, image, line = split.labels, read.boxes.image, read.boxes.place
    count = len(split.keys)
    table = Table(
        name=split.place.name,
        source_name=split.place.source_name,
        annotations=split.place.annotations,
        image_root=split.root,
        relative=True,
        images=Images(
            [key[len(split.root) :].lstrip("/") for key in split.keys],
            [key if key in listing else "" for key in split.keys],
            range(1, count + 1),
            np.zeros((count, 2), np.int64),
        ),
        boxes=read.boxes,
        where=lambda row: f"{files[image[row]]}:{line[row]}",
        polygons=polygons_of(split.rows, read),
        digests=split.digests,
    )
    report_files(files, split.rows, read, findings)
    report_rows(table, split.rows, read, meaning, labels, findings)
    report_unlabelled(table, findings, np.array([bool(key) for key in files]))
    findings.add_images("missing-label", table, [row for row, key in enumerate(files) if not key])
    findings.add_images("missing-image", table, [row for row, key in enumerate(table.images.keys) if not key])
    return table


def _report_orphans(splits: Sequence[_Split], listing: Mapping[str, ObjectInfo], findings: Findings) -> None:
    """Report label files whose image is not there."""
    used = {key for split in splits for key in split.labels if key}
    roots = {root for split in splits for root in (split.root, *split.place.image_roots)}
    for key in find_orphans(roots, used, listing):
        findings.add("orphan-label", key)
