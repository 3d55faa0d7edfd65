"""YOLO folders and label rows."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from rfdetr_train.datasets.boxes import Box, fit
from rfdetr_train.datasets.data_yaml import DataYaml
from rfdetr_train.datasets.inspect import Findings
from rfdetr_train.datasets.source import LabelledBox
from rfdetr_train.errors import DatasetError

# The same as in rfdetr.datasets.yolo.
IMAGE_EXTENSIONS = frozenset({".bmp", ".dng", ".jpg", ".jpeg", ".mpo", ".png", ".tif", ".tiff", ".webp"})
_CONVENTIONS = {
    "train": ("train/images", "images/train"),
    "valid": ("valid/images", "val/images", "images/valid", "images/val"),
    "test": ("test/images", "images/test"),
}


class YoloPlace(NamedTuple):
    """Where a split lies.

    Attributes:
        name: Canonical name of the split.
        source_name: Its name in the dataset.
        images: Key of the folder of the images.
        labels: Key of the folder of the label files.
    """

    name: str
    source_name: str
    images: str
    labels: str


def folders_of(keys: Iterable[str]) -> set[str]:
    """Return every folder that holds something, at any depth; "" is the root."""
    folders = {""}
    for key in keys:
        folder = posixpath.dirname(key)
        while folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders


def find_places(declared: DataYaml, where: str, root: str, folders: Collection[str]) -> dict[str, YoloPlace]:
    """Find the folders of the splits, as ``data.yaml`` declares them or, where it is silent, by their usual names.

    Args:
        declared: The parsed ``data.yaml``.
        where: Its key, for messages.
        root: Where the dataset lies; an absolute folder in ``data.yaml`` may repeat it.
        folders: All folders of the dataset.

    Raises:
        DatasetError: A declared folder leaves the dataset.
    """
    base = _base(declared.path, root, folders)
    places = {}
    for split, conventions in _CONVENTIONS.items():
        if split in declared.splits:
            key, text = declared.splits[split]
            images = _declared_folder(base, text, f"{where}: {key}", root)
            source_name = key
        else:
            images = next((folder for folder in conventions if folder in folders), "")
            source_name = images.replace("images", "").strip("/")
        if images in folders and (images or split in declared.splits):
            if "images" not in images.split("/") and posixpath.join(images, "images") in folders:
                images = posixpath.join(images, "images")
            places[split] = YoloPlace(split, source_name, images, _labels_folder(images, folders))
    return places


def _base(path: str, root: str, folders: Collection[str]) -> str:
    """Return the folder that the splits are relative to.

    A ``path`` that is not in the dataset is from the machine of the one who wrote it (``/content/...``,
    ``../datasets/coco8``): the folder of ``data.yaml`` takes its place.
    """
    relative = _relative(path, root)
    return relative if relative is not None and relative in folders else ""


def _relative(path: str, root: str) -> str | None:
    """Return a path as a key; None where it leaves the dataset."""
    if path.startswith("/"):
        path = posixpath.relpath(path, root) if root.startswith("/") else ".."
    path = posixpath.normpath(path) if path else ""
    if path == ".." or path.startswith("../"):
        return None
    return "" if path == "." else path


def _declared_folder(base: str, text: str, where: str, root: str) -> str:
    """Return the folder of a split as a key."""
    folder = _relative(posixpath.join(base, text), root)
    if folder is None and text.startswith("../"):
        # Roboflow writes ../train/images for train/images beside data.yaml; Ultralytics reads it the same way.
        folder = _relative(posixpath.join(base, text[3:]), root)
    if folder is None:
        raise DatasetError(f"{where}: '{text}' leaves the dataset. Write a folder inside it, relative to data.yaml.")
    return folder


def _labels_folder(images: str, folders: Collection[str]) -> str:
    """Return the folder of the label files: ``labels`` for the last ``images``, or the folder of the images."""
    parts = images.split("/")
    candidates = [
        "/".join([*parts[:position], "labels", *parts[position + 1 :]])
        for position in reversed(range(len(parts)))
        if parts[position] == "images"
    ]
    return next((folder for folder in candidates if folder in folders), candidates[0] if candidates else images)


def images_below(folder: str, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield name relative to the folder, and key, of every image below it; hidden files and folders are left out."""
    prefix = f"{folder}/" if folder else ""
    for key in keys:
        if key.startswith(prefix) and posixpath.splitext(key)[1].lower() in IMAGE_EXTENSIONS:
            name = key[len(prefix) :]
            if not name.startswith(".") and "/." not in name:
                yield name, key


def parse_rows(data: bytes, where: str, class_count: int, findings: Findings) -> list[LabelledBox]:
    """Parse a label file; rows that cannot be used are reported and left out, degenerate ones only reported.

    Args:
        data: The file.
        where: Its key, for messages.
        class_count: Number of classes.
        findings: Where to report.

    Returns:
        Boxes in parts of the image sides, unclipped.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        findings.add("malformed-row", f"{where}: not UTF-8")
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        row = _parse_row(fields)
        if row is None:
            findings.add("malformed-row", f"{where}:{number}")
        elif not 0 <= row.label < class_count:
            findings.add("class-id-out-of-range", f"{where}:{number}, class {row.label} of 0 to {class_count - 1}")
        else:
            rows.append(row)
            if len(fields) > 5:
                findings.add("polygon-row", f"{where}:{number}")
            fitted = fit(row.box, 1.0, 1.0)
            if fitted is not row.box:
                findings.add("box-outside-image" if fitted else "degenerate-box", f"{where}:{number}")
    return rows


def _parse_row(fields: list[str]) -> LabelledBox | None:
    """Parse ``class x y width height`` or ``class`` with at least three points."""
    try:
        label, *values = map(float, fields)
    except ValueError:
        return None
    # Some tools write classes as 0.0.
    if not label.is_integer():
        return None
    if len(values) == 4:
        x, y, width, height = values
        return LabelledBox(int(label), (x - width / 2, y - height / 2, width, height))
    if len(values) < 6 or len(values) % 2:
        return None
    return LabelledBox(int(label), _bounding_box(values))


def _bounding_box(points: list[float]) -> Box:
    """Return the box around a polygon; of size NaN where a coordinate is not a number."""
    if not all(map(math.isfinite, points)):
        return 0.0, 0.0, math.nan, math.nan
    left, top = min(points[0::2]), min(points[1::2])
    return left, top, max(points[0::2]) - left, max(points[1::2]) - top
