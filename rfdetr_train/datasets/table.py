"""A split as columns: what the reader of every format makes, and what every check and writer reads.

Python objects for the 850,000 boxes of COCO cost more memory than the file that they come from; columns cost 41 bytes
a box, and checks over them are numpy expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""Row of an image, or label of a class, that the dataset does not declare."""
NO_CLASS = -2
"""Label of a category that is declared and is no class of the model: an unused parent."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Category(NamedTuple):
    """A class of the model.

    Attributes:
        id: Its id in the annotations; a string where a COCO file has strings.
        name: Its name.
        label: Its label in training, 0 to n-1.
    """

    id: int | str
    name: str
    label: int


@dataclass
class Images:
    """The images of a split, one row each.

    Attributes:
        names: Names below the image root, with '/', as the annotations give them without a leading './'.
        keys: Keys in the store; "" where the image is not there.
        ids: Ids in the annotations; 1 to n where the format has none.
        sizes: (n, 2) width and height in pixels as the annotations give them, 0 where they do not.
    """

    names: list[str]
    keys: list[str]
    ids: Sequence[int | str]
    sizes: Ints

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)


@dataclass
class Boxes:
    """The annotations of a split, one row each, in the order of the files; neither clipped nor checked.

    Attributes:
        image: (m,) row of the image, or ``UNKNOWN``.
        label: (m,) label in training, ``UNKNOWN`` or ``NO_CLASS``.
        xywh: (m, 4) upper left corner, width, height; NaN where the annotation has no box of four numbers. In pixels
            of the image for COCO; in parts of the image sides for YOLO.
        crowd: (m,) whether the annotation is a crowd region: not trained on, ignored in evaluation.
        place: (m,) annotation id of COCO where it is a number (else its position), line number of YOLO.
    """

    image: Ints
    label: Ints
    xywh: Floats
    crowd: Flags
    place: Ints

    def __len__(self) -> int:
        """Return the number of annotations."""
        return len(self.label)

    def take(self, rows: Ints | Flags) -> Boxes:
        """Return some rows, by index or by mask."""
        return Boxes(self.image[rows], self.label[rows], self.xywh[rows], self.crowd[rows], self.place[rows])


@dataclass
class Table:
    """A split that was read.

    Attributes:
        name: train, valid or test.
        source_name: What the dataset calls it, for example val2017.
        annotations: Key of the annotation file, or of the folder of label files.
        image_root: Key of the folder that image names are relative to; "" is the root of the dataset.
        relative: Whether boxes are in parts of the image sides.
        images: The images.
        boxes: The annotations.
        where: Says where an annotation stands, for people: ``file: annotation 7`` or ``file:3``.
        polygons: Row of an annotation -> its polygon parts, each (k, 2) in the unit of the boxes; only of rows that
            have polygons, and only where a reader was asked for them.
        digests: SHA-256 of the annotation file under its key, or of every label file under its key.
    """

    name: str
    source_name: str
    annotations: str
    image_root: str
    relative: bool
    images: Images
    boxes: Boxes
    where: Callable[[int], str]
    polygons: dict[int, list[Floats]] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)
