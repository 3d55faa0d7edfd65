"""torchrun itself, with the end of a failed rank told in a sentence in the place of its own traceback."""

from __future__ import annotations

import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import main as torchrun

from rfdetr_train.errors import ExitCode
from rfdetr_train.lifeline import die_with_parent
from rfdetr_train.training.job import Outcome, read_job, write_outcome


def main() -> None:
    """Run torchrun's command line; its last argument is the file of the job."""
    die_with_parent()
    try:
        torchrun()
    except SignalException:
        sys.exit(1)  # the launcher knows of the signal, it passed it on
    except ChildFailedError as error:
        # The times that torchrun compares are whole seconds: a rank that was killed comes before its neighbours.
        killed = [item for item in error.failures.items() if item[1].exitcode < 0]
        rank, failure = killed[0] if killed else error.get_first_failure()
        # Does not replace what the rank said itself.
        outcome = Outcome(ExitCode.INFRASTRUCTURE, _describe(rank, failure))
        outcome_file = Path(read_job(Path(sys.argv[-1])).outcome_file)
        if failure.exitcode < 0:  # it could say nothing; what another rank said of a broken connection is a consequence
            outcome_file.unlink(missing_ok=True)
        write_outcome(outcome, outcome_file)
        sys.exit(1)


def _describe(rank: int, failure: ProcessFailure) -> str:
    if failure.exitcode < 0:
        return (
            f"rank {rank} was killed by {failure.signal_name()}; SIGKILL without a cause in the log above often is the "
            "memory limit of the pod, which the parameter memory sets."
        )
    return f"rank {rank} ended with status {failure.exitcode}; the log above says why."


if __name__ == "__main__":
    main()
