"""Boxes against the edges of their image."""

from __future__ import annotations

import math

Box = tuple[float, float, float, float]

# Six decimals of centre and size, as most tools write YOLO rows, overshoot an edge by up to 0.75e-6 of the side. That
# is rounding and no mistake: such a box is left as it is, so that a conversion changes no box that it does not report.
_ROUNDING = 1e-6


def fit(box: Box, width: float, height: float) -> Box | None:
    """Clip a box to its image.

    Args:
        box: x, y of the upper left corner, width, height, in the unit of the image.
        width: Image width.
        height: Image height.

    Returns:
        The same object where nothing had to change; None for a box without area in the image.
    """
    x, y, w, h = box
    if not (w > 0 and h > 0 and math.isfinite(x + y + w + h)):
        return None
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return None
    slack_x, slack_y = _ROUNDING * width, _ROUNDING * height
    if x >= -slack_x and y >= -slack_y and x + w <= width + slack_x and y + h <= height + slack_y:
        return box
    return left, top, right - left, bottom - top
