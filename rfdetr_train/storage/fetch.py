"""Bring one file, named by a URI, to a local folder."""

from __future__ import annotations

from pathlib import Path

from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage.store import open_store


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
