"""Sizes and orientations of images, from a few hundred bytes of each file; no image is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rfdetr_train.datasets.image_files.header import Header, pixel_limit
from rfdetr_train.datasets.image_files.read import read_header
from rfdetr_train.datasets.image_files.source import Source
from rfdetr_train.datasets.ranges import map_files, window_of
from rfdetr_train.datasets.table import Flags, Ints
from rfdetr_train.storage import ObjectInfo, Store

_MISSING = Header(state="missing-image")


@dataclass
class Headers:
    """What the headers of images say, one row each.

    Attributes:
        kind: JPEG, PNG, BMP, WEBP, TIFF or GIF; "" where the file is none of them or not there.
        size: (n, 2) width and height in pixels as stored, 0 where they are not known. RF-DETR decodes a file like
            this, except a TIFF, which Pillow turns.
        orientation: (n,) 1 to 8, as in EXIF.
        unusual: (n,) whether the pixels are CMYK or have more than 8 bits a channel.
        state: "" or the finding that keeps the image from being used: missing-image, unreadable-image,
            truncated-image or oversized-image.
    """

    kind: list[str]
    size: Ints
    orientation: Ints
    unusual: Flags
    state: list[str]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.kind)

    @property
    def displayed(self) -> Ints:
        """(n, 2) width and height as the image is shown, with its orientation applied."""
        return np.where(self.orientation[:, None] >= 5, self.size[:, ::-1], self.size)


def read_headers(store: Store, infos: Sequence[ObjectInfo | None], what: str) -> Headers:
    """Read the header and the last bytes of every image.

    Args:
        store: Where the images lie.
        infos: The images; None for one that is not there.
        what: Name of the set, for the log.

    Raises:
        ParameterError: ``RFDETR_MAX_IMAGE_PIXELS`` is no number.
        InfrastructureError: A file cannot be read. A file with a bad content is no error here: see ``Headers.state``.
    """
    window, limit = window_of(store), pixel_limit()
    there = [info for info in infos if info is not None]
    found = map_files(
        store,
        there,
        lambda read, info: read_header(Source(read, info.size, window), limit),
        f"{what}: image headers",
    )
    return _columns(_in_place(found, infos))


def _in_place(found: Iterable[Header | None], infos: Sequence[ObjectInfo | None]) -> Iterator[Header]:
    """Yield a header for every image, also for those that are not there."""
    headers = iter(found)
    for info in infos:
        yield (next(headers) if info is not None else None) or _MISSING


def _columns(rows: Iterable[Header]) -> Headers:
    """Turn rows into columns."""
    headers = list(rows)
    return Headers(
        [header.kind for header in headers],
        np.array([(header.width, header.height) for header in headers], np.int64).reshape(-1, 2),
        np.array([header.orientation.value for header in headers], np.int64),
        np.array([header.unusual for header in headers], bool),
        [header.state for header in headers],
    )
