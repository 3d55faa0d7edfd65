"""A dataset with its images looked at, which the policy does not refuse."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from rfdetr_train.datasets.checks import check_tables
from rfdetr_train.datasets.duplicates import find_duplicates
from rfdetr_train.datasets.findings import Findings, Policy
from rfdetr_train.datasets.headers import read_headers
from rfdetr_train.datasets.images import Exif, Frames, check_images
from rfdetr_train.datasets.layouts import find_layout
from rfdetr_train.datasets.model import DatasetReport
from rfdetr_train.datasets.reading import Dataset, read_tables, report_of
from rfdetr_train.datasets.table import Table
from rfdetr_train.storage import open_store

_REQUIRED = ("train", "valid")


@dataclass
class Source:
    """A dataset that can be written.

    Attributes:
        dataset: The dataset.
        frames: Sizes and turns of the images of each split; None where no image is needed.
        exif: How they were decided on.
        outlines: Whether label rows are to be polygons; all of them, because Ultralytics drops what is mixed.
    """

    dataset: Dataset
    frames: dict[str, Frames] | None
    exif: Exif
    outlines: bool

    def codes(self) -> Collection[str]:
        """Return the codes of the findings."""
        return {finding.code for finding in self.dataset.findings.to_list()}

    def report(self) -> DatasetReport:
        """Return the report."""
        return report_of(self.dataset, "annotations" if self.frames is None else "images")


def open_source(
    uri: str,
    policy: Policy,
    exif: Exif,
    format: str,
    task: str,
    *,
    needs_images: bool,
    repaired: Collection[str] = (),
) -> Source:
    """Read a dataset and the headers of its images.

    Args:
        uri: See ``convert``.
        policy: See ``convert``.
        exif: See ``convert``.
        format: See ``convert``.
        task: See ``convert``.
        needs_images: Whether the images have to be there.
        repaired: Codes of findings that do not refuse the dataset, because writing it puts them right.

    Raises:
        DatasetError: The policy refuses the dataset.
    """
    store = open_store(uri)
    listing = {found.key: found for found in store.list()}
    layout = find_layout(store, listing, format=format, task=task)
    findings = Findings()
    # Of COCO only where they are asked for: segmentations are nine tenths of its bytes.
    polygons = layout.format == "yolo" or task == "segment"
    parsed = read_tables(store, layout, listing, _REQUIRED, findings, polygons=polygons, task=task)
    if not needs_images:
        findings.forget("missing-image")
    dataset = Dataset(store, listing, layout, parsed, findings, policy)
    if _refusing(dataset, repaired).findings:
        # At once, and with all that the annotations show: the images may take minutes.
        check_tables(parsed, findings, policy)
        _refusing(dataset, repaired).raise_for_errors(policy)
    frames = None
    if needs_images:
        frames = {name: _look(dataset, table, exif) for name, table in parsed.tables.items()}
        find_duplicates(store, parsed.tables, listing, findings)
    check_tables(parsed, findings, policy, {name: found.size for name, found in (frames or {}).items()})
    _refusing(dataset, repaired).raise_for_errors(policy)
    return Source(dataset, frames, exif, _has_outlines(dataset, task))


def _has_outlines(dataset: Dataset, task: str) -> bool:
    """Whether label rows are to be polygons: where somebody says so, or where most label rows are."""
    if task or dataset.layout.format == "coco":
        return task == "segment"
    if dataset.layout.task:
        return dataset.layout.task == "segment"
    tables = dataset.tables.values()
    return sum(2 * len(table.polygons) - len(table.boxes) for table in tables) >= 0 and dataset.task == "segment"


def _look(dataset: Dataset, table: Table, exif: Exif) -> Frames:
    """Read the headers of the images of a split."""
    infos = [dataset.listing.get(key) for key in table.images.keys]
    return check_images(table, read_headers(dataset.store, infos, table.name), dataset.findings, exif)


def _refusing(dataset: Dataset, repaired: Collection[str]) -> DatasetReport:
    """Return the report of a dataset with those findings alone for which its policy refuses it."""
    report = report_of(dataset, "annotations")
    refusing = [
        finding
        for finding in report.findings
        if dataset.policy.refuses(finding.code, finding.severity) and finding.code not in repaired
    ]
    return msgspec.structs.replace(report, findings=refusing)
