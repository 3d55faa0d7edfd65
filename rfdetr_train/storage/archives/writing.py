"""Write members to files, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rfdetr_train.files import temporary_name

# Not pathlib: it would cost as much as all else that is done for a small file.


def write_whole(destination: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file into a folder that is there; not at all where ``pieces`` raises."""
    with beside(destination) as temporary:
        write_pieces(temporary, pieces)
        os.replace(temporary, destination)  # noqa: PTH105


@contextmanager
def beside(destination: Path) -> Iterator[str]:
    """Give a free path beside a destination; a file there is removed where the block raises."""
    temporary = temporary_name(str(destination))
    try:
        yield temporary
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_pieces(path: str, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a new file."""
    with open(path, "xb") as file:  # noqa: PTH123
        file.writelines(pieces)
