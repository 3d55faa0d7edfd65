"""Brings images to a local folder, many at once, checked against what was listed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import closing

from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.errors import DatasetError, InfrastructureError
from rfdetr_train.storage import Conflict, Store, Wanted
from rfdetr_train.storage.parallel import map_unordered

CORES = os.cpu_count() or 1
_CHANGED = "The dataset has changed since it was converted: convert it again."
_FULL = (errno.ENOSPC, errno.EDQUOT)


def transfer(
    store: Store,
    wanted: Sequence[Wanted],
    what: str,
    *,
    link: bool,
    finish: Callable[[Wanted], None] | None = None,
    workers: int = CORES,
) -> None:
    """Bring images.

    Args:
        store: Where they lie.
        wanted: The images.
        what: Name of the set, for the log.
        link: Hard links will do.
        finish: What is done with each image that was brought.
        workers: With how many of them at once.

    Raises:
        DatasetError: An image is missing or is another one than the listed; what was brought until then stays.
        InfrastructureError: The disk is full.
    """
    progress = Progress(what, len(wanted), sum(item.size for item in wanted))

    def done(item: Wanted) -> int:
        if finish is not None:
            finish(item)
        return item.size

    brought = store.fetch_all(wanted, link=link)
    try:
        with closing(map_unordered(done, brought, workers if finish else 1)) as sizes:
            for size in sizes:
                progress.advance(size)
    except FileNotFoundError as error:
        if error.errno is not None:  # a path of this machine, and not an address
            raise
        raise DatasetError(f"The image {printable(str(error))} is no longer there. {_CHANGED}") from None
    except Conflict as error:
        raise DatasetError(
            f"An image is not the one that was listed: {printable(str(error), 2000)} {_CHANGED}"
        ) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InfrastructureError(
            f"{what}: the disk of {wanted[0].destination.parent} is full. Free some, or name a folder on a larger "
            "disk; what was brought stays, and the next call goes on."
        ) from None
