"""Checks everything about a dataset: every annotation, every image header, the splits against each other."""

from __future__ import annotations

from collections.abc import Sequence

from rfdetr_train.datasets.checks import check_tables
from rfdetr_train.datasets.duplicates import find_duplicates
from rfdetr_train.datasets.findings import DEFAULT_POLICY, Findings, Policy
from rfdetr_train.datasets.headers import read_headers
from rfdetr_train.datasets.images import EXIFS, Exif, check_images
from rfdetr_train.datasets.layouts import find_layout
from rfdetr_train.datasets.model import DatasetReport, canonical_split
from rfdetr_train.datasets.reading import Dataset, read_tables, report_of
from rfdetr_train.errors import ParameterError
from rfdetr_train.storage import open_store


def inspect(
    dataset_uri: str,
    *,
    required_splits: Sequence[str] = ("train", "valid"),
    images: bool = True,
    exif: Exif = "auto",
    format: str = "",
    task: str = "",
    policy: Policy = DEFAULT_POLICY,
) -> DatasetReport:
    """Check a dataset.

    Args:
        dataset_uri: A folder, ``file:///folder``, ``s3://bucket/prefix`` or an archive on either.
        required_splits: Splits whose absence is an error; a split beyond them that is empty is left out.
        images: Whether to look at the headers of the images, and for the same image in two splits.
        exif: auto, raw, displayed or refuse: the frame of the boxes in images with an EXIF orientation.
        format: coco or yolo, where both are there.
        task: detect, segment or pose, where the label rows do not tell.
        policy: What it leaves out does not count as an example of a class.

    Returns:
        The report. Errors in the data are findings in it; ``raise_for_errors`` turns them into an exception.

    Raises:
        DatasetError: There is nothing, no known format or more than one, or a file cannot be parsed.
        ParameterError: The location, the name of a split or an option is not valid.
    """
    if exif not in EXIFS:
        raise ParameterError(f"exif: '{exif}' is not valid. Give one of {', '.join(EXIFS)}.")
    required = [canonical_split(name) for name in required_splits]
    store = open_store(dataset_uri)
    listing = {found.key: found for found in store.list()}
    layout = find_layout(store, listing, format=format, task=task)
    findings = Findings()
    parsed = read_tables(store, layout, listing, required, findings, task=task)
    sizes = {}
    if images:
        for name, table in parsed.tables.items():
            headers = read_headers(store, [listing.get(key) for key in table.images.keys], name)
            sizes[name] = check_images(table, headers, findings, exif).size
        find_duplicates(store, parsed.tables, listing, findings)
    check_tables(parsed, findings, policy, sizes)
    dataset = Dataset(store, listing, layout, parsed, findings, policy)
    return report_of(dataset, "images" if images else "annotations")
