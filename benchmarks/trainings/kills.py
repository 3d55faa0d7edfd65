"""Kill processes as a machine that goes away does: at once, and nothing below them survives."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and everything below it, parents first."""
    found = [pid]
    for each in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def ranks(pid: int) -> list[int]:
    """The training processes of a launcher; a forked one writes its name itself."""
    return [each for each in family(pid) if _name(each).startswith("rank")]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal; those that have ended do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pid: int) -> list[int]:
    """Kill a process and everything below it, and return who that was."""
    held: list[int] = []
    # Stopped first: a process that is forked between looking and killing would survive.
    while new := [each for each in family(pid) if each not in held]:
        kill(new, signal.SIGSTOP)
        held += new
    kill(held[::-1])
    return held


def wait_until_gone(pids: list[int], seconds: float = 60) -> bool:
    """Wait for processes to end; whether they did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
