"""Label rows of YOLO: made of annotations as columns, and written as text in bulk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec
import numpy as np

from rfdetr_train.datasets.boxes import fit_boxes
from rfdetr_train.datasets.table import Flags, Floats, Ints
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.outlines import bounds, outline


@dataclass
class Rows:
    """The rows of a split, ordered by image, and for each image as the annotations are.

    Attributes:
        image: (n,) image of each row, as ``Content`` counts them.
        label: (n,) class.
        box: (n, 4) centre, width, height in parts of the image sides; of a polygon what is around it.
        source: (n,) row of the annotation in the table.
        clipped: (n,) whether the box was larger.
        outlines: For each row the points of its polygon, (p, 2) in parts of the image sides; None where rows are boxes.
    """

    image: Ints
    label: Ints
    box: Floats
    source: Ints
    clipped: Flags
    outlines: list[Floats] | None

    def take(self, rows: Ints) -> Rows:
        """Return some rows."""
        shapes = None if self.outlines is None else [self.outlines[row] for row in rows.tolist()]
        return Rows(self.image[rows], self.label[rows], self.box[rows], self.source[rows], self.clipped[rows], shapes)

    def text(self, first: int, last: int) -> bytes:
        """Return the rows from ``first`` to before ``last`` as lines, with the shortest digits that are exact.

        msgspec writes a list of numbers five times as fast as ``repr`` does each of them.
        """
        if first == last:
            return b""
        labels = self.label[first:last].tolist()
        if self.outlines is None:
            values = list(zip(labels, *self.box[first:last].T.tolist(), strict=True))
        else:
            points = (points.ravel().tolist() for points in self.outlines[first:last])
            values = [(label, *found) for label, found in zip(labels, points, strict=True)]
        return msgspec.json.encode(values)[2:-2].replace(b"],[", b"\n").replace(b",", b" ") + b"\n"


def label_rows(content: Content, *, outlines: bool, changes: Counter[str]) -> Rows:
    """Make the label rows of a split: clipped, without boxes that have no area, and without crowd regions.

    Args:
        content: The split; the size of every image is known.
        outlines: Make polygons: of the parts that an annotation has, else of its box, because Ultralytics drops what
            mixes boxes and polygons.
        changes: Where to count what is clipped and left out.
    """
    table, boxes = content.table, content.table.boxes
    crowd = (content.image >= 0) & boxes.crowd
    changes["crowd-region"] += int(crowd.sum())
    chosen = np.flatnonzero((content.image >= 0) & ~crowd)
    image = content.image[chosen]
    order = np.argsort(image, kind="stable")
    image, source = image[order], chosen[order]
    size = np.ones((len(image), 2)) if table.relative else content.sizes[image].astype(np.float64)
    fitted = fit_boxes(boxes.xywh[source], size)
    good = np.flatnonzero(~fitted.degenerate)
    image, source, size, xywh = image[good], source[good], size[good], fitted.xywh[good]
    box = np.hstack([(xywh[:, :2] + xywh[:, 2:] / 2) / size, xywh[:, 2:] / size])
    shapes = None
    if outlines:
        places = zip(source.tolist(), size, box, strict=True)
        shapes = [
            outline([part / side for part in table.polygons.get(row, ())], around) for row, side, around in places
        ]
        box = np.array([bounds(shape) for shape in shapes]).reshape(-1, 4)
    rows = Rows(image, boxes.label[source], box, source, fitted.changed[good], shapes)
    # A box may be too thin for the digits of its row: who reads it finds no area.
    there = ~fit_boxes(np.hstack([box[:, :2] - box[:, 2:] / 2, box[:, 2:]]), np.ones(2)).degenerate
    rows = rows if there.all() else rows.take(np.flatnonzero(there))
    changes["degenerate-box"] += len(chosen) - len(rows.image)
    changes["box-outside-image"] += int(rows.clipped.sum())
    return rows
