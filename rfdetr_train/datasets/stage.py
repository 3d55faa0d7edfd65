"""Brings a prepared dataset to a local disk, in the layout that training reads."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rfdetr_train.datasets.manifest import HERE, place_of, read_manifest
from rfdetr_train.datasets.model import SPLITS
from rfdetr_train.datasets.transfer import Transfer, transfer
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.storage import open_store

STAGED_NAME = ".staged.json"


class Staged(msgspec.Struct, frozen=True):
    """The marker of a staged folder.

    Attributes:
        fingerprint: Of the dataset.
        complete: False until everything is there.
    """

    fingerprint: str
    complete: bool


def stage(prepared_dir: str | Path, destination: str | Path, *, image_splits: Sequence[str] | None = None) -> Path:
    """Make the local folder that training reads: ``<split>/_annotations.coco.json`` beside the images.

    Images on the same disk become hard links, others are copied; from S3 they come 32 at a time. What an earlier,
    interrupted call brought is kept. A destination with another dataset of ours is cleared first.

    Args:
        prepared_dir: What ``convert`` wrote, in COCO.
        destination: Folder on a local disk.
        image_splits: Splits whose images are wanted; all by default. Annotations always come, the label space too.

    Returns:
        The destination.

    Raises:
        DatasetError: An image is missing or has another size than when the dataset was converted.
        ParameterError: The prepared dataset is not COCO, or the destination holds something else.
    """
    prepared_path, folder = Path(prepared_dir), Path(destination)
    prepared = read_manifest(prepared_path)
    if prepared.format != "coco":
        raise ParameterError(f"{prepared_path} is {prepared.format}; training reads COCO. Convert with target coco.")
    _clear_other(folder, prepared.fingerprint)
    _mark(folder, prepared.fingerprint, complete=False)
    for name, split in prepared.splits.items():
        root = str(prepared_path) if split.image_root == HERE else split.image_root
        work = [Transfer(image.key, image.size, folder / place_of(split, image), image.etag) for image in split.images]
        if image_splits is None or name in image_splits:
            transfer(open_store(root), work, f"{name}: staging", link=True)
        _stage_annotations(prepared_path, split.annotations, folder)
    _mark(folder, prepared.fingerprint, complete=True)
    return folder


def _stage_annotations(prepared_path: Path, annotations: str, folder: Path) -> None:
    """Copy an annotation file."""
    try:
        data = (prepared_path / annotations).read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{prepared_path / annotations} is missing. Convert the dataset again.") from None
    atomic_write_bytes(folder / annotations, data)


def _clear_other(folder: Path, fingerprint: str) -> None:
    """Make room: keep what belongs to this dataset, remove what we staged of another one, refuse the rest.

    Without this an image of another dataset with the same name and size would be taken for one of this dataset.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    marker = _read_marker(folder)
    if marker is None:
        raise ParameterError(f"{folder} is not empty and was not staged by us. Name a new or empty folder.")
    if marker.fingerprint != fingerprint:
        for name in SPLITS:
            shutil.rmtree(folder / name, ignore_errors=True)


def _read_marker(folder: Path) -> Staged | None:
    """Return the marker of a folder, None where there is none."""
    try:
        return msgspec.json.decode((folder / STAGED_NAME).read_bytes(), type=Staged)
    except (OSError, msgspec.DecodeError):
        return None


def _mark(folder: Path, fingerprint: str, *, complete: bool) -> None:
    """Write the marker."""
    atomic_write_bytes(folder / STAGED_NAME, msgspec.json.encode(Staged(fingerprint, complete)))
