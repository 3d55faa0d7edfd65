"""Writes a split as YOLO: a label file for every image, also for one without boxes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rfdetr_train.datasets.reading import Dataset
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.label_files import write_files, write_label_files
from rfdetr_train.datasets.writers.names import label_name
from rfdetr_train.datasets.writers.rows import Rows, label_rows
from rfdetr_train.datasets.yolo import MAX_LABEL_BYTES, label_key
from rfdetr_train.storage import map_parallel

# What every reader of YOLO takes.
_NUMBER = rb" \d*+(?:\.\d++)?+(?:[eE]-?\d++)?+"
_BOXES = re.compile(rb"(?:\d++(?:%b){4}(?:\n|$))*+" % _NUMBER)
_OUTLINES = re.compile(rb"(?:\d++(?:%b%b){3,}+(?:\n|$))*+" % (_NUMBER, _NUMBER))


def write_labels(
    dataset: Dataset, content: Content, folder: Path, names: Sequence[str], changes: Counter[str], *, outlines: bool
) -> None:
    """Write the label files of a split.

    Args:
        dataset: The dataset.
        content: What goes into the split.
        folder: Folder of the label files, to be made.
        names: File name of every image in the new dataset.
        changes: Where to count what is clipped and left out.
        outlines: Rows are polygons.
    """
    folder.mkdir(parents=True)
    files = [label_name(name) for name in names]
    rows = label_rows(content, outlines=outlines, changes=changes)
    if content.table.relative:
        write_files(folder, zip(files, _same_or_new(dataset, content, rows), strict=True))
    else:
        write_label_files(folder, files, rows)


def write_data_yaml(folder: Path, classes: Sequence[str], splits: Iterable[str], *, outlines: bool) -> None:
    """Write ``data.yaml`` with folders relative to it."""
    import yaml

    keys = {"train": "train", "valid": "val", "test": "test"}
    values: dict[str, object] = {keys[split]: f"{split}/images" for split in splits}
    values |= {"nc": len(classes), "names": list(classes)}
    # Of polygons with four points nobody could tell it otherwise.
    values |= {"task": "segment"} if outlines else {}
    (folder / "data.yaml").write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _same_or_new(dataset: Dataset, content: Content, rows: Rows) -> Iterator[bytes]:
    """Yield the label files of a split that is YOLO: the same bytes where nothing has to change."""
    table, store = content.table, dataset.store
    keys = [label_key(table.images.keys[row], table.digests) for row in content.rows.tolist()]
    found = map_parallel(lambda key: store.read(key, MAX_LABEL_BYTES), filter(None, keys), store.parallelism)
    starts = np.searchsorted(rows.image, np.arange(len(keys) + 1)).tolist()
    same_classes = _has_same_classes(dataset)
    plain = _BOXES if rows.outlines is None else _OUTLINES
    for image, key in enumerate(keys):
        data = next(found) if key else b""
        first, last = starts[image], starts[image + 1]
        # A row that was left out, or is none, makes the numbers differ.
        lines = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
        is_same = (
            same_classes and lines == last - first and not rows.clipped[first:last].any() and plain.fullmatch(data)
        )
        yield data if is_same else rows.text(first, last)


def _has_same_classes(dataset: Dataset) -> bool:
    """Whether the class ids of a YOLO dataset are the labels, and none is merged into another."""
    classes = dataset.layout.classes
    same = all(category.id == category.label for category in dataset.categories)
    return same and (classes is None or len(classes) == len(dataset.categories))
