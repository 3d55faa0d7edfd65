"""``dataset.json``: what a prepared dataset is made of and where its images lie."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Literal

import msgspec

from rfdetr_train.datasets.images import Action
from rfdetr_train.datasets.layout import Format
from rfdetr_train.datasets.model import Finding, canonical_split
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.storage import parse_location
from rfdetr_train.storage.keys import check_keys

MANIFEST_NAME = "dataset.json"
VERSION = 2
# The images lie in the prepared folder itself, wherever it is moved to.
HERE = "."

Images = Literal["reference", "link", "copy", "none", "server-copy"]


class PreparedImage(msgspec.Struct, frozen=True):
    """An image of a split.

    Attributes:
        file_name: Name below the image folder of the split; annotations use it.
        key: Key in the store of the split.
        size: Bytes.
        etag: The server's content tag; "" on a local disk, which has none.
        action: What makes the image agree with its boxes when it is brought: nothing, ``strip`` its EXIF orientation,
            or ``rotate`` its pixels as that says.
    """

    file_name: str
    key: str
    size: int
    etag: str = ""
    action: Action = ""


class PreparedCategory(msgspec.Struct, frozen=True):
    """A class of the model.

    Attributes:
        id: Its category id in the prepared annotations; for YOLO its class id.
        source_id: Its id in the source; what a COCO file has, which may be no whole number.
        name: Its name.
        label: Its label in training, 0 to n-1.
    """

    id: int
    source_id: int | float | str
    name: str
    label: int


class PreparedSplit(msgspec.Struct, frozen=True):
    """A split of a prepared dataset.

    Attributes:
        annotations: Annotation file, or folder of label files, relative to the prepared folder.
        image_folder: Folder of the complete dataset in which the images belong.
        image_root: URI of the store that the image keys are relative to; "." for the prepared folder.
        images: The images, each once; none where labels only were written.
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
        source_fingerprint: Its fingerprint.
        format: The format of the annotations here.
        fingerprint: Of what is here: that of the source, unless something was left out or images are turned.
        classes: Names by label.
        categories: The classes with their ids.
        changes: What the conversion did, by code of the finding, with the number of boxes or images.
        images: How the images were taken over.
        splits: By canonical name.
        findings: What was found in the source.
    """

    version: int
    source: str
    source_format: Format
    source_fingerprint: str
    format: Format
    fingerprint: str
    classes: list[str]
    categories: list[PreparedCategory]
    changes: dict[str, int]
    images: Images
    splits: dict[str, PreparedSplit]
    findings: list[Finding]

    def to_markdown(self) -> str:
        """Return what was found and changed for a page; names from the dataset are escaped."""
        from rfdetr_train.datasets.report import conversion_to_markdown

        return conversion_to_markdown(self)


class _AnyVersion(msgspec.Struct):
    """What manifests of all versions have."""

    version: int
    fingerprint: str
    classes: list[str]


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
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(
            f"{folder} is no prepared dataset: it has no {MANIFEST_NAME}. Make it with convert."
        ) from None
    version = _version(data)
    if version is not None and version != VERSION:
        raise DatasetError(f"{path} has version {version}, wanted {VERSION}. Convert the dataset again.")
    try:
        prepared = msgspec.json.decode(data, type=Prepared)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DatasetError(f"{path} is not a manifest: {error}. Convert the dataset again.") from None
    for name, split in prepared.splits.items():
        _check_split(name, split, path)
    return prepared


def holds_result(folder: Path) -> bool:
    """Whether a folder has a manifest of some version."""
    try:
        return _version((folder / MANIFEST_NAME).read_bytes()) is not None
    except FileNotFoundError:
        return False


def _version(data: bytes) -> int | None:
    """Return the version of a manifest; None for what is none."""
    try:
        return msgspec.json.decode(data, type=_AnyVersion).version
    except (msgspec.DecodeError, RecursionError):
        return None


def _check_split(name: str, split: PreparedSplit, path: Path) -> None:
    """Refuse names that leave the folder, and stores that cannot be opened."""
    try:
        if canonical_split(name) != name:
            raise DatasetError(f"'{name}' is not a canonical name of a split")
        check_keys([split.annotations, split.image_folder])
        check_keys([image.file_name for image in split.images])
        check_keys([image.key for image in split.images])
        if split.image_root != HERE:
            parse_location(split.image_root)
    except (DatasetError, ParameterError) as error:
        raise DatasetError(f"{path}: split '{name}': {error}") from None


def place_of(split: PreparedSplit, image: PreparedImage) -> str:
    """Return where an image belongs in the complete dataset."""
    return posixpath.join(split.image_folder, image.file_name)
