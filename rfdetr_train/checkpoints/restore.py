"""Make the files of a commit the files of the output folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from rfdetr_train.checkpoints.commit import (
    Commit,
    commit_folder,
    link_or_copy,
    list_commits,
    read_commit,
    write_commit,
)
from rfdetr_train.checkpoints.files import JOURNAL, METRICS, checkpoint_files
from rfdetr_train.files import atomic_replace

_GROWING = (METRICS, JOURNAL)  # appended to in place: a link would change the commit


def restore(folder: Path, output_dir: Path) -> Commit:
    """Turn the output folder back, or forward, to a verified commit.

    Checkpoints that the commit does not name are of a time that was rolled back, and are removed; so are later
    commits, which did not verify. A process that is killed meanwhile finds the commit, and does the same again.

    Args:
        folder: The commit, in the output folder or elsewhere.
        output_dir: Output folder of the run.

    Raises:
        CheckpointError: The record of the commit is damaged.
    """
    commit = read_commit(folder)
    for other in list_commits(output_dir):
        if int(other.name) > commit.sequence:
            shutil.rmtree(other)
    if folder.resolve() != commit_folder(output_dir, commit.sequence).resolve():
        write_commit(output_dir, commit, [folder / entry.name for entry in commit.files])
    for entry in commit.files:
        with atomic_replace(output_dir / entry.name) as temporary:
            if entry.name in _GROWING:
                shutil.copyfile(folder / entry.name, temporary)
            else:
                link_or_copy(folder / entry.name, temporary)
    named = {entry.name for entry in commit.files}
    for path in [*checkpoint_files(output_dir), *(output_dir / name for name in _GROWING)]:
        if path.name not in named:
            path.unlink(missing_ok=True)
    return commit
