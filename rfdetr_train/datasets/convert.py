"""Writes the annotations of a dataset in the format that is wanted; images are referenced, linked or copied."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from rfdetr_train.datasets.findings import DEFAULT_POLICY, Policy
from rfdetr_train.datasets.folder import fresh_folder, fresh_prefix
from rfdetr_train.datasets.images import EXIFS, Exif
from rfdetr_train.datasets.layout import Format
from rfdetr_train.datasets.manifest import VERSION, Images, Prepared, write_manifest
from rfdetr_train.datasets.progress import logger
from rfdetr_train.datasets.writers.images import Output, check_server_copy
from rfdetr_train.datasets.writers.source import Source, open_source
from rfdetr_train.datasets.writers.splits import write_splits
from rfdetr_train.errors import ParameterError
from rfdetr_train.storage import Location, parse_location


def convert(
    dataset_uri: str,
    output_dir: str | Path,
    *,
    target: Format = "coco",
    images: Images = "reference",
    policy: Policy = DEFAULT_POLICY,
    exif: Exif = "auto",
    format: str = "",
    task: str = "",
) -> Prepared:
    """Convert a dataset.

    Args:
        dataset_uri: A folder, ``file:///folder``, ``s3://bucket/prefix`` or an archive on either.
        output_dir: New or empty folder, or an earlier result, which is replaced. It appears whole or not at all.
        target: Format to write. COCO annotations that stay COCO, and label files that stay label files, are copied
            byte for byte where nothing in them has to change.
        images: ``reference`` writes annotations and ``dataset.json`` only; ``stage`` brings the images later.
            ``link`` (hard links where possible) and ``copy`` make a complete dataset folder. ``none`` writes labels
            only: images are neither opened nor needed, and sizes are what the annotations say. ``server-copy`` writes
            to ``s3://bucket/prefix``, in the bucket of the dataset.
        policy: What is done about findings.
        exif: Frame of the boxes in images with an EXIF orientation: auto, raw, displayed or refuse.
        format: coco or yolo, where both are there.
        task: detect, segment or pose, where the label rows do not tell. For ``segment`` label files of a COCO dataset
            have polygons.

    Returns:
        The manifest, as in ``dataset.json``.

    Raises:
        DatasetError: The policy refuses the dataset, or an image is gone or has changed.
        ParameterError: A parameter is not valid, or the output holds something else.
    """
    _check_choice("target", target, get_args(Format))
    _check_choice("images", images, get_args(Images))
    _check_choice("exif", exif, EXIFS)
    source = open_source(dataset_uri, policy, exif, format, task, needs_images=images != "none")
    return write(source, output_dir, target, images)


def write(
    source: Source, output_dir: str | Path, target: Format, images: Images, *, thorough: bool = False
) -> Prepared:
    """Write a dataset that was read.

    Args:
        source: The dataset.
        output_dir: See ``convert``.
        target: See ``convert``.
        images: See ``convert``.
        thorough: Also change what trainers put right by themselves.
    """
    if images == "none" and target == "coco" and source.dataset.layout.format == "yolo":
        raise ParameterError("images: 'none' has no sizes to make pixels of label rows. Give 'reference'.")
    location = parse_location(str(output_dir))
    changes: Counter[str] = Counter()
    with _output(source, location, images) as output:
        written = write_splits(source, output, target, changes, thorough=thorough)
        report = source.report()
        prepared = Prepared(
            version=VERSION,
            source=report.uri,
            source_format=report.format,
            source_fingerprint=report.fingerprint,
            format=target,
            fingerprint=_fingerprint(report.fingerprint, written.marks),
            classes=report.classes,
            categories=written.categories,
            changes={code: count for code, count in sorted(changes.items()) if count},
            images=images,
            splits=written.splits,
            findings=report.findings,
        )
        write_manifest(output.folder, prepared)
    _log(prepared)
    return prepared


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of the allowed ones."""
    if value not in allowed:
        raise ParameterError(f"{name}: '{value}' is not valid. Give one of {', '.join(allowed)}.")


@contextmanager
def _output(source: Source, location: Location, images: Images) -> Iterator[Output]:
    """Give the place to write to, which appears when the block ends well."""
    if location.uri == source.dataset.store.uri:
        raise ParameterError(f"The output {location.uri} is the dataset itself. Name another folder.")
    if images == "server-copy":
        check_server_copy(source.dataset.store, location)
        with fresh_prefix(location) as folder:
            yield Output(folder, location, images)
    elif location.scheme == "s3":
        raise ParameterError(
            f"images: '{images}' writes to a folder of this machine, and the output is {location.uri}. "
            "Give images 'server-copy', or a folder."
        )
    else:
        with fresh_folder(Path(location.root)) as folder:
            yield Output(folder, location, images)


def _fingerprint(source: str, marks: Sequence[str]) -> str:
    """Return the fingerprint of what was written: that of the source where nothing sets it apart."""
    if not marks:
        return source
    return hashlib.sha256("\n".join([source, *marks]).encode()).hexdigest()


def _log(prepared: Prepared) -> None:
    """Log what was made."""
    counts = ", ".join(f"{name} {len(split.images):,}" for name, split in prepared.splits.items())
    changes = "".join(f"; {code}: {count:,}" for code, count in prepared.changes.items())
    logger.info("%s to %s: images %s%s", prepared.source_format, prepared.format, counts, changes)
