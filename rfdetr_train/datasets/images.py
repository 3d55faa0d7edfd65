"""Compares images with what the annotations say of them, and decides in which frame their boxes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.headers import Headers
from rfdetr_train.datasets.table import Flags, Ints, Table

Exif = Literal["auto", "raw", "displayed", "refuse"]
EXIFS: tuple[Exif, ...] = ("auto", "raw", "displayed", "refuse")
Action = Literal["", "strip", "rotate"]

_STATES = ("unreadable-image", "truncated-image", "oversized-image")
_KINDS = {
    "bmp": "BMP",
    "dib": "BMP",
    "dng": "TIFF",
    "gif": "GIF",
    "jfif": "JPEG",
    "jpe": "JPEG",
    "jpeg": "JPEG",
    "jpg": "JPEG",
    "mpo": "JPEG",
    "png": "PNG",
    "tif": "TIFF",
    "tiff": "TIFF",
    "webp": "WEBP",
}


@dataclass
class Frames:
    """The frame of the boxes of every image, and how the image is brought into it.

    Attributes:
        size: (n, 2) width and height in pixels; what the annotations say where the image cannot be read.
        action: For ``bake.upright``: "strip" takes the orientation off, "rotate" turns the pixels, "" is upright.
    """

    size: Ints
    action: list[Action]


def check_images(table: Table, headers: Headers, findings: Findings, exif: Exif = "auto") -> Frames:
    """Report what is wrong with the images of a split, and decide on their frames.

    An image with an orientation has two: the stored one, which RF-DETR sees, and the displayed one, in which most
    people label. COCO whose width and height are those of the stored image has its boxes there; otherwise, and where
    the sizes cannot tell (a square, a half turn, a mirror image, YOLO), the displayed frame is meant.

    Args:
        table: The split.
        headers: Of its images.
        findings: Where to report.
        exif: "raw" and "displayed" decide by hand; "refuse" makes every orientation an error.
    """
    states = np.array(headers.state, dtype=object)
    there = np.array([bool(key) for key in table.images.keys], bool)
    turned = headers.orientation != 1
    # An image that its split lacks was reported when the split was read; this one went away since.
    findings.add_images("missing-image", table, there & (states == "missing-image"))
    for code in _STATES:
        findings.add_images(code, table, states == code)
    findings.add_images("exif-orientation", table, turned, severity="error" if exif == "refuse" else None)
    findings.add_images("wrong-extension", table, _misnamed(table, headers))
    findings.add_images("unusual-pixels", table, headers.unusual)
    findings.add_images("size-mismatch", table, _other_size(table, headers))
    stored = turned & _is_stored_frame(table, headers, exif)
    action: list[Action] = [
        "" if not is_turned else "strip" if is_stored else "rotate"
        for is_turned, is_stored in zip(turned.tolist(), stored.tolist(), strict=True)
    ]
    size = np.where(stored[:, None], headers.size, headers.displayed)
    return Frames(np.where(size > 0, size, table.images.sizes), action)


def _is_stored_frame(table: Table, headers: Headers, exif: Exif) -> Flags:
    """Say for every image whether its boxes are in the stored frame, if that is another than the displayed one."""
    if exif in ("raw", "displayed"):
        return np.full(len(headers), exif == "raw")
    if table.relative:
        return np.zeros(len(headers), bool)
    declared = table.images.sizes
    return (declared == headers.size).all(axis=1) & (declared != headers.displayed).any(axis=1)


def _other_size(table: Table, headers: Headers) -> Flags:
    """Say for every image whether the annotations give it a size that it has neither stored nor displayed."""
    declared = table.images.sizes
    differs = (declared != headers.size).any(axis=1) & (declared != headers.displayed).any(axis=1)
    return differs & (declared > 0).all(axis=1) & (headers.size > 0).all(axis=1)


def _misnamed(table: Table, headers: Headers) -> Flags:
    """Say for every image whether its extension is one of another format."""
    expected = (_KINDS.get(name.rpartition(".")[2].lower()) for name in table.images.names)
    return np.array(
        [bool(kind) and found not in (None, kind) for found, kind in zip(expected, headers.kind, strict=True)], bool
    )
