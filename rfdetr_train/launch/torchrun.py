"""Run the training worker under torchrun and translate its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rfdetr_train.errors import ExitCode
from rfdetr_train.launch.interrupts import forward
from rfdetr_train.training.job import Job, Outcome, read_outcome, write_job

AGENT = "rfdetr_train.launch.agent"
WORKER = "rfdetr_train.training.worker"
# Between the SIGTERM and the SIGKILL of a rank when the training is stopped: time to save. When a rank fails by itself,
# torch gives its neighbours its own 30 s.
SHUTDOWN_SECONDS = 25


def run(
    job: Job, *, processes: int, job_file: Path, on_start: Callable[[Callable[[], None]], None] = lambda stop: None
) -> Outcome:
    """Start torchrun, wait, and say how the training ended.

    torchrun writes to this process's own output, so its log streams and a terminal keeps its live bar.

    Args:
        job: What the workers are told.
        processes: Processes on this node.
        job_file: Where the job is written for them.
        on_start: Is given what stops the training, when it has begun.

    Returns:
        The outcome that a worker left, or what the end of torchrun itself tells.
    """
    write_job(job, job_file)
    running: list[subprocess.Popen[bytes]] = []

    def stop() -> None:
        # To torchrun alone: it ends its ranks itself.
        for process in running:
            process.send_signal(signal.SIGTERM)

    # The handlers first: a signal that comes while torchrun starts would leave it behind.
    with forward(stop) as signalled, start(command([str(job_file)], processes), _environment()) as process:
        running.append(process)
        on_start(stop)
        if signalled:
            stop()
        status = process.wait()
    return _outcome(status, read_outcome(Path(job.outcome_file)), signalled)


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the agent in a session of its own, so that a terminal's Ctrl-C reaches the launcher alone."""
    return subprocess.Popen(arguments, env=environment, start_new_session=True)


def command(arguments: Sequence[str], processes: int) -> list[str]:
    """The torchrun command for one node."""
    agent = [sys.executable, "-m", AGENT, "--standalone", f"--nproc-per-node={processes}"]
    return [*agent, f"--shutdown-timeout={SHUTDOWN_SECONDS}", "-m", WORKER, *arguments]


def _environment() -> dict[str, str]:
    # Unbuffered, or the lines of a pod log come in blocks of 8 kB.
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def _outcome(status: int, left: Outcome | None, signalled: Sequence[int]) -> Outcome:
    if status == 0 and left is not None:
        return left
    if signalled and (left is None or left.exit_code in (ExitCode.DONE, ExitCode.INFRASTRUCTURE, ExitCode.PREEMPTED)):
        # Also a rank that lost its neighbour, or was killed because it took too long to save: a consequence.
        told = "the training was stopped" if left is None or left.exit_code != ExitCode.PREEMPTED else left.message
        left = Outcome(ExitCode.PREEMPTED, f"{signal.Signals(signalled[0]).name}: {told}")
    if left is not None and left.exit_code != ExitCode.DONE:
        return left
    return Outcome(
        ExitCode.INFRASTRUCTURE,
        f"torchrun ended with status {status} and no training process said how it ended; see the log above.",
    )
