"""Commits of a few bytes, stores that are watched, and processes that publish; for the tests of checkpoints."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rfdetr_train.checkpoints.commit import Commit, entry_of, write_commit
from rfdetr_train.checkpoints.files import LATEST
from rfdetr_train.checkpoints.lease import Lease, acquire
from rfdetr_train.checkpoints.publish import Publisher
from rfdetr_train.storage import Store

SUPPORT = Path(__file__).parent


def make_commit(output_dir: Path, sequence: int, *, epoch: int = 0, **files: bytes) -> Commit:
    """Write a commit at step 10 x sequence.

    Args:
        output_dir: Output folder.
        sequence: Of the commit.
        epoch: Completed epochs.
        files: Content by name without its suffix; checkpoint.pth is made when it is not given.
    """
    contents = {LATEST: f"state {sequence}".encode()}
    contents |= {name + (".csv" if name == "metrics" else ".pth"): content for name, content in files.items()}
    sources = output_dir / ".sources"
    sources.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (sources / name).unlink(missing_ok=True)
        (sources / name).write_bytes(content)
    paths = [sources / name for name in contents]
    commit = Commit(sequence, epoch, sequence * 10, 0, "print", 1, files=[entry_of(path) for path in paths])
    write_commit(output_dir, commit, paths)
    return commit


def read_commit_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but not its record."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "commit.json"}


class WatchedStore:
    """A store that notes the calls, and asks ``hook`` before each."""

    def __init__(self, store: Store, hook: Callable[[str, str], None] = lambda method, key: None) -> None:
        """Watch a store; ``hook`` gets the method and its first argument."""
        self.store = store
        self.hook = hook
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        """Pass everything on."""
        value = getattr(self.store, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            key = arguments[0] if arguments else ""
            self.calls.append((name, key))
            self.hook(name, key)
            return value(*arguments, **keywords)

        return call

    def keys(self, method: str) -> list[str]:
        """The keys that a method was called with."""
        return [key for name, key in self.calls if name == method]


class Gate:
    """A hook that holds the first matching call until it is opened."""

    def __init__(self, method: str, ending: str = "") -> None:
        """Hold a method whose key ends so."""
        self.reached = threading.Event()
        self.open = threading.Event()
        self._method = method
        self._ending = ending

    def __call__(self, method: str, key: str) -> None:
        """Hold the call."""
        if method == self._method and key.endswith(self._ending) and not self.open.is_set():
            self.reached.set()
            assert self.open.wait(30)


def publisher(output_dir: Path, store: Any, lease: Lease | None = None, **options: Any) -> Publisher:
    """A publisher that has not begun, with a lease of its own."""
    lease = lease or acquire(store)
    options = {"protected": set, "poll": 0.02, "patience": 5.0, **options}
    return Publisher(output_dir, store, lease, run_id="run", parameters={"epochs": 3}, **options)


def publish_all(output_dir: Path, store: Any, *sequences: int, **files: bytes) -> None:
    """Publish commits one by one, by one job that ends in good order."""
    lease = acquire(store)
    publishing = publisher(output_dir, store, lease)
    publishing.start()
    for sequence in sequences:
        make_commit(output_dir, sequence, **files)
        result = publishing.flush(30)
        assert (result.published_sequence, result.reason) == (sequence, "")
    publishing.stop()
    lease.release()


def start_publishing_process(output_dir: Path, store_uri: str, *, hold: str, ttl: float = 30.0) -> subprocess.Popen:
    """Start a job in a process of its own; it says "held" when it comes to the call that it is to wait at.

    Args:
        output_dir: Output folder; every commit in it is published.
        store_uri: Where to.
        hold: Method and end of the key, such as "write_if 00000002.json"; it goes on when a line is sent to it.
        ttl: Of its lease, in seconds.
    """
    command = [sys.executable, str(SUPPORT / "publishing_process.py"), str(output_dir), store_uri, hold, str(ttl)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
