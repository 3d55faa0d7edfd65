"""Names the format of a dataset and checks it as far as that is quick: in less than a second whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rfdetr_train.datasets.checks import check_tables
from rfdetr_train.datasets.findings import DEFAULT_POLICY, Findings
from rfdetr_train.datasets.layout import Layout
from rfdetr_train.datasets.layouts.find import name_layout
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import DatasetReport, Split, canonical_split
from rfdetr_train.datasets.reading import Dataset, read_dataset, read_tables, report_of
from rfdetr_train.datasets.thin import Thin, thin
from rfdetr_train.storage import ObjectInfo, Store, by_folder, open_store


def detect(
    dataset_uri: str,
    *,
    required_splits: Sequence[str] = ("train", "valid"),
    format: str = "",
    task: str = "",
) -> DatasetReport:
    """Name the format of a labelled image dataset and check it. No image is opened.

    Args:
        dataset_uri: A folder, ``file:///folder``, ``s3://bucket/prefix``, or an archive on either.
        required_splits: Splits whose absence is an error; a split beyond them that is empty is left out.
        format: coco or yolo, where both are there.
        task: detect, segment or pose, where the label rows do not tell.

    Returns:
        The report. A large dataset is read in parts: then ``checked`` is ``sample``, there is no fingerprint, and
        numbers of boxes are estimates. Errors in the data are findings in it; ``raise_for_errors`` turns them into an
        exception.

    Raises:
        DatasetError: There is nothing, no known format or more than one, or a file cannot be parsed.
        ParameterError: The location, the name of a split or an option is not valid.
    """
    required = [canonical_split(name) for name in required_splits]
    store = open_store(dataset_uri)
    # A server lists sizes with the names; on a disk they cost a call for each file.
    listing = _listing(store) if store.parallelism > 1 else {}
    tree = Tree(store, by_folder(listing) if listing else store.folders())
    layout = name_layout(tree, format=format, task=task)
    sample = thin(store, tree, layout)
    if sample is not None:
        return _report_of_sample(store, sample, layout, listing, required, task)
    dataset = read_dataset(store, layout, listing or _listing(store), required, task=task)
    return report_of(dataset, "annotations")


def _listing(store: Store) -> dict[str, ObjectInfo]:
    """Return the objects of a store by key."""
    return {found.key: found for found in store.list()}


def _report_of_sample(
    store: Store,
    sample: Thin,
    layout: Layout,
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    task: str,
) -> DatasetReport:
    """Read a sample, and report what it shows of the dataset."""
    findings = Findings()
    parsed = read_tables(sample.store, sample.layout, sample.listing, required, findings, task=task)
    parsed = parsed._replace(complete=False, evidence=(*parsed.evidence, *sample.evidence))
    check_tables(parsed, findings, DEFAULT_POLICY)
    if layout.format == "coco":
        # Most annotations of a sample have their image outside of it.
        for code in ("unknown-image", "duplicate-box", "unlabelled-images"):
            findings.forget(code)
    report = report_of(Dataset(store, listing, layout, parsed, findings, DEFAULT_POLICY), "sample")
    roots = {place.name: place.image_roots for place in layout.places}
    splits = {name: _whole(split, sample, roots[name]) for name, split in report.splits.items()}
    return msgspec.structs.replace(report, splits=splits, revision=report.revision if listing else "")


def _whole(split: Split, sample: Thin, roots: Sequence[str]) -> Split:
    """Return the summary of a split, from that of its sample."""
    factor = sample.boxes[split.name]
    return msgspec.structs.replace(
        split,
        image_count=sample.images[split.name],
        box_count=round(split.box_count * factor),
        boxes_per_class={name: round(count * factor) for name, count in split.boxes_per_class.items()},
        image_root=roots[0] if len(roots) == 1 else split.image_root,
    )
