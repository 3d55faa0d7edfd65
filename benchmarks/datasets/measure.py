"""Runs commands, each in a fresh process, and measures what they use: CPU seconds, peak memory, seconds.

A process begins with the memory of the one that starts it, as far as the kernel's peak is concerned. So a small
launcher, without imports, stands between, starts the command and waits for it alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# argv: most CPU seconds, file for the errors, command
LAUNCHER = """
import os, resource, sys, time
limit, errors, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY, 0)]
begun = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - begun
print([os.waitstatus_to_exitcode(status), usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1000, wall])
"""
LIMIT = 600  # CPU seconds
_OUT_OF_TIME = (-24, -9)  # SIGXCPU, and what follows when it is caught


class Usage(NamedTuple):
    """What a process used: CPU seconds in itself and in the kernel, peak of its memory in MB, seconds."""

    user: float
    system: float
    megabytes: float
    wall: float

    @property
    def cpu(self) -> float:
        """CPU seconds."""
        return self.user + self.system


class Failed(Exception):
    """A command that ended with an error, or not in time."""


def measure(command: Sequence[str], *, env: Mapping[str, str] | None = None, limit: int = LIMIT) -> Usage:
    """Run a command.

    Args:
        command: An absolute path and its arguments.
        env: Variables beside those of this process.
        limit: CPU seconds that it may use.

    Raises:
        Failed: It ended with an error, or used all its time.
    """
    with tempfile.NamedTemporaryFile() as errors:
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(limit), errors.name, *command]
        done = subprocess.run(launcher, check=True, capture_output=True, text=True, env={**os.environ, **(env or {})})
        status, *usage = json.loads(done.stdout)
        if status in _OUT_OF_TIME:
            raise Failed(f"not done in {limit} CPU s")
        if status:
            lines = Path(errors.name).read_text(errors="replace").strip().splitlines()
            raise Failed(f"failed: {lines[-1] if lines else f'status {status}'}"[:150])
    return Usage(*usage)


def interleave(runs: Mapping[str, Callable[[], Usage]], repeats: int) -> dict[str, Usage | str]:
    """Run all in turn, again and again.

    Returns:
        The medians of each; or why there are none. What failed once is not run again.
    """
    found: dict[str, list[Usage]] = {who: [] for who in runs}
    failed: dict[str, str] = {}
    for _ in range(repeats):
        for who, run in runs.items():
            if who not in failed:
                try:
                    found[who].append(run())
                except Failed as error:
                    failed[who] = str(error)
    return {who: failed[who] if who in failed else _median(found[who]) for who in runs}


def _median(usages: list[Usage]) -> Usage:
    """Return the median of each figure."""
    return Usage(*(statistics.median(column) for column in zip(*usages, strict=True)))
