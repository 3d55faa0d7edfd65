"""Polygons as one row of YOLO: a closed line, in which parts are joined by lines without width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rfdetr_train.datasets.table import Floats

# Distances at once: 8 MB, however many points a polygon has.
_DISTANCES = 1 << 20


def outline(parts: Sequence[Floats], box: Floats) -> Floats:
    """Return the polygon of a label row, inside the image.

    Args:
        parts: (p, 2) each, in parts of the image sides.
        box: (4,) centre, width and height, which become the polygon where no part has an area.

    Returns:
        (q, 2) in parts of the image sides.
    """
    # Adding zero makes 0 of -0, which would be written with its sign.
    inside = [np.clip(part, 0.0, 1.0) + 0.0 for part in parts if len(part) >= 3]
    joined = join(inside) if inside else rectangle(box)
    return joined if (np.ptp(joined, axis=0) > 0).all() else rectangle(box)


def bounds(points: Floats) -> Floats:
    """Return (4,) centre, width and height of the box around points."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([(low + high) / 2, high - low])


def rectangle(box: Floats) -> Floats:
    """Return the corners of a box, clockwise on the screen from the upper left one."""
    x, y, w, h = box.tolist()
    left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return np.clip(corners, 0.0, 1.0) + 0.0


def join(parts: Sequence[Floats]) -> Floats:
    """Join parts to one line as Ultralytics does: each to the next where they are nearest, and all the way back."""
    joined = following = parts[-1]
    where = np.arange(len(following))  # the points of the part that follows, in what is joined so far
    for part in reversed(parts[:-1]):
        leave, enter = _nearest(part, following)
        beyond = np.roll(joined, -int(where[enter]), axis=0)
        joined = np.concatenate([part[: leave + 1], beyond, beyond[:1], part[leave:]])
        where = np.arange(len(part))
        where[leave + 1 :] += len(beyond) + 2
        following = part
    return joined


def _nearest(first: Floats, second: Floats) -> tuple[int, int]:
    """Return the indices of the points of two lines that are nearest to each other."""
    step = max(_DISTANCES // len(second), 1)
    best, found = np.inf, (0, 0)
    for start in range(0, len(first), step):
        distances = ((first[start : start + step, None] - second[None]) ** 2).sum(axis=2)
        nearest = int(distances.argmin())
        if distances.flat[nearest] < best:
            best, found = distances.flat[nearest], (start + nearest // len(second), nearest % len(second))
    return found
