"""A commit: the checkpoint files of one moment, on the local disk, whole or not at all.

Rank 0 writes commits, the launcher publishes them, and a restart on the same disk continues from them. A commit is the
folder ``.commits/<sequence>`` of the output folder; it holds ``commit.json`` and the files that this names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rfdetr_train.checkpoints.files import is_published_name
from rfdetr_train.errors import CheckpointError
from rfdetr_train.files import atomic_write_bytes, digest, sync

COMMITS = ".commits"
RECORD = "commit.json"
KEPT = 2  # the newest may turn out damaged; each costs a full state of disk space


class FileEntry(msgspec.Struct, frozen=True):
    """A file of a commit or of a manifest.

    Attributes:
        name: One of the names of ``checkpoints.files``.
        bytes: Size.
        sha256: Of the content, 64 hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


class Commit(msgspec.Struct, frozen=True):
    """What ``commit.json`` says.

    Attributes:
        sequence: Counts the commits of a run, over all attempts.
        epoch: Completed epochs.
        step: Optimizer steps since the beginning.
        position: Samples of the current epoch that have been seen, over all ranks; 0 between two epochs.
        fingerprint: Of the dataset.
        world_size: Processes that trained.
        files: The files, ``checkpoint.pth`` first.
    """

    sequence: int
    epoch: int
    step: int
    position: int
    fingerprint: str
    world_size: int
    files: list[FileEntry]


def commit_folder(output_dir: Path, sequence: int) -> Path:
    """Where a commit lies."""
    return output_dir / COMMITS / f"{sequence:08d}"


def write_commit(output_dir: Path, commit: Commit, sources: Sequence[Path]) -> None:
    """Make a commit of files that never change in place; they become hard links. Older commits are pruned.

    Args:
        output_dir: Output folder of the run.
        commit: What to record.
        sources: The files, in the order of ``commit.files``.
    """
    folder = commit_folder(output_dir, commit.sequence)
    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for entry, source in zip(commit.files, sources, strict=True):
        link_or_copy(source, temporary / entry.name)
    atomic_write_bytes(temporary / RECORD, msgspec.json.encode(commit))
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that came as far and was rolled back
    temporary.replace(folder)
    sync(folder.parent)
    for old in list_commits(output_dir)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def list_commits(output_dir: Path) -> list[Path]:
    """The folders of the commits, newest first; those half-written by a killed process are not listed."""
    folder = output_dir / COMMITS
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit()), reverse=True)


def read_commit(folder: Path) -> Commit:
    """Read a commit; its files are not verified.

    Raises:
        CheckpointError: When it is damaged or names a file that is not ours.
        FileNotFoundError: When it has been pruned in the meantime.
    """
    data = (folder / RECORD).read_bytes()
    try:
        commit = msgspec.json.decode(data, type=Commit)
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{folder / RECORD} is damaged: {error}.") from None
    for entry in commit.files:
        if not is_published_name(entry.name):
            raise CheckpointError(f"{folder / RECORD} names {entry.name!r}, which is no file of a checkpoint.")
    return commit


def verify_commit(folder: Path, commit: Commit) -> None:
    """Compare every file of a commit with its record.

    Raises:
        CheckpointError: With the name and both digests of the first that differs.
    """
    for entry in commit.files:
        verify_file(folder / entry.name, entry)


def verify_file(path: Path, entry: FileEntry) -> None:
    """Compare one file with its record.

    Raises:
        CheckpointError: With both digests when it differs.
    """
    found = digest(path) if path.is_file() else "missing"
    if found != entry.sha256:
        raise CheckpointError(f"{path} is damaged: sha256 {found}, {entry.sha256} wanted.")


def entry_of(path: Path, name: str | None = None) -> FileEntry:
    """Describe a file."""
    return FileEntry(name or path.name, path.stat().st_size, digest(path))


def link_or_copy(source: Path, destination: Path) -> None:
    """Give a file that never changes in place a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
        sync(destination)
