"""Small parts of many files: page by page from a local disk, by a few bytes a request from anywhere else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from rfdetr_train.datasets.image_files.source import Read
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import ObjectInfo, Store, map_parallel
from rfdetr_train.storage.local import LocalStore

Result = TypeVar("Result")
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_MOST_AT_ONCE = 32


def window_of(store: Store) -> int:
    """Return how many bytes to read at once: a page costs a local disk no more than a byte does."""
    return 4096 if isinstance(store, LocalStore) else 256


def map_files(
    store: Store, infos: Sequence[ObjectInfo], function: Callable[[Read, ObjectInfo], Result], what: str
) -> list[Result | None]:
    """Apply a function to every file, many at once where that pays off.

    Args:
        store: Where the files lie.
        infos: The files, as the store has listed them.
        function: Is given what reads a range of the file.
        what: For the log.

    Returns:
        The results in order; None for a file that is no longer there.

    Raises:
        InfrastructureError: A file cannot be read. Whatever else the store raises passes too.
    """
    one = partial(_apply_locally, store) if isinstance(store, LocalStore) else partial(_apply, store)
    # Chunks, for a task of its own for each of 100,000 files is slow and takes memory; small ones, for all workers.
    size = min(max(len(infos) // (8 * store.parallelism), 1), _MOST_AT_ONCE)
    chunks = [infos[start : start + size] for start in range(0, len(infos), size)]
    progress = Progress(what, len(infos))
    results: list[Result | None] = []
    for part in map_parallel(lambda chunk: [one(function, info) for info in chunk], chunks, store.parallelism):
        for result in part:
            progress.advance(0)
            results.append(result)
    return results


def _apply(store: Store, function: Callable[[Read, ObjectInfo], Result], info: ObjectInfo) -> Result | None:
    """Apply a function to an object."""
    try:
        return function(partial(store.read_range, info.key), info)
    except FileNotFoundError:
        return None


def _apply_locally(
    store: LocalStore, function: Callable[[Read, ObjectInfo], Result], info: ObjectInfo
) -> Result | None:
    """Apply a function to a file, which is opened once; ``read_range`` would open it for every range."""
    folder, _, name = info.key.rpartition("/")
    path = f"{store.folder(folder)}/{name}"
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link, which the store follows with care
            return _apply(store, function, info)
        raise _unreadable(path, error) from None
    try:
        return function(lambda start, count: os.pread(descriptor, count, start), info)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)


def _unreadable(path: str, error: OSError) -> InfrastructureError:
    """Build the error of a file that is there and cannot be read."""
    return InfrastructureError(f"{path} cannot be read: {error.strerror}. Check its permissions and the disk.")
