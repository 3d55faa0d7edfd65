"""Bring files to a local folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage.store import Conflict, Wanted, open_store


def fetch_file(uri: str, folder: Path, *, parameter: str) -> Path:
    """Fetch ``s3://bucket/path/name`` or ``file:///path/name`` to ``folder/name``.

    Args:
        uri: The file.
        folder: Where to put it.
        parameter: Name of the parameter that named it, for the error.

    Raises:
        CheckpointError: When nothing is there.
        ParameterError: When the URI is of no known kind.
    """
    parent, _, name = uri.rpartition("/")
    destination = folder / name
    try:
        open_store(f"{parent}/").fetch(name, destination)
    except FileNotFoundError:
        raise CheckpointError(f"{parameter}: there is no file at {uri}. Check the path.") from None
    return destination


def make_folders(wanted: Iterable[Wanted]) -> None:
    """Make the folders of all destinations, each once."""
    for folder in {item.destination.parent for item in wanted}:
        folder.mkdir(parents=True, exist_ok=True)


def check_size(uri: str, item: Wanted, found: int) -> None:
    """Refuse an object of another size than the wanted one.

    Raises:
        Conflict: It has another one.
    """
    if found != item.size:
        raise Conflict(f"{uri}/{item.key} has {found:,} bytes, {item.size:,} wanted.")
