"""Run the training worker under torchrun and translate its end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rfdetr_train.errors import ExitCode
from rfdetr_train.training.job import Job, Outcome, read_outcome, write_job

AGENT = "rfdetr_train.launch.agent"
WORKER = "rfdetr_train.training.worker"
_log = logging.getLogger(__name__)


def run(job: Job, *, processes: int, job_file: Path) -> Outcome:
    """Start torchrun, wait, and say how the training ended.

    torchrun writes to this process's own output, so its log streams and a terminal keeps its live bar.

    Args:
        job: What the workers are told.
        processes: Processes on this node.
        job_file: Where the job is written for them.

    Returns:
        The outcome that a worker left, or what the end of torchrun itself tells.
    """
    write_job(job, job_file)
    with subprocess.Popen(command([str(job_file)], processes), env=_environment(), start_new_session=True) as process:
        with _forwarded(process) as signalled:
            status = process.wait()
        return _outcome(status, read_outcome(Path(job.outcome_file)), signalled)


def command(arguments: Sequence[str], processes: int) -> list[str]:
    """The torchrun command for one node."""
    return [sys.executable, "-m", AGENT, "--standalone", f"--nproc-per-node={processes}", "-m", WORKER, *arguments]


def _environment() -> dict[str, str]:
    # Unbuffered, or the lines of a pod log come in blocks of 8 kB.
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


@contextmanager
def _forwarded(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass SIGTERM and SIGINT on to torchrun while it runs; gives the list of the signals that came."""
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        _log.warning("signal %s: passed on to the training", signal.Signals(number).name)
        # To torchrun alone: it ends its ranks itself, and a second signal in a rank would interrupt its saving.
        process.send_signal(signal.SIGTERM)

    previous = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _outcome(status: int, left: Outcome | None, signalled: Sequence[int]) -> Outcome:
    if signalled:
        name = signal.Signals(signalled[0]).name
        return Outcome(
            ExitCode.PREEMPTED,
            f"the training was stopped by {name}; continue it with resume=<output_dir>/checkpoint.pth.",
        )
    if status == 0 and left is not None:
        return left
    if left is not None and left.exit_code != ExitCode.DONE:
        return left
    return Outcome(
        ExitCode.INFRASTRUCTURE,
        f"torchrun ended with status {status} and no training process said how it ended; see the log above.",
    )
