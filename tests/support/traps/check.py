"""Compares a converted dataset with what is right of its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from traps.reader import Seen, read
from traps.truth import Box, Picture, Right

TOLERANCE = 1e-6
"""In pixels. Twelve times finer than the six digits that most converters write are at 8,000 px."""


def check(folder: Path, format_: str, right: Right, *, crowds: bool = False, fitted: bool = True) -> None:
    """Compare every box, class, image and background of a converted dataset with what is right.

    Args:
        folder: Of the dataset, complete with its images.
        format_: Its format.
        right: What is right.
        crowds: Whether crowd regions must be there; they must not otherwise.
        fitted: Whether boxes must be clipped to their images; else they are clipped here, as RF-DETR does.
    """
    classes, splits = read(folder, format_)
    assert classes == right.classes
    assert sorted(splits) == sorted(right.splits)
    for split, pictures in right.splits.items():
        expected = {picture.colour: picture for picture in pictures}
        names = {colour: seen.path.name for colour, seen in splits[split].items()}
        assert sorted(splits[split]) == sorted(expected), f"{split}: {names}"
        for colour, picture in expected.items():
            seen = splits[split][colour]
            seen.boxes = (
                seen.boxes if fitted else [box for box in map(seen.clip, seen.boxes) if box.w > 0 and box.h > 0]
            )
            _check_picture(seen, picture, crowds)


def _check_picture(seen: Seen, picture: Picture, crowds: bool) -> None:
    """Compare one image."""
    where = f"{picture.name} as {seen.path}"
    assert seen.size == picture.size, where
    assert seen.orientation == 1, f"{where}: viewers turn it, RF-DETR does not"
    assert_boxes(seen.boxes, picture.boxes, where)
    assert_boxes(seen.crowds, picture.crowds if crowds else [], f"{where}: crowd regions")
    if picture.orientation > 1:
        _check_white(seen.path, picture)


def assert_boxes(seen: list[Box], right: list[Box], where: str) -> None:
    """Compare boxes without regard to their order."""
    seen, right = sorted(seen), sorted(right)
    assert [box.name for box in seen] == [box.name for box in right], f"{where}: {seen}, not {right}"
    if seen:
        moved = np.abs(np.array([box[1:] for box in seen]) - np.array([box[1:] for box in right]))
        assert moved.max() <= TOLERANCE, f"{where}: {seen}, not {right}"


def _check_white(path: Path, picture: Picture) -> None:
    """Check that the white rectangles of a turned image are where its boxes are."""
    with Image.open(path) as image:
        white = np.asarray(image.convert("L")) > 220
    for _, x, y, w, h in picture.boxes:
        left, top, right, bottom = (round(value) for value in (x, y, x + w, y + h))
        assert white[top + 2 : bottom - 2, left + 2 : right - 2].all(), f"{path}: a box misses what it is of"
    covered = sum(box.w * box.h for box in picture.boxes)
    assert abs(white.sum() - covered) < 0.1 * covered
