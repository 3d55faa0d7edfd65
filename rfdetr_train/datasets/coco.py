"""COCO annotation files, and the two layouts in which they lie: Roboflow's and the standard one."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from rfdetr_train.datasets.model import canonical_split
from rfdetr_train.errors import DatasetError

ANNOTATIONS_NAME = "_annotations.coco.json"
_ROBOFLOW = re.compile(r"^(train|valid|val|test)/_annotations\.coco\.json$")
# Beside captions_*, person_keypoints_*, image_info_*, which are other tasks.
_STANDARD = re.compile(r"^annotations/instances_((train|validation|valid|val|test)(?:[^a-z/][^/]*)?)\.json$")
# Values that a COCO export uses to say "this category has no parent"; the same as in rfdetr.datasets.coco.
_NO_PARENT = {"", "none", "null", None}


class CocoCategory(msgspec.Struct, frozen=True):
    """An entry of ``categories``."""

    id: int
    name: str
    supercategory: str | None = "none"


class CocoImage(msgspec.Struct, gc=False):
    """An entry of ``images``; sizes in pixels, None where the file does not say."""

    id: int
    file_name: str
    width: float | None = None
    height: float | None = None


class CocoAnnotation(msgspec.Struct, gc=False):
    """An entry of ``annotations``; segmentation and keypoints are skipped unparsed."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float] | None = None
    area: float | None = None
    iscrowd: int | bool | None = 0


class CocoFile(msgspec.Struct):
    """A COCO annotation file."""

    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: list[CocoAnnotation] = []


class CocoPlace(NamedTuple):
    """Where a split lies.

    Attributes:
        name: Canonical name of the split.
        source_name: Its name in the dataset.
        annotations: Key of the annotation file.
        image_roots: Keys of the folders in which its images may lie, the usual one first.
    """

    name: str
    source_name: str
    annotations: str
    image_roots: tuple[str, ...]


def find_roboflow_places(keys: Collection[str]) -> list[CocoPlace]:
    """Find ``<split>/_annotations.coco.json``."""
    matches = [match for key in keys if (match := _ROBOFLOW.match(key))]
    return [CocoPlace(canonical_split(match[1]), match[1], match[0], (match[1],)) for match in matches]


def find_standard_places(keys: Collection[str]) -> list[CocoPlace]:
    """Find ``annotations/instances_<name>.json``, where the name begins with that of a split."""
    matches = [match for key in keys if (match := _STANDARD.match(key))]
    return [
        CocoPlace(canonical_split(match[2]), match[1], match[0], (match[1], f"images/{match[1]}", "images", ""))
        for match in matches
    ]


def choose_image_root(place: CocoPlace, file_names: Sequence[str], keys: Collection[str]) -> str:
    """Return the folder in which most of the images lie, the usual one where that does not decide."""
    if len(place.image_roots) == 1:
        return place.image_roots[0]

    def hits(root: str) -> int:
        return sum(posixpath.join(root, name) in keys for name in file_names)

    return max(place.image_roots, key=hits)


def parse_coco(data: bytes, where: str) -> CocoFile:
    """Parse an annotation file.

    Raises:
        DatasetError: It is no JSON, or a field is missing or of the wrong type.
    """
    try:
        return msgspec.json.decode(data, type=CocoFile)
    except msgspec.ValidationError as error:
        place = re.sub(r" - at `\$?\.?(.*)`$", r" at \1", str(error)).replace("`", "'")
        hint = " Write ids as whole numbers without quotes." if "`int`" in str(error) else ""
        raise DatasetError(
            f"{where} is not a COCO annotation file: {place}.{hint} Export it again or correct it."
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise DatasetError(
            f"{where} cannot be read as JSON: {error}. It may be cut off, or hold NaN, which JSON does not have; "
            "export it again."
        ) from None


def training_categories(categories: Sequence[CocoCategory], annotated: Collection[int]) -> list[CocoCategory]:
    """Return the categories that become classes, in the order of their labels.

    The rule of ``rfdetr.datasets.coco.filter_parent_categories``, on which the labels of the model rest: sorted by
    id, and without a category that another one names as its supercategory and that has no annotation; all of them
    where nothing would be left.
    """
    ordered = sorted(categories, key=lambda category: category.id)
    parents = {
        category.supercategory
        for category in ordered
        if category.supercategory not in _NO_PARENT and category.supercategory != category.name
    }
    kept = [category for category in ordered if category.name not in parents or category.id in annotated]
    return kept or ordered


def box_of(annotation: CocoAnnotation) -> tuple[float, float, float, float] | None:
    """Return the box of an annotation, None where it has none of four numbers."""
    if annotation.bbox is None or len(annotation.bbox) != 4:
        return None
    x, y, width, height = annotation.bbox
    return x, y, width, height


def labels_by_id(categories: Sequence[CocoCategory]) -> Mapping[int, int]:
    """Return the label of every category id."""
    return {category.id: label for label, category in enumerate(categories)}
