"""``dataset.json``: what a prepared dataset is made of and where its images lie."""

from __future__ import annotations

import posixpath
from pathlib import Path

import msgspec

from rfdetr_train.datasets.model import Format, canonical_split
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.storage import check_key, parse_location

MANIFEST_NAME = "dataset.json"
VERSION = 1
# The images lie in the prepared folder itself, wherever it is moved to.
HERE = "."


class PreparedImage(msgspec.Struct, frozen=True):
    """An image of a split.

    Attributes:
        file_name: Name below the image folder of the split; annotations use it.
        key: Key in the store of the split.
        size: Bytes.
        etag: The server's content tag; "" on a local disk, which has none.
    """

    file_name: str
    key: str
    size: int
    etag: str = ""


class PreparedCategory(msgspec.Struct, frozen=True):
    """A class of the model.

    Attributes:
        id: Its category id in the prepared annotations; for YOLO its class id.
        source_id: Its id in the source.
        name: Its name.
        label: Its label in training, 0 to n-1.
    """

    id: int
    source_id: int
    name: str
    label: int


class PreparedSplit(msgspec.Struct, frozen=True):
    """A split of a prepared dataset.

    Attributes:
        annotations: Annotation file, or folder of label files, relative to the prepared folder.
        image_folder: Folder of the complete dataset in which the images belong.
        image_root: URI of the store that the image keys are relative to; "." for the prepared folder.
        images: The images, each once.
    """

    annotations: str
    image_folder: str
    image_root: str
    images: list[PreparedImage]


class Prepared(msgspec.Struct, frozen=True):
    """The manifest of a prepared dataset.

    Attributes:
        version: Of this file.
        source: URI of the dataset that it was made from.
        source_format: Its format.
        format: The format of the annotations here.
        fingerprint: Of the source.
        classes: Names by label.
        categories: The classes with their ids.
        changes: What the conversion did, by code of the finding, with the number of boxes.
        splits: By canonical name.
    """

    version: int
    source: str
    source_format: Format
    format: Format
    fingerprint: str
    classes: list[str]
    categories: list[PreparedCategory]
    changes: dict[str, int]
    splits: dict[str, PreparedSplit]


def write_manifest(folder: Path, prepared: Prepared) -> None:
    """Write ``dataset.json``."""
    atomic_write_bytes(folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(prepared), indent=1))


def read_manifest(folder: str | Path) -> Prepared:
    """Read and validate ``dataset.json``.

    Raises:
        DatasetError: It is missing, of another version, or names a file outside its folder.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        prepared = msgspec.json.decode(path.read_bytes(), type=Prepared)
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(
            f"{folder} is no prepared dataset: it has no {MANIFEST_NAME}. Make it with convert."
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise DatasetError(f"{path} is not a manifest: {error}. Convert the dataset again.") from None
    if prepared.version != VERSION:
        raise DatasetError(f"{path} has version {prepared.version}, wanted {VERSION}. Convert the dataset again.")
    for name, split in prepared.splits.items():
        _check_split(name, split, path)
    return prepared


def _check_split(name: str, split: PreparedSplit, path: Path) -> None:
    """Refuse names that leave the folder, and stores that cannot be opened."""
    try:
        if canonical_split(name) != name:
            raise DatasetError(f"'{name}' is not a canonical name of a split")
        for key in (split.annotations, split.image_folder):
            check_key(key)
        for image in split.images:
            check_key(image.file_name)
            check_key(image.key)
        if split.image_root != HERE:
            parse_location(split.image_root)
    except (DatasetError, ParameterError) as error:
        raise DatasetError(f"{path}: split '{name}': {error}") from None


def place_of(split: PreparedSplit, image: PreparedImage) -> str:
    """Return where an image belongs in the complete dataset."""
    return posixpath.join(split.image_folder, image.file_name)
