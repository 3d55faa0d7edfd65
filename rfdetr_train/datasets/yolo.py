"""The files of YOLO datasets: which are images, and which label file belongs to which."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

# The same as in rfdetr.datasets.yolo.
IMAGE_EXTENSIONS = frozenset({".bmp", ".dng", ".jpg", ".jpeg", ".mpo", ".png", ".tif", ".tiff", ".webp"})
MAX_LABEL_BYTES = 16 << 20
"""A label file of an image with a thousand long polygons is a tenth of this."""
_ENDINGS = tuple(IMAGE_EXTENSIONS)
# What labelling tools, data files and Roboflow leave among the label files.
_NOT_LABELS = re.compile(
    r"(predefined_)?classes|notes|labels|names|train|training|trainval|val|valid|validation|test|license|requirements"
    r"|readme.*|\..*"
)


def images_below(roots: Sequence[str], keys: Iterable[str]) -> list[str]:
    """Return the keys of the images in folders and the folders below them, sorted; what is hidden is left out."""
    prefixes = tuple(f"{root}/" if root else "" for root in roots)
    return sorted(key for key in keys if key.startswith(prefixes) and is_image(key) and not _is_hidden(key))


def is_image(key: str) -> bool:
    """Whether the extension of a key is that of an image; a quarter of the time of splitting the key."""
    return key.lower().endswith(_ENDINGS)


def _is_hidden(key: str) -> bool:
    """Whether a file, or a folder above it, is hidden, or what macOS adds to an archive."""
    return key.startswith((".", "__MACOSX")) or "/." in key


def label_key(image: str, keys: Collection[str]) -> str:
    """Return the key of the label file of an image, "" where there is none.

    It is where the last folder ``images`` of the key is ``labels``, as in Ultralytics, or beside the image.

    Args:
        image: Key of the image.
        keys: Keys of the label files, or of everything.
    """
    beside = image.rpartition(".")[0] + ".txt"
    start = f"/{beside}".rfind("/images/")
    if start >= 0:
        swapped = f"{beside[:start]}labels{beside[start + 6 :]}"
        if swapped in keys:
            return swapped
    return beside if beside in keys else ""


def find_orphans(roots: Iterable[str], used: Collection[str], keys: Collection[str]) -> list[str]:
    """Return the label files that belong to no image, sorted.

    Args:
        roots: Keys of the folders of the images.
        used: Keys of the label files of the images of all splits.
        keys: Keys of everything.
    """
    folders = {label_folder(root) for root in roots} | {key.rpartition("/")[0] for key in used}
    prefixes = tuple(f"{folder}/" for folder in folders if folder)
    unused = [
        key for key in keys if key.endswith(".txt") and key not in used and _may_be_labels(key, prefixes, folders)
    ]
    if not unused:
        return []
    # An image that is in no split has labels too.
    others = {label_key(key, keys) for key in keys if is_image(key)}
    return sorted(key for key in unused if key not in others)


def label_folder(folder: str) -> str:
    """Return the folder in which the label files of the images of a folder usually are."""
    before, images, after = f"/{folder}/".rpartition("/images/")
    return f"{before}/labels/{after}".strip("/") if images else folder


def _may_be_labels(key: str, prefixes: tuple[str, ...], folders: Collection[str]) -> bool:
    """Whether a text file is where labels are, and no known file of another kind."""
    folder, name = posixpath.split(key)
    known = _NOT_LABELS.fullmatch(name.removesuffix(".txt").lower())
    # Below the root itself is everything.
    return not known and (key.startswith(prefixes) or folder in folders)
