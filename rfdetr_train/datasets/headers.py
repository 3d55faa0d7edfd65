"""Image sizes from the first bytes of the files; no image is decoded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rfdetr_train.datasets.inspect import MAX_EXAMPLES
from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import ObjectInfo, Store, map_parallel

# Nearly every header is in the first 16 KiB; a large preview or colour profile may come before it.
_HEAD_SIZES = (16 << 10, 512 << 10)
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "MPO")


class ImageSize(NamedTuple):
    """Width and height in pixels as RF-DETR decodes the file, which does not apply EXIF orientation."""

    width: int
    height: int


def read_sizes(store: Store, images: Sequence[ObjectInfo], what: str) -> Iterator[ImageSize]:
    """Yield the size of every image, in order.

    Args:
        store: Where the images lie.
        images: The images.
        what: Name of the set, for the log.

    Raises:
        DatasetError: At the end, if there are images whose header cannot be read.
    """
    progress = Progress(f"{what}: image headers", len(images))
    bad: list[str] = []
    sizes = map_parallel(lambda image: _read_size(store, image), images, store.parallelism)
    for image, size in zip(images, sizes, strict=True):
        progress.advance(0)
        if size is None:
            bad.append(image.key)
        else:
            yield size
    if bad:
        examples = ", ".join(printable(key) for key in bad[:MAX_EXAMPLES])
        raise DatasetError(
            f"unreadable-image ({len(bad):,}): the header of an image in {store.uri} cannot be read: {examples}. "
            f"Wanted {', '.join(_FORMATS)}. Save the image again, or remove it and its labels."
        )


def _read_size(store: Store, image: ObjectInfo) -> ImageSize | None:
    """Return the size of an image, None where its header cannot be read."""
    for count in _HEAD_SIZES:
        size = size_from_header(store.read_head(image.key, count))
        if size is not None or count >= image.size:
            return size
    # TIFF may keep its directory at the end of the file, WebP is only opened whole.
    return size_from_header(store.read(image.key))


def size_from_header(data: bytes) -> ImageSize | None:
    """Return the size of an image from its first bytes, None where they do not hold it."""
    # Here, because naming a format must not wait for Pillow.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return ImageSize(*image.size)
    except Exception:
        # Pillow's parsers raise what they like on cut-off or hostile bytes; each of it means the same here.
        return None
