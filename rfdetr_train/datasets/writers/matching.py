"""Which label rows are still the ones that were written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rfdetr_train.datasets.table import UNKNOWN, Flags, Floats, Ints
from rfdetr_train.datasets.writers.rows import Rows

# Of an image side. Tools that write rows again do it with six decimals, which move a value by half of this.
_SAME = 1e-6


def match_rows(written: Rows, found: Rows, image: Ints, label: Ints) -> Ints:
    """Find for every label row the one that was written.

    Args:
        written: The rows that were written.
        found: The rows that are there.
        image: (n,) image of each row that is there, as ``written`` counts them, or ``UNKNOWN``.
        label: (n,) label likewise.

    Returns:
        (n,) index into ``written``, each once, or ``UNKNOWN``.
    """
    result = np.full(len(image), UNKNOWN)
    order = np.argsort(image, kind="stable")
    order = order[image[order] != UNKNOWN]
    images = int(max(written.image.max(initial=UNKNOWN), image.max(initial=UNKNOWN))) + 1
    before, now = np.bincount(written.image, minlength=images), np.bincount(image[order], minlength=images)
    as_many = before == now
    # The rows of these images stand beside each other: nearly always this is all that there is to do.
    first, second = np.flatnonzero(as_many[written.image]), order[as_many[image[order]]]
    same = _is_same(written, found, first, second, label)
    whole = np.bincount(image[second[~same]], minlength=images) == 0
    kept = whole[image[second]]
    result[second[kept]] = first[kept]
    edited = ~(as_many & whole)
    _match_edited(
        written, found, np.flatnonzero(edited[written.image]), order[edited[image[order]]], image, label, result
    )
    return result


def _is_same(written: Rows, found: Rows, first: Ints, second: Ints, label: Ints) -> Flags:
    """Return for pairs of rows whether they are the same."""
    close = (np.abs(written.box[first] - found.box[second]) <= _SAME).all(axis=1)
    same: Flags = close & (written.label[first] == label[second])
    if written.outlines is not None and found.outlines is not None:
        for pair in np.flatnonzero(same).tolist():
            same[pair] = _is_same_line(written.outlines[first[pair]], found.outlines[second[pair]])
    return same


def _is_same_line(first: Floats, second: Floats) -> bool:
    """Whether two polygons have the same points."""
    return first.shape == second.shape and bool((np.abs(first - second) <= _SAME).all())


def _match_edited(
    written: Rows, found: Rows, first: Sequence[int] | Ints, second: Ints, image: Ints, label: Ints, result: Ints
) -> None:
    """Match the rows of images in which rows were added, removed, changed or put in another order."""
    free: defaultdict[int, list[int]] = defaultdict(list)
    for row in np.asarray(first).tolist():
        free[int(written.image[row])].append(row)
    for row in second.tolist():
        candidates = free[int(image[row])]
        pairs = np.array(candidates, np.int64)
        same = _is_same(written, found, pairs, np.full(len(pairs), row), label)
        if same.any():
            result[row] = candidates.pop(int(same.argmax()))
