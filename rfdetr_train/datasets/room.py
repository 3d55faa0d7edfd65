"""Whether images will fit on the disk, said before the first is brought."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rfdetr_train.datasets.staged import Missing
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import Conflict, Store
from rfdetr_train.storage.local import LocalStore


def check_room(folder: Path, batches: Sequence[tuple[Store, Sequence[Missing]]]) -> None:
    """Compare what is to be brought with what is free; hard links need nothing.

    Args:
        folder: Where it goes; the folder exists.
        batches: What is missing, by where it lies.

    Raises:
        InfrastructureError: It does not fit.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    needed = sum(_bytes(images, status.f_frsize) for _, images in batches)
    if needed > free:
        copies = [[image for image in images if image.action or not _links(store, images)] for store, images in batches]
        needed = sum(_bytes(images, status.f_frsize) for images in copies)
    if needed > free:
        count = sum(len(images) for _, images in batches)
        raise InfrastructureError(
            f"{folder}: the {count:,} images that are still to be brought need {needed / 1e9:.2f} GB, where "
            f"{free / 1e9:.2f} GB are free. Free {(needed - free) / 1e9:.2f} GB, or name a folder on a larger disk."
        )


def _bytes(images: Sequence[Missing], block: int) -> int:
    """Return what files need on a disk of such blocks."""
    return sum(-(-image.wanted.size // block) * block for image in images)


def _links(store: Store, images: Sequence[Missing]) -> bool:
    """Say whether images of a store become hard links: the first one is brought and shows it."""
    if not isinstance(store, LocalStore):
        return False
    first = images[0].wanted
    try:
        list(store.fetch_all([first], link=True))
        linked = first.destination.stat().st_nlink > 1
        first.destination.unlink()
    except (OSError, Conflict):
        return False
    return linked
