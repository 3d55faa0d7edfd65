"""torchrun itself, with the end of a failed rank told in a sentence in the place of its own traceback."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import main as torchrun

from rfdetr_train.errors import ExitCode
from rfdetr_train.lifeline import die_with_parent
from rfdetr_train.training.job import Outcome, read_job, read_outcome, write_outcome


def main() -> None:
    """Run torchrun's command line; its last argument is the file of the job."""
    die_with_parent()
    try:
        torchrun()
    except SignalException:
        sys.exit(1)  # the launcher knows of the signal, it passed it on
    except ChildFailedError as error:
        outcome_file = Path(read_job(Path(sys.argv[-1])).outcome_file)
        rank, failure = _first(error)
        if failure.exitcode < 0 and _is_consequence(read_outcome(outcome_file)):
            outcome_file.unlink()
        # Does not replace what the rank said itself.
        write_outcome(Outcome(ExitCode.INFRASTRUCTURE, _describe(rank, failure)), outcome_file)
        sys.exit(1)


def _first(error: ChildFailedError) -> tuple[int, ProcessFailure]:
    """The failure that the others followed: a kill, which comes before its effects, if it is not torchrun's own."""
    rank, first = error.get_first_failure()
    for other, failure in error.failures.items():
        # torchrun's times are whole seconds. It sends SIGTERM to the ranks that are left, and SIGKILL 30 s later.
        at_once = failure.timestamp <= first.timestamp + 1
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM and at_once:
            return other, failure
    return rank, first


def _is_consequence(outcome: Outcome | None) -> bool:
    """Whether a rank may only have said that the connection to the killed one is broken."""
    return outcome is not None and outcome.exit_code == ExitCode.INFRASTRUCTURE


def _describe(rank: int, failure: ProcessFailure) -> str:
    if failure.exitcode < 0:
        return (
            f"rank {rank} was killed by {failure.signal_name()}; SIGKILL without a cause in the log above often is the "
            "memory limit of the pod, which the parameter memory sets."
        )
    return f"rank {rank} ended with status {failure.exitcode}; the log above says why."


if __name__ == "__main__":
    main()
