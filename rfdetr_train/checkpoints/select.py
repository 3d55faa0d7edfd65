"""Which checkpoint a run continues from: the newest that verifies, here or in the store.

Plain names such as ``checkpoint.pth`` in the store decide nothing: they may be lost, stale, or point to nothing.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from rfdetr_train.checkpoints.commit import RECORD, Commit, list_commits, read_commit, verify_commit, verify_file
from rfdetr_train.checkpoints.manifest import Manifest, candidates, object_key, read_manifest
from rfdetr_train.errors import CheckpointError, InfrastructureError
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.storage import Store, retrying

_PATIENCE = 300.0  # seconds with a store that does not answer
_log = logging.getLogger(__name__)
Log = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Restored:
    """A commit that verified.

    Attributes:
        folder: Where its files lie.
        commit: What it is.
        manifest: What it was fetched by; None when it was on the local disk.
        rejected: Keys of the manifests that did not verify.
    """

    folder: Path
    commit: Commit
    manifest: Manifest | None = None
    rejected: list[str] = field(default_factory=list)

    @property
    def progress(self) -> tuple[int, int]:
        """How far the training had come: completed epochs, optimizer steps."""
        return self.commit.epoch, self.commit.step


def select(output_dir: Path, store: Store, scratch: Path, *, log: Log = _log.warning) -> Restored | None:
    """Find the commit with the most progress, of those on the local disk and those in the store.

    Args:
        output_dir: Output folder of the run.
        store: The run's folder in the store.
        scratch: Folder for what is fetched, best on the disk of ``output_dir``.
        log: Told, for each that does not verify, its name and both digests.

    Returns:
        None when there is none at all, here or there.

    Raises:
        CheckpointError: There are some, but none that can be used.
        InfrastructureError: The store does not answer, or the disk is full.
    """
    rejected: list[str] = []
    try:
        local = newest_local(output_dir, log=log)
    except CheckpointError:
        if (remote := newest_good(store, scratch, log=log)) is None:
            raise
        return remote
    remote = newest_good(store, scratch, log=log, ahead_of=local.progress if local else None, rejected=rejected)
    found = choose(local, remote)
    return found and Restored(found.folder, found.commit, found.manifest, rejected)


def choose(local: Restored | None, remote: Restored | None) -> Restored | None:
    """The one with more progress; the local one when they are equal."""
    if local is None or remote is None:
        return local or remote
    return remote if remote.progress > local.progress else local


def newest_local(output_dir: Path, *, log: Log = _log.warning) -> Restored | None:
    """Find the newest commit on the local disk that verifies; None when there are no commits.

    Raises:
        CheckpointError: There are some, but none that can be used.
    """
    folders = list_commits(output_dir)
    for folder in folders:
        try:
            commit = read_commit(folder)
            verify_commit(folder, commit)
        except (CheckpointError, FileNotFoundError) as error:
            log(f"The commit {folder} is not used: {error}")
        else:
            return Restored(folder, commit)
    if folders:
        raise _none_usable(str(folders[0].parent), len(folders))
    return None


def newest_good(
    store: Store,
    folder: Path,
    *,
    log: Log = _log.warning,
    ahead_of: tuple[int, int] | None = None,
    rejected: list[str] | None = None,
) -> Restored | None:
    """Fetch the newest published commit that verifies, without its interval checkpoints.

    Args:
        store: The run's folder.
        folder: The commit becomes a folder in here.
        log: Told, for each that does not verify, its name and both digests.
        ahead_of: Progress of a good commit that is there already; those that came no further are not fetched.
        rejected: Collects the keys of those that do not verify.

    Returns:
        None when there is none, or none that came further.

    Raises:
        CheckpointError: There are some, but none that can be used.
        InfrastructureError: The store does not answer, or the disk is full.
    """
    rejected = [] if rejected is None else rejected
    keys = _patiently(lambda: candidates(store), f"The list of checkpoints of {store.uri}")
    for key in keys:
        try:
            manifest = _read(store, key)
            if ahead_of is None or manifest.progress > ahead_of:
                return Restored(_fetch(store, manifest, folder), manifest.commit(), manifest, rejected)
        except (CheckpointError, FileNotFoundError) as error:
            log(f"The checkpoint {store.uri}/{key} is not used: {error}")
            rejected.append(key)
    if rejected and ahead_of is None:
        raise _none_usable(store.uri, len(rejected))
    return None


def _read(store: Store, key: str) -> Manifest:
    return _patiently(lambda: read_manifest(store, key), key)


def _fetch(store: Store, manifest: Manifest, folder: Path) -> Path:
    """Make a commit folder of what a manifest names; there is none when something is missing or damaged."""
    commit = manifest.commit()
    target = folder / f"{commit.sequence:08d}"
    partial = folder / f".{target.name}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for file in manifest.files:
            if file not in manifest.intervals:
                _fetch_file(store, object_key(file), partial / file.name)
        for entry in commit.files:
            verify_file(partial / entry.name, entry)
        atomic_write_bytes(partial / RECORD, msgspec.json.encode(commit))
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _fetch_file(store: Store, key: str, path: Path) -> None:
    try:
        _patiently(lambda: store.fetch(key, path), key)
    except FileNotFoundError:
        raise CheckpointError(f"there is no {store.uri}/{key}.") from None
    except OSError as error:
        raise InfrastructureError(
            f"{store.uri}/{key} could not be brought to {path.parent.parent} ({error.strerror or error}). Make room "
            "there or name another output_dir, and start the same run again; nothing was changed."
        ) from error


def _patiently(call: Callable[[], Result], what: str) -> Result:
    return retrying(call, deadline=time.monotonic() + _PATIENCE, what=what)


def _none_usable(where: str, count: int) -> CheckpointError:
    return CheckpointError(
        f"resume: no usable checkpoint: {where} holds {count}, and each is damaged or cannot be read; the log names "
        "them. Nothing was started. Name another checkpoint with resume=<path or URI>, or start a run of another name."
    )
