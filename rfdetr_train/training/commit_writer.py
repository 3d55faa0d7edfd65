"""Write commits beside the training: one thread of rank 0, one commit at a time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rfdetr_train.checkpoints.commit import COMMITS, Commit, FileEntry, link_or_copy, write_commit
from rfdetr_train.checkpoints.files import (
    BEST_EMA,
    BEST_REGULAR,
    BEST_TOTAL,
    JOURNAL,
    LATEST,
    METRICS,
    is_interval_name,
)
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.files import atomic_replace, digest, sync
from rfdetr_train.training.snapshot import is_finite

_GROWING = (METRICS, JOURNAL)  # appended to in place, so copied at once; the others are only ever replaced


@dataclass(frozen=True)
class Moment:
    """When in the training a commit is made; see :class:`~rfdetr_train.checkpoints.commit.Commit`."""

    epoch: int
    step: int
    position: int
    interval_name: str | None = None
    stopped_early: bool = False


class CommitWriter:
    """Turns a snapshot of the state into ``checkpoint.pth`` and a commit of all files that are there then."""

    def __init__(self, output_dir: Path, *, sequence: int, fingerprint: str, world_size: int) -> None:
        """Start the thread.

        Args:
            output_dir: Output folder.
            sequence: Sequence of the last commit of the run; 0 for none.
            fingerprint: Of the dataset.
            world_size: Processes that train.
        """
        self._output_dir = output_dir
        self._previous = sequence
        self._fingerprint = fingerprint
        self._world_size = world_size
        self._entries: dict[tuple[int, int, int], str] = {}
        self._pool = ThreadPoolExecutor(1, "commit")
        self._running: Future[None] | None = None
        self._last: Commit | None = None

    @property
    def busy(self) -> bool:
        """Whether a commit is being written; the snapshot that it reads must stay as it is."""
        return self._running is not None and not self._running.done()

    @property
    def failed(self) -> bool:
        """Whether the last commit could not be written; ``wait`` raises the reason."""
        return self._running is not None and self._running.done() and self._running.exception() is not None

    def begin(self, state: dict[str, Any], moment: Moment) -> None:
        """Write a snapshot in the background; the one before must have ended.

        What else belongs to the commit is linked or copied now, so that it is of the same moment.

        Args:
            state: The snapshot.
            moment: When it was taken.
        """
        self.wait()
        staging = self._stage()
        self._running = self._pool.submit(self._write, state, moment, staging)

    def wait(self) -> None:
        """Wait for the commit that is being written.

        Raises:
            InfrastructureError: When it could not be written; the one before it is still good.
        """
        if self._running is None:
            return
        running, self._running = self._running, None
        running.result()

    def close(self) -> None:
        """End the thread, and add to the last commit what was written after it."""
        self.wait()
        self._pool.shutdown()
        if self._last is None or self._last.position:
            return
        staging = self._stage()
        try:
            link_or_copy(self._output_dir / LATEST, staging / LATEST)
            if self._describe(self._last, staging).files != self._last.files:
                self._commit(self._describe(self._last, staging), staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _stage(self) -> Path:
        folder = self._output_dir / COMMITS
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
        for path in self._companions():
            if path.name in _GROWING:
                shutil.copyfile(path, staging / path.name)
            else:
                link_or_copy(path, staging / path.name)
        return staging

    def _companions(self) -> Sequence[Path]:
        named = [self._output_dir / name for name in (BEST_EMA, BEST_REGULAR, BEST_TOTAL, *_GROWING)]
        intervals = [path for path in self._output_dir.glob("checkpoint_*.pth") if is_interval_name(path.name)]
        return [path for path in (*named, *sorted(intervals)) if path.is_file()]

    def _write(self, state: dict[str, Any], moment: Moment, staging: Path) -> None:
        names = [name for name in (LATEST, moment.interval_name) if name]
        try:
            if not is_finite(state["state_dict"]):
                return  # the last finite one stays; the loss says the same soon, and ends the training
            # By path: through a file object torch would take the interpreter lock for every block that it writes.
            torch.save(state, staging / LATEST)
            sync(staging / LATEST)
            for name in names[1:]:
                link_or_copy(staging / LATEST, staging / name)
            self._commit(moment, staging)
            for name in names:
                with atomic_replace(self._output_dir / name) as temporary:
                    link_or_copy(staging / name, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise InfrastructureError(
                f"output_dir: the checkpoint of step {moment.step} could not be written to {self._output_dir} "
                f"({str(error).splitlines()[0][:200]}). The one before it is whole. Make room or name another "
                "output_dir, and start the same run again."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _commit(self, moment: Moment | Commit, staging: Path) -> None:
        commit = self._describe(moment, staging)
        write_commit(self._output_dir, commit, [staging / entry.name for entry in commit.files])
        self._last = commit

    def _describe(self, moment: Moment | Commit, staging: Path) -> Commit:
        paths = sorted(staging.iterdir(), key=lambda path: (path.name != LATEST, path.name))
        return Commit(
            sequence=self._next_sequence(),
            epoch=moment.epoch,
            step=moment.step,
            position=moment.position,
            fingerprint=self._fingerprint,
            world_size=self._world_size,
            files=[self._entry(path) for path in paths],
        )

    def _next_sequence(self) -> int:
        return self._previous + 1 if self._last is None else self._last.sequence + 1

    def _entry(self, path: Path) -> FileEntry:
        """Describe a file; one that did not change since the last commit is not read again."""
        status = path.stat()
        key = (status.st_ino, status.st_size, status.st_mtime_ns)
        if path.name in _GROWING or key not in self._entries:
            self._entries[key] = digest(path)
        return FileEntry(path.name, status.st_size, self._entries[key])
