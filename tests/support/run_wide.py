"""What all test processes of one run share, made once, by the first that needs it (tests only)."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

_FOLDER = "RFDETR_TESTS_RUN_WIDE"


def once(name: str, make: Callable[[Path], Any]) -> Any:
    """Make something once in a run.

    Args:
        name: Of what is made; a folder of that name is given to ``make``.
        make: Makes it, and returns what its users need to know, as JSON can hold it.
    """
    folder = begin() / name
    with FileLock(f"{folder}.lock"):
        answer = folder / "answer.json"
        if not answer.exists():
            folder.mkdir(exist_ok=True)  # there when another test process failed to make it
            answer.write_text(json.dumps(make(folder)))
        return json.loads(answer.read_text())


def end_with_run(pid: int) -> None:
    """Kill a process group when the run ends."""
    (begin() / f"{pid}.group").touch()


@functools.cache
def begin() -> Path:
    """Make the folder of the run; the process that makes it is the last one of the run."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="tests-")
        atexit.register(_end, Path(os.environ[_FOLDER]), os.getpid())
    return Path(os.environ[_FOLDER])


def _end(folder: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork
    for group in folder.glob("*.group"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group.stem), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
