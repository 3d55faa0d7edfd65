"""Annotations like COCO's: how many boxes an image has, how large they are, of which class, with which polygon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jpegs import SHAPES
from numpy.typing import NDArray

CATEGORY_IDS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
"""The 80 ids of COCO's classes, with its gaps."""
NAMES = [f"class {number}" for number in CATEGORY_IDS]
BACKGROUNDS = 0.057  # part of the images without a box
CROWDS = 0.01  # part of the annotations
POINTS = 29.25  # of a polygon, on average: a file of 849k annotations has then the 473 MB of COCO's


@dataclass
class Drawn:
    """A split, drawn.

    Attributes:
        first: Number of its first image: no two splits have an id or a name in common.
        sizes: (n, 2) width and height of the images.
        counts: (n,) annotations of each image.
        image: (m,) row of the image of each annotation, ascending.
        label: (m,) class, 0 to 79.
        xywh: (m, 4) corner, width and height in pixels, two decimals, inside the image.
        crowd: (m,) crowd regions.
    """

    first: int
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    xywh: NDArray[np.float64]
    crowd: NDArray[np.bool_]


def draw(first: int, images: int, boxes: int, rng: np.random.Generator, *, crowds: bool) -> Drawn:
    """Draw so many images and boxes; the images are numbered from ``first``."""
    sizes = np.array(SHAPES)[rng.integers(len(SHAPES), size=images)]
    counts = _counts(images, boxes, rng)
    image = np.repeat(np.arange(images), counts)
    within = sizes[image]
    sides = within * np.clip(rng.lognormal(-2.0, 0.8, (boxes, 2)), 0.01, 0.95)
    # Rounding down, and never quite to the edge: no box may reach over it by an error of the last digit.
    corners = (within - sides) * rng.random((boxes, 2)) * 0.999
    xywh = np.floor(np.hstack([corners, sides]) * 100) / 100
    label = np.minimum(rng.exponential(14, boxes).astype(np.int64), len(NAMES) - 1)
    crowd = (rng.random(boxes) < CROWDS) & crowds
    return Drawn(first, sizes, counts, image, label, xywh, crowd)


def draw_polygons(xywh: NDArray[np.float64], rng: np.random.Generator) -> list[list[float]]:
    """Draw a polygon around the middle of each box.

    Args:
        xywh: (m, 4) boxes.
        rng: Random numbers.

    Returns:
        For each box its points x, y, x, y, ... with two decimals.
    """
    points = 6 + rng.geometric(1 / (POINTS - 6), len(xywh)).clip(max=200)
    box = np.repeat(np.arange(len(xywh)), points)
    ends = np.cumsum(points)
    angle = (np.arange(ends[-1]) - (ends - points)[box]) / points[box] * (2 * np.pi)
    radius = rng.uniform(0.7, 1.0, len(angle)) / 2
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None] + 0.5
    flat = np.round(xywh[box, :2] + xywh[box, 2:] * around, 2).ravel().tolist()
    return [flat[2 * (end - count) : 2 * end] for end, count in zip(ends.tolist(), points.tolist(), strict=True)]


def _counts(images: int, boxes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many boxes each image has, most a few, some many; together exactly ``boxes``."""
    labelled = rng.random(images) >= BACKGROUNDS
    counts = np.where(labelled, rng.geometric(labelled.sum() / boxes, images), 0)
    wrong = boxes - int(counts.sum())
    changed = rng.choice(np.flatnonzero(counts > (1 if wrong < 0 else 0)), abs(wrong), replace=False)
    counts[changed] += np.sign(wrong)
    return counts
