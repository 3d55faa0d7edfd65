"""Brings images to a local folder, many at once, with their sizes checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Conflict, Store, map_parallel


class Transfer(NamedTuple):
    """One image to bring.

    Attributes:
        key: Its key in the store.
        size: Bytes that it must have.
        destination: Where it goes.
        etag: Content tag that it must have; "" for any.
    """

    key: str
    size: int
    destination: Path
    etag: str = ""


def transfer(store: Store, work: Sequence[Transfer], what: str, *, link: bool) -> None:
    """Bring images; one that is there with the right size is left alone.

    Args:
        store: Where they lie.
        work: The images.
        what: Name of the set, for the log.
        link: Hard links will do.

    Raises:
        DatasetError: An image is missing or has another size; what was brought until then stays, each file whole.
    """
    progress = Progress(what, len(work))
    for size in map_parallel(lambda item: _bring(store, item, link), work, store.parallelism):
        progress.advance(size)


def _bring(store: Store, item: Transfer, link: bool) -> int:
    """Bring one image and return its size."""
    if _size(item.destination) == item.size:
        return 0
    try:
        store.fetch(item.key, item.destination, link=link, version=item.etag)
    except FileNotFoundError:
        raise DatasetError(
            f"The image {printable(item.key)} is no longer in {store.uri}. "
            "The dataset has changed since it was converted: convert it again."
        ) from None
    except Conflict:
        raise DatasetError(
            f"The image {printable(item.key)} in {store.uri} is not the one that was listed: its content tag differs. "
            "The dataset has changed since it was converted: convert it again."
        ) from None
    found = _size(item.destination)
    if found != item.size:
        item.destination.unlink()
        raise DatasetError(
            f"The image {printable(item.key)} in {store.uri} has {found:,} bytes, {item.size:,} wanted. "
            "The dataset has changed since it was converted: convert it again."
        )
    return item.size


def _size(path: Path) -> int:
    """Return the size of a file, -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
