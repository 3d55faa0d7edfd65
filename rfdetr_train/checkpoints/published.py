"""Fetch one published checkpoint by the address that people and steps write: ``runs:/<run id>/checkpoints/<name>``."""

from __future__ import annotations

import re
from pathlib import Path

from rfdetr_train.checkpoints.commit import FileEntry, verify_file
from rfdetr_train.checkpoints.files import is_published_name
from rfdetr_train.checkpoints.manifest import PublishedFile, candidates, object_key, read_manifest
from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage import Store

_ADDRESS = re.compile(r"runs:/(?P<run>[0-9A-Za-z]+)/checkpoints/(?:objects/(?P<sha256>[0-9a-f]{64})/)?(?P<name>[^/]+)")


def parse_address(uri: str) -> tuple[str, str, str] | None:
    """Take an address apart: run id, sha256 ("" for the newest of that name) and name; None for another kind of URI."""
    found = _ADDRESS.fullmatch(uri)
    if found is None or not is_published_name(found["name"]):
        return None
    return found["run"], found["sha256"] or "", found["name"]


def fetch_published(store: Store, name: str, sha256: str, folder: Path, *, parameter: str) -> Path:
    """Fetch a file and verify it.

    Args:
        store: The ``checkpoints`` folder of a run.
        name: The file.
        sha256: Of its content; "" for what the newest manifest says, plain names in the store decide nothing.
        folder: Where to put it.
        parameter: Name of the parameter that named it, for the error.

    Raises:
        CheckpointError: When it is not there, or is not what it should be.
    """
    path = folder / name
    try:
        file = _named(store, name) if not sha256 else None
        key = object_key(file) if file is not None else f"objects/{sha256}/{name}"
        store.fetch(key, path)
    except FileNotFoundError:
        raise CheckpointError(f"{parameter}: {store.uri} has no {name}. Check the run in MLflow.") from None
    verify_file(path, FileEntry(name, path.stat().st_size, file.sha256 if file is not None else sha256))
    return path


def _named(store: Store, name: str) -> PublishedFile:
    for key in candidates(store)[:1]:
        for file in read_manifest(store, key).files:
            if file.name == name:
                return file
    raise FileNotFoundError(name)
