"""Names the format of a dataset and checks it, from listings and annotation files alone."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Sequence

from rfdetr_train.datasets import coco
from rfdetr_train.datasets.coco_reader import read_coco
from rfdetr_train.datasets.data_yaml import NAMES as YOLO_FILES
from rfdetr_train.datasets.inspect import Findings
from rfdetr_train.datasets.model import DatasetReport, Format, canonical_split, printable
from rfdetr_train.datasets.source import Source
from rfdetr_train.datasets.yolo_reader import read_yolo
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import open_store

_NEEDS = (
    "COCO needs train/_annotations.coco.json beside the images (Roboflow layout), or annotations/instances_train*.json "
    "with the images in train*/ or images/. YOLO needs data.yaml with names, train and val, and images/ beside labels/."
)


def detect(dataset_uri: str, *, required_splits: Sequence[str] = ("train", "valid")) -> DatasetReport:
    """Name the format of a labelled image dataset and check it. No image is opened.

    Args:
        dataset_uri: A folder, ``file:///folder`` or ``s3://bucket/prefix``.
        required_splits: Splits whose absence is an error; a split beyond them that is empty is left out.

    Returns:
        The report. Errors in the data are findings in it; ``raise_for_errors`` turns them into an exception.

    Raises:
        DatasetError: There is nothing, no known format or more than one, or a file cannot be parsed.
        ParameterError: The location or the name of a split is not valid.
    """
    return open_source(dataset_uri, required_splits).report


def open_source(dataset_uri: str, required_splits: Sequence[str]) -> Source:
    """Do what ``detect`` does, and keep what was read."""
    required = [canonical_split(name) for name in required_splits]
    store = open_store(dataset_uri)
    listing = {found.key: found for found in store.list()}
    findings = Findings()
    format_name, layout = name_format(listing, store.uri)
    if format_name == "coco":
        places = _COCO_LAYOUTS[layout](listing)
        parsed = read_coco(store, layout, places, listing, required, findings)
    else:
        parsed = read_yolo(store, layout, listing, required, findings)
    report = DatasetReport(
        uri=store.uri,
        format=format_name,
        layout=parsed.layout,
        classes=[category.name for category in parsed.categories],
        class_source=parsed.class_source,
        splits={split.summary.name: split.summary for split in parsed.splits},
        findings=findings.to_list(),
        fingerprint=parsed.fingerprint,
    )
    return Source(store, report, parsed.categories, parsed.splits)


_COCO_LAYOUTS = {"roboflow": coco.find_roboflow_places, "standard": coco.find_standard_places}


def name_format(keys: Collection[str], uri: str) -> tuple[Format, str]:
    """Name the format, and the layout of a COCO dataset or the data file of a YOLO dataset.

    Raises:
        DatasetError: None or several are there.
    """
    if not keys:
        raise DatasetError(f"There is nothing at {printable(uri)}: it does not exist or is empty. {_NEEDS}")
    evidence: list[tuple[Format, str, str]] = []
    for layout, find in _COCO_LAYOUTS.items():
        places = find(keys)
        if places:
            evidence.append(("coco", layout, f"COCO ({layout} layout: {places[0].annotations})"))
    yolo = [name for name in YOLO_FILES if name in keys]
    if yolo:
        evidence.append(("yolo", yolo[0], f"YOLO ({yolo[0]})"))
    if not evidence:
        raise DatasetError(f"{printable(uri)} is no dataset of a known format. {_NEEDS} Found {_found(keys)}.")
    if len(evidence) > 1:
        kinds = " and ".join(text for _, _, text in evidence)
        raise DatasetError(f"{printable(uri)} holds more than one dataset: {kinds}. Keep one, or give each a folder.")
    return evidence[0][:2]


def _found(keys: Collection[str]) -> str:
    """Say what is there instead."""
    kinds = Counter(posixpath.splitext(key)[1].lower() or "without extension" for key in keys)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    top = sorted({key.split("/")[0] + ("/" if "/" in key else "") for key in keys})
    places = ", ".join(top[:8]) + (", ..." if len(top) > 8 else "")
    # A zip file often unpacks to a folder in the folder.
    names = (coco.ANNOTATIONS_NAME, *YOLO_FILES)
    nested = [key for key in sorted(keys) if posixpath.basename(key) in names or "/annotations/instances_" in key]
    hint = f"; perhaps you mean the folder of {nested[0]}" if nested else ""
    return printable(f"{len(keys)} files ({counts}) in {places}{hint}", 600)
