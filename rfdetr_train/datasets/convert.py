"""Writes the annotations of a dataset in the format that is wanted; images are referenced, linked or copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rfdetr_train.datasets.detect import open_source
from rfdetr_train.datasets.folder import fresh_folder
from rfdetr_train.datasets.manifest import (
    HERE,
    VERSION,
    Prepared,
    PreparedCategory,
    PreparedImage,
    PreparedSplit,
    place_of,
    write_manifest,
)
from rfdetr_train.datasets.model import Format
from rfdetr_train.datasets.progress import logger
from rfdetr_train.datasets.source import Source, SourceSplit
from rfdetr_train.datasets.targets import Written, write_coco_split, write_data_yaml, write_yolo_split
from rfdetr_train.datasets.transfer import Transfer, transfer
from rfdetr_train.errors import ParameterError

Images = Literal["reference", "link", "copy"]
_WRITERS: dict[str, Callable[[Source, SourceSplit, Path, Counter[str]], Written]] = {
    "coco": write_coco_split,
    "yolo": write_yolo_split,
}


def convert(
    dataset_uri: str, output_dir: str | Path, *, target: Format = "coco", images: Images = "reference"
) -> Prepared:
    """Convert a dataset.

    Args:
        dataset_uri: A folder, ``file:///folder`` or ``s3://bucket/prefix``.
        output_dir: New or empty folder, or an earlier result, which is replaced. It appears whole or not at all.
        target: Format to write. Annotations that have it already are copied byte for byte.
        images: ``reference`` writes annotations and ``dataset.json`` only; ``stage`` brings the images later.
            ``link`` (hard links where possible) and ``copy`` make a complete dataset folder.

    Returns:
        The manifest, as in ``dataset.json``.

    Raises:
        DatasetError: The dataset has errors, or an image cannot be read.
        ParameterError: A parameter is not valid, or the output folder holds something else.
    """
    _check_choice("target", target, tuple(_WRITERS))
    _check_choice("images", images, ("reference", "link", "copy"))
    destination = Path(output_dir).resolve()
    source = open_source(dataset_uri, ("train", "valid"))
    if Path(source.store.uri) == destination:
        raise ParameterError(f"The output {destination} is the dataset itself. Name another folder.")
    source.report.raise_for_errors()
    changes: Counter[str] = Counter()
    with fresh_folder(destination) as folder:
        splits = {}
        for split in source.splits:
            written = _WRITERS[target](source, split, folder, changes)
            splits[split.summary.name] = _place_images(source, written, folder, images)
        if target == "yolo":
            write_data_yaml(folder, source.report.classes, splits)
        prepared = Prepared(
            version=VERSION,
            source=source.report.uri,
            source_format=source.report.format,
            format=target,
            fingerprint=source.report.fingerprint,
            classes=source.report.classes,
            categories=_categories(source, target),
            changes={code: count for code, count in sorted(changes.items()) if count},
            splits=splits,
        )
        write_manifest(folder, prepared)
    _log(prepared)
    return prepared


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of the allowed ones."""
    if value not in allowed:
        raise ParameterError(f"{name}: '{value}' is not valid. Give one of {', '.join(allowed)}.")


def _place_images(source: Source, written: Written, folder: Path, images: Images) -> PreparedSplit:
    """Bring the images of a split, or refer to them where they are."""
    split = PreparedSplit(written.annotations, written.image_folder, source.store.uri, written.images)
    if images == "reference":
        return split
    work = [Transfer(image.key, image.size, folder / place_of(split, image), image.etag) for image in split.images]
    transfer(source.store, work, f"{written.image_folder}: images", link=images == "link")
    here = [PreparedImage(image.file_name, place_of(split, image), image.size) for image in split.images]
    return PreparedSplit(written.annotations, written.image_folder, HERE, here)


def _categories(source: Source, target: Format) -> list[PreparedCategory]:
    """Return the classes with the ids that they have in the written annotations."""
    result = []
    for category in source.categories:
        if target == source.report.format:
            written_id = category.id
        else:
            written_id = category.label + 1 if target == "coco" else category.label
        result.append(PreparedCategory(written_id, category.id, category.name, category.label))
    return result


def _log(prepared: Prepared) -> None:
    """Log what was made."""
    counts = ", ".join(f"{name} {len(split.images):,}" for name, split in prepared.splits.items())
    changes = "".join(f"; {code}: {count:,}" for code, count in prepared.changes.items())
    logger.info("%s to %s: images %s%s", prepared.source_format, prepared.format, counts, changes)
