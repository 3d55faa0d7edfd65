"""Reads a dataset of either format into tables, with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from rfdetr_train.datasets.checks import check_tables
from rfdetr_train.datasets.coco_reader import read_coco
from rfdetr_train.datasets.findings import DEFAULT_POLICY, Findings, Policy
from rfdetr_train.datasets.fingerprint import fingerprint, revision
from rfdetr_train.datasets.layout import Layout, Task
from rfdetr_train.datasets.layouts import find_layout
from rfdetr_train.datasets.model import Checked, DatasetReport, Split, canonical_split
from rfdetr_train.datasets.splits import Parsed, report_missing_splits
from rfdetr_train.datasets.table import Category, Table
from rfdetr_train.datasets.yolo_reader import read_yolo
from rfdetr_train.storage import ObjectInfo, Store, open_store


@dataclass
class Dataset:
    """A dataset that was read.

    Attributes:
        store: Where it lies.
        listing: Its objects by key.
        layout: Where its parts lie.
        parsed: What was read.
        findings: What is wrong with it.
        policy: What is done about that.
    """

    store: Store
    listing: Mapping[str, ObjectInfo]
    layout: Layout
    parsed: Parsed
    findings: Findings
    policy: Policy

    @property
    def tables(self) -> dict[str, Table]:
        """The splits that have images, in the order of ``SPLITS``."""
        return self.parsed.tables

    @property
    def categories(self) -> list[Category]:
        """The classes of the model, in the order of their labels; of two with one name only the first."""
        return self.parsed.categories

    @property
    def class_source(self) -> str:
        """Where the names of the classes come from."""
        return self.parsed.class_source

    @property
    def task(self) -> Task:
        """What the annotations are made for."""
        return self.parsed.task

    @property
    def complete(self) -> bool:
        """Whether all annotations were read, and not only a sample of the label files."""
        return self.parsed.complete

    @cached_property
    def fingerprint(self) -> str:
        """What changes when, and only when, the data changes; "" where only a sample was read."""
        if not self.complete:
            return ""
        return fingerprint(self.layout.format, self.categories, self.tables, self.listing)

    @cached_property
    def revision(self) -> str:
        """What changes with every write to the place where the data lies; "" where the store does not tell."""
        return revision(self.listing.values())


def open_dataset(
    uri: str,
    required_splits: Sequence[str] = ("train", "valid"),
    *,
    format: str = "",
    task: str = "",
    polygons: bool = False,
    policy: Policy = DEFAULT_POLICY,
) -> Dataset:
    """List a dataset, name its format and read its annotations. No image is opened.

    Args:
        uri: A folder, ``file:///folder``, ``s3://bucket/prefix`` or an archive on either.
        required_splits: Splits whose absence is an error; a split beyond them that is empty is left out.
        format: coco or yolo, where both are there.
        task: detect, segment or pose, where the label rows do not tell.
        polygons: Whether to read polygons too.
        policy: What is done about findings: what it leaves out does not count as an example of a class.

    Raises:
        DatasetError: There is nothing, no known format or more than one, or a file cannot be parsed.
        ParameterError: The location or the name of a split is not valid.
    """
    required = [canonical_split(name) for name in required_splits]
    store = open_store(uri)
    listing = {found.key: found for found in store.list()}
    layout = find_layout(store, listing, format=format, task=task)
    return read_dataset(store, layout, listing, required, polygons=polygons, task=task, policy=policy)


def read_dataset(
    store: Store,
    layout: Layout,
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    *,
    polygons: bool = False,
    task: str = "",
    policy: Policy = DEFAULT_POLICY,
) -> Dataset:
    """Read the annotations of a dataset of a known layout and check them.

    Args:
        store: Where it lies.
        layout: Where its parts lie.
        listing: Its objects by key.
        required: Canonical names of the splits whose absence is an error.
        polygons: See ``open_dataset``.
        task: See ``open_dataset``.
        policy: See ``open_dataset``.

    Raises:
        DatasetError: A file is larger than its limit or cannot be parsed.
    """
    findings = Findings()
    parsed = read_tables(store, layout, listing, required, findings, polygons=polygons, task=task)
    check_tables(parsed, findings, policy)
    return Dataset(store, listing, layout, parsed, findings, policy)


def read_tables(
    store: Store,
    layout: Layout,
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    findings: Findings,
    *,
    polygons: bool = False,
    task: str = "",
) -> Parsed:
    """Do what ``read_dataset`` does, but for the checks over tables."""
    for code, place in layout.notes:
        if code != "missing-split":
            findings.add(code, place)
    report_missing_splits([place.name for place in layout.places], layout.notes, required, findings)
    if layout.format == "coco":
        parsed = read_coco(store, layout, listing, required, findings, polygons=polygons)
        hint = cast(Task, task) if task else layout.task
        return parsed._replace(task=hint) if hint else parsed
    said = cast(Task, task) if task else None
    return read_yolo(store, layout, listing, required, findings, polygons=polygons, task=said)


def report_of(dataset: Dataset, checked: Checked) -> DatasetReport:
    """Build the report of a dataset.

    Args:
        dataset: The dataset.
        checked: How far it was looked at.
    """
    layout, parsed = dataset.layout, dataset.parsed
    return DatasetReport(
        uri=dataset.store.uri,
        format=layout.format,
        layout=layout.name,
        task=parsed.task,
        classes=[category.name for category in parsed.categories],
        class_source=parsed.class_source,
        splits={name: _summary(table, parsed.categories) for name, table in parsed.tables.items()},
        evidence=[*layout.evidence, *parsed.evidence],
        confidence=min(layout.confidence, parsed.confidence),
        checked=checked,
        findings=dataset.findings.to_list(),
        fingerprint=dataset.fingerprint,
        revision=dataset.revision,
    )


def _summary(table: Table, categories: Sequence[Category]) -> Split:
    """Count what the report shows of a split."""
    labels = table.boxes.label[table.boxes.label >= 0]
    counts = np.bincount(labels, minlength=len(categories)).tolist()
    return Split(
        name=table.name,
        source_name=table.source_name,
        image_count=len(table.images),
        box_count=len(table.boxes),
        boxes_per_class={category.name: counts[category.label] for category in categories},
        annotations=table.annotations,
        image_root=table.image_root,
    )
