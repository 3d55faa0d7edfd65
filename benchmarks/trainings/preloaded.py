"""Trainings as forks of one process that has torch, rfdetr and mlflow loaded; see ``tests/support/zygote.py``.

A start then costs no imports, which are 20 CPU seconds in each process of a real one, and dozens of starts fit into
minutes. A way of training is a function of ``ways``.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
SUPPORT = BENCHMARKS.parent / "tests" / "support"
sys.path[:0] = [str(BENCHMARKS), str(SUPPORT)]

import mlflow_server  # noqa: E402
import run_wide  # noqa: E402
import zygote  # noqa: E402

from trainings.kills import kill_tree  # noqa: E402
from trainings.setting import own_environment  # noqa: E402


@functools.cache
def start() -> Path:
    """Start the process that all are forked from; its folder holds the socket."""
    run_wide.begin()
    folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
    command = [sys.executable, "-W", "ignore", __file__, str(folder)]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, env={**own_environment(), **zygote.QUIET}, stdout=subprocess.PIPE, stderr=log)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # With all that is forked from it; a signal is to end this process by way of its exit too.
    atexit.register(kill_tree, process.pid)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the process to fork from did not start: {(folder / 'log').read_text()[-2000:]}")
    return folder


def launch(arguments: list[str], *, cwd: Path, way: str, env: dict[str, str]) -> zygote.Launched:
    """Start ``rfdetr-train ARGUMENTS``; its output is appended to ``log`` of the working folder.

    Args:
        arguments: Of the command line.
        cwd: Working folder.
        way: Name of a function of ``ways``.
        env: Variables to add.
    """
    zygote.start = start
    return zygote.launch(arguments, cwd=cwd, log=cwd / "log", env=env, patches=[(way,)])


def new_store(folder: Path) -> None:
    """Make an empty MLflow database in an output folder, and have the process to fork from ready by then."""
    start()
    mlflow_server.new_store(folder)


def _serve(folder: str) -> None:
    import tiny_encoder

    from trainings import ways

    ways.TINY, tiny_encoder.install = tiny_encoder.install, lambda: None  # the way of training decides
    sys.modules["zygote_patches"] = ways
    zygote._serve(folder)


if __name__ == "__main__":
    _serve(sys.argv[1])
