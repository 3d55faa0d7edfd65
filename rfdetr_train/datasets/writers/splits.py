"""Writes all splits of a dataset in one of the formats."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rfdetr_train.datasets.layout import Format
from rfdetr_train.datasets.manifest import PreparedCategory, PreparedImage, PreparedSplit
from rfdetr_train.datasets.table import UNKNOWN
from rfdetr_train.datasets.writers.content import Content, select
from rfdetr_train.datasets.writers.images import Output, place_images
from rfdetr_train.datasets.writers.sidecar import read_sidecar
from rfdetr_train.datasets.writers.source import Source
from rfdetr_train.datasets.writers.to_coco import CocoWriter
from rfdetr_train.datasets.writers.to_yolo import YoloWriter


class Written(NamedTuple):
    """What was written.

    Attributes:
        splits: By canonical name.
        categories: The classes with their ids.
        marks: What sets it apart from another conversion of the same dataset.
    """

    splits: dict[str, PreparedSplit]
    categories: list[PreparedCategory]
    marks: list[str]


def write_splits(
    source: Source, output: Output, target: Format, changes: Counter[str], *, thorough: bool = False
) -> Written:
    """Write all splits.

    Args:
        source: The dataset.
        output: Where to write.
        target: The format.
        changes: Where to count what is changed and left out.
        thorough: Also change in COCO what trainers put right by themselves.

    Raises:
        DatasetError: An image has no size or a name that the format cannot have, or something changed meanwhile.
    """
    dataset, folder = source.dataset, output.folder
    sidecar = read_sidecar(dataset) if dataset.layout.format == "yolo" else None
    writer: YoloWriter | CocoWriter
    if target == "yolo":
        writer = YoloWriter(source, sidecar, folder, changes, keeps=output.images != "none")
    else:
        writer = CocoWriter(source, sidecar, folder, changes, thorough=thorough)
    splits, marks = {}, [sidecar.digest] if sidecar else []
    for name, table in dataset.tables.items():
        frames = source.frames[name] if source.frames else None
        content = select(table, frames, dataset.findings, dataset.policy, changes, sized=writer.needs_sizes)
        marks += _marks(content, source)
        names = writer.names(content)
        annotations, image_folder = writer.write(content, names)
        split = PreparedSplit(annotations, image_folder, dataset.store.uri, list(_images(source, content, names)))
        splits[name] = place_images(dataset.store, split, output)
    writer.finish(list(splits))
    return Written(splits, writer.categories, marks)


def _images(source: Source, content: Content, names: Sequence[str]) -> Iterator[PreparedImage]:
    """Yield the images of a split, where they are in the source."""
    if source.frames is None:
        return
    for row, name, action in zip(content.rows.tolist(), names, content.actions, strict=True):
        info = source.dataset.listing[content.table.images.keys[row]]
        yield PreparedImage(name, info.key, info.size, info.etag, action)


def _marks(content: Content, source: Source) -> list[str]:
    """Return what a policy or an option made of a split, where it made something of it."""
    marks = []
    there = content.image != UNKNOWN
    if not (content.usable.all() and there.all()):
        parts = np.packbits(content.usable).tobytes() + np.packbits(there).tobytes()
        marks.append(f"{content.table.name} {hashlib.sha256(parts).hexdigest()}")
    if source.exif != "auto" and any(content.actions):
        marks.append(f"{content.table.name} {source.exif}")
    return marks
