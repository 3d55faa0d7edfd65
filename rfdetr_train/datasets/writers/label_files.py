"""Writes many small files into one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from rfdetr_train.datasets.table import Ints
from rfdetr_train.datasets.writers.rows import Rows

# Formatted at once: some 100 MB of Python numbers.
_ROWS = 1 << 16
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def write_label_files(folder: Path, names: Sequence[str], rows: Rows) -> None:
    """Write the label file of every image, an empty one where it has no rows.

    Args:
        folder: An empty folder.
        names: Name of the file of each image.
        rows: The rows of all of them.
    """
    write_files(folder, zip(names, _contents(rows, len(names)), strict=True))


def write_files(folder: Path, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
    """Write new files by name; through the folder's descriptor, which saves the kernel the way to it for each."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, content in files:
            file = os.open(name, _FLAGS, 0o666, dir_fd=directory)
            try:
                while len(content):
                    content = content[os.write(file, content) :]
            finally:
                os.close(file)
    finally:
        os.close(directory)


def _contents(rows: Rows, count: int) -> Iterator[memoryview]:
    """Yield the content of every label file."""
    starts = np.searchsorted(rows.image, np.arange(count + 1))
    for first, last in _chunks(starts):
        begin = int(starts[first])
        data = rows.text(begin, int(starts[last]))
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        places = np.concatenate([[0], ends])[starts[first : last + 1] - begin].tolist()
        view = memoryview(data)
        for start, end in pairwise(places):
            yield view[start:end]


def _chunks(starts: Ints) -> Iterator[tuple[int, int]]:
    """Yield ranges of images that have not too many rows together, of one image at least."""
    first, count = 0, len(starts) - 1
    while first < count:
        last = int(np.searchsorted(starts, starts[first] + _ROWS, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = last
