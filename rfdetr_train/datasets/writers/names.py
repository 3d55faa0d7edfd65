"""Names for images in one folder, each with a stem of its own."""

from __future__ import annotations

from collections.abc import Sequence

from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.yolo import IMAGE_EXTENSIONS
from rfdetr_train.errors import DatasetError

# Bytes of a stem: 255 that a file system takes, less extension, number, and what a temporary name adds.
_LONGEST = 200


def flat_names(names: Sequence[str]) -> list[str]:
    """Return a file name without folders for every image, each with a stem of its own.

    RF-DETR reads YOLO images from one folder, and finds labels by the stem alone.

    Raises:
        DatasetError: A name has an extension that YOLO readers do not take for an image.
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    flat = []
    for name in names:
        stem, dot, extension = name.replace("/", "__").rpartition(".")
        if not stem or f".{extension.lower()}" not in IMAGE_EXTENSIONS:
            known = ", ".join(sorted(IMAGE_EXTENSIONS))
            raise DatasetError(
                f"The image '{printable(name)}' has no extension that YOLO readers know ({known}). Rename it."
            )
        # What begins with a dot is hidden, and readers leave it out.
        free = _free(_short(f"_{stem}" if stem.startswith(".") else stem), taken, numbers)
        # Without regard to case: not every disk tells A.txt from a.txt.
        taken.add(free.casefold())
        flat.append(free + dot + extension)
    return flat


def label_name(image: str) -> str:
    """Return the name of the label file of an image."""
    return image.rpartition(".")[0] + ".txt"


def _short(stem: str) -> str:
    """Return a stem that fits into a file name."""
    return stem if len(stem) * 4 <= _LONGEST else stem.encode()[:_LONGEST].decode(errors="ignore")


def _free(stem: str, taken: set[str], numbers: dict[str, int]) -> str:
    """Return a stem, with a number where it is taken; ``numbers`` remembers the last one of every stem."""
    folded = stem.casefold()
    if folded not in taken:
        return stem
    number = numbers.get(folded, 0) + 1
    while f"{folded}_{number}" in taken:
        number += 1
    numbers[folded] = number
    return f"{stem}_{number}"
