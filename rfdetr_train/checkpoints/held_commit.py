"""A commit on the local disk, held by hard links so that it stays while rank 0 prunes."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.checkpoints.commit import Commit, link_or_copy, list_commits, read_commit
from rfdetr_train.errors import CheckpointError

PUBLISHING = ".publishing"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldCommit:
    """A commit and the folder with links to its files."""

    commit: Commit
    folder: Path

    def release(self) -> None:
        """Remove the links."""
        shutil.rmtree(self.folder, ignore_errors=True)


def clear_held(output_dir: Path) -> None:
    """Remove what a killed process left."""
    shutil.rmtree(output_dir / PUBLISHING, ignore_errors=True)


def newest_waiting(output_dir: Path, after: int) -> Path | None:
    """The folder of the newest commit with a sequence after the given one."""
    return next((folder for folder in list_commits(output_dir) if int(folder.name) > after), None)


def hold_newest(output_dir: Path, after: int, unusable: set[str]) -> HeldCommit | None:
    """Hold the newest commit with a sequence after the given one; None when there is none.

    Args:
        output_dir: Output folder of the run.
        after: Sequence of the last that needs no publishing.
        unusable: Names of the folders that turned out damaged; updated.
    """
    for folder in list_commits(output_dir):
        if int(folder.name) <= after:
            return None
        if folder.name in unusable:
            continue
        try:
            return _hold(folder, output_dir / PUBLISHING / folder.name)
        except FileNotFoundError:
            continue  # pruned a moment ago, which happens to old ones only
        except CheckpointError as error:
            _log.warning("A commit is not published: %s", error)
            unusable.add(folder.name)
    return None


def _hold(folder: Path, held: Path) -> HeldCommit:
    shutil.rmtree(held, ignore_errors=True)
    held.mkdir(parents=True)
    try:
        commit = read_commit(folder)
        for entry in commit.files:
            link_or_copy(folder / entry.name, held / entry.name)
            size = (held / entry.name).stat().st_size
            if size != entry.bytes:
                raise CheckpointError(f"{folder / entry.name} has {size:,} bytes, {entry.bytes:,} wanted.")
    except BaseException:
        shutil.rmtree(held, ignore_errors=True)
        raise
    return HeldCommit(commit, held)
