"""A folder that appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rfdetr_train.datasets.manifest import MANIFEST_NAME, read_manifest
from rfdetr_train.errors import DatasetError, ParameterError


@contextmanager
def fresh_folder(destination: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of the destination when the block ends well.

    Raises:
        ParameterError: The destination holds something that is not an earlier result of ours.
    """
    _check_replaceable(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    temporary = destination.with_name(f".{destination.name}.{mark}.part")
    # Not tempfile.mkdtemp: its mode 0700 would lock out the user of the next step.
    temporary.mkdir()
    try:
        yield temporary
        _put_in_place(temporary, destination, mark)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(destination: Path) -> None:
    """Refuse to replace what we did not write."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise ParameterError(f"The output {destination} is not a folder. Name a new or empty folder.")
    if destination.is_dir() and any(destination.iterdir()):
        try:
            read_manifest(destination)
        except DatasetError:
            raise ParameterError(
                f"The output {destination} is not empty and holds no earlier result ({MANIFEST_NAME}). "
                "Name a new or empty folder."
            ) from None


def _put_in_place(temporary: Path, destination: Path, mark: str) -> None:
    """Rename a finished folder to its destination; an earlier result is removed after it."""
    if destination.is_dir() and any(destination.iterdir()):
        old = destination.with_name(f".{destination.name}.{mark}.old")
        destination.rename(old)
        temporary.rename(destination)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temporary.rename(destination)
