"""A folder, or a prefix in S3, that appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rfdetr_train.datasets.manifest import MANIFEST_NAME, holds_result, read_manifest
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.errors import ParameterError
from rfdetr_train.storage import Location, map_parallel, open_store

_BEGUN = f".{MANIFEST_NAME}.part"


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


@contextmanager
def fresh_prefix(destination: Location) -> Iterator[Path]:
    """Give a local folder whose files are written to S3 when the block ends well, the manifest last of all.

    An earlier result is no result from the start of the block on, and what it had beyond the new one is removed in
    the end. The block may write to the prefix itself, under the keys that its manifest names; where it fails, a mark
    stays by which the next call knows what was begun.

    Raises:
        ParameterError: The destination holds something that is not an earlier result of ours.
    """
    store = open_store(destination.uri)
    before = store.names()
    if before and MANIFEST_NAME not in before and _BEGUN not in before:
        raise ParameterError(
            f"The output {destination.uri} is not empty and holds no earlier result ({MANIFEST_NAME}). "
            "Name a new or empty prefix."
        )
    store.write(_BEGUN, b"")
    store.delete(MANIFEST_NAME)
    with tempfile.TemporaryDirectory(prefix="rfdetr-output-") as name:
        folder = Path(name)
        yield folder
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        prepared = read_manifest(folder)
        kept = {*files, *(image.key for split in prepared.splits.values() for image in split.images)}
        work = sorted(set(files) - {MANIFEST_NAME})
        progress = Progress(f"{destination.uri}: annotations", len(work))
        for _ in map_parallel(lambda key: store.put_file(key, folder / key), work, store.parallelism):
            progress.advance(0)
        list(map_parallel(store.delete, sorted({*before, _BEGUN} - kept), store.parallelism))
        store.put_file(MANIFEST_NAME, folder / MANIFEST_NAME)


def _check_replaceable(destination: Path) -> None:
    """Refuse to replace what we did not write."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise ParameterError(f"The output {destination} is not a folder. Name a new or empty folder.")
    if destination.is_dir() and any(destination.iterdir()) and not holds_result(destination):
        raise ParameterError(
            f"The output {destination} is not empty and holds no earlier result ({MANIFEST_NAME}). "
            "Name a new or empty folder."
        )


def _put_in_place(temporary: Path, destination: Path, mark: str) -> None:
    """Rename a finished folder to its destination; an earlier result is removed after it."""
    if destination.is_dir() and any(destination.iterdir()):
        old = destination.with_name(f".{destination.name}.{mark}.old")
        destination.rename(old)
        temporary.rename(destination)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temporary.rename(destination)
