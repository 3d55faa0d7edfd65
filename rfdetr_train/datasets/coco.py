"""COCO annotation files: their entries, their parser, and the rule by which categories become classes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import msgspec

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.errors import DatasetError

ANNOTATIONS_NAME = "_annotations.coco.json"
MAX_BYTES = 4 << 30
"""Twice the largest public annotation file we know of, and what a machine of 8 GB can still parse."""
# Python's parser takes seven times the size of a file.
_MAX_BYTES_WITH_NAN = 512 << 20
# Values that a COCO export uses to say "this category has no parent"; the same as in rfdetr.datasets.coco.
_NO_PARENT = {"", "none", "null", None}
Id = int | str | Annotated[float, msgspec.Meta(multiple_of=1)]
"""A whole number; strings, and decimals like 1.0, are read too, and reported."""
_MARK = b"\xef\xbb\xbf"


class Bbox(msgspec.Struct, array_like=True, gc=False):
    """A box of four numbers, or fewer, or more; a struct and no list, of which the collector would track 850,000."""

    x: float = math.nan
    y: float = math.nan
    w: float = math.nan
    h: float = math.nan
    more: Any = None


class CocoCategory(msgspec.Struct, frozen=True):
    """An entry of ``categories``."""

    id: Id
    name: str
    supercategory: str | None = "none"
    keypoints: Any = None


class CocoImage(msgspec.Struct, gc=False):
    """An entry of ``images``; sizes in pixels, None where the file does not say."""

    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None


class CocoAnnotation(msgspec.Struct, gc=False):
    """An entry of ``annotations``; segmentation and keypoints are skipped unparsed."""

    id: Id | None = None
    image_id: Id | None = None
    category_id: Id | None = None
    bbox: Bbox | None = None
    area: float | None = None
    iscrowd: float | bool | None = None


class CocoPolygons(CocoAnnotation, gc=False):
    """An entry of ``annotations`` whose segmentation is kept as the bytes of the file."""

    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class CocoFile(msgspec.Struct):
    """A COCO annotation file."""

    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: Sequence[CocoAnnotation] = ()


class _WithPolygons(CocoFile):
    """The same with segmentations."""

    annotations: Sequence[CocoPolygons] = ()


def parse_coco(data: bytes, where: str, findings: Findings, *, polygons: bool = False) -> CocoFile:
    """Parse an annotation file.

    Args:
        data: The file.
        where: Its key, for messages.
        findings: Where to report a byte order mark and NaN.
        polygons: Whether to keep segmentations, as ``CocoPolygons``.

    Raises:
        DatasetError: It is no JSON, or a field is missing or of the wrong type.
    """
    if data.startswith(_MARK):
        findings.add("byte-order-mark", where)
        data = data[len(_MARK) :]
    kind = _WithPolygons if polygons else CocoFile
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if len(data) > _MAX_BYTES_WITH_NAN or not re.search(rb"\b(NaN|Infinity)\b", data):
            raise _no_json(error, where) from None
    findings.add("nan-in-json", where)
    return _parse_with_nan(data, where, kind)


def _parse_with_nan(data: bytes, where: str, kind: type[CocoFile]) -> CocoFile:
    """Parse what is JSON but for NaN and Infinity, with Python's parser: ten times as slow and hungry."""
    try:
        values = json.loads(data)
        if kind is _WithPolygons:
            _encode_segmentations(values)
        return msgspec.convert(values, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_type(error, where) from None
    except (ValueError, RecursionError) as error:
        raise _no_json(error, where) from None


def _no_json(error: Exception, where: str) -> DatasetError:
    """Build the error of a file that cannot be parsed."""
    return DatasetError(
        f"{where} cannot be read as JSON: {error}. It may be cut off, or hold NaN, which JSON does not have; "
        "export it again."
    )


def _encode_segmentations(values: Any) -> None:
    """Turn segmentations back into bytes, wherever the file has what a COCO file has."""
    annotations = values.get("annotations") if isinstance(values, dict) else None
    for annotation in annotations if isinstance(annotations, list) else ():
        if isinstance(annotation, dict):
            annotation["segmentation"] = msgspec.Raw(json.dumps(annotation.get("segmentation")).encode())


def _wrong_type(error: msgspec.ValidationError, where: str) -> DatasetError:
    """Build the error of a field that is missing or of the wrong type."""
    place = re.sub(r" - at `\$?\.?(.*)`$", r" at \1", str(error)).replace("`float` that's a multiple of 1.0", "`int`")
    place = place.replace("`", "'")
    return DatasetError(f"{where} is not a COCO annotation file: {place}. Export it again or correct it.")


def training_categories(categories: Sequence[CocoCategory], annotated: Collection[Id]) -> list[CocoCategory]:
    """Return the categories that become classes, in the order of their labels.

    The rule of ``rfdetr.datasets.coco.filter_parent_categories``, on which the labels of the model rest: sorted by
    id as a number, ids that are none last, and without a category that another one names as its supercategory and that
    has no annotation; all of them where nothing would be left.
    """
    ordered = sorted(categories, key=lambda category: _as_number(category.id))
    parents = {
        category.supercategory
        for category in ordered
        if category.supercategory not in _NO_PARENT and category.supercategory != category.name
    }
    kept = [category for category in ordered if category.name not in parents or category.id in annotated]
    return kept or ordered


def _as_number(id_: Id) -> tuple[bool, int]:
    """Return what categories are sorted by."""
    try:
        return False, int(id_)
    except (ValueError, OverflowError):
        return True, 0
