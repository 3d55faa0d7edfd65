"""Boxes against the edges of their images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rfdetr_train.datasets.table import Flags, Floats, Ints

# Six decimals of centre and size, as most tools write YOLO rows, overshoot an edge by up to 0.75e-6 of the side. That
# is rounding and no mistake: such a box is left as it is, so that a conversion changes no box that it does not report.
_ROUNDING = 1e-6


class Fitted(NamedTuple):
    """Boxes in their images.

    Attributes:
        xywh: (m, 4) the boxes, clipped where they were changed and otherwise the same numbers.
        degenerate: (m,) whether a box has no area in its image.
        changed: (m,) whether a box was clipped.
    """

    xywh: Floats
    degenerate: Flags
    changed: Flags


def fit_boxes(xywh: Floats, sizes: Floats | Ints) -> Fitted:
    """Clip boxes to their images.

    Args:
        xywh: (m, 4) upper left corner, width, height, in the unit of the sizes.
        sizes: (m, 2) or (2,) width and height of the images; 0 where a size is not known, and nothing is outside.
    """
    size = np.where(np.asarray(sizes) > 0, sizes, np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = xywh[:, :2], xywh[:, :2] + xywh[:, 2:]
        inner_low, inner_high = np.maximum(low, 0.0), np.minimum(high, size)
        good = (xywh[:, 2:] > 0) & (inner_high > inner_low) & np.isfinite(low) & np.isfinite(high)
        slack = _ROUNDING * size
        inside = (low >= -slack) & (high <= size + slack)
    degenerate = ~(good[:, 0] & good[:, 1])
    changed = ~degenerate & ~(inside[:, 0] & inside[:, 1])
    clipped = xywh.copy()
    clipped[changed, :2] = inner_low[changed]
    clipped[changed, 2:] = (inner_high - inner_low)[changed]
    return Fitted(clipped, degenerate, changed)
