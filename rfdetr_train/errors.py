"""What can go wrong, with an exit code for each class of failure.

A message is an instruction: what, where, found against wanted, next step. The exit codes are the ones of
``docs/decisions/07-failures-have-classes.md``; the exit handler, the launcher and the CLI read them from here.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command and every training worker."""

    DONE = 0
    BAD_PARAMETERS = 2
    NOT_PROMOTED = 10
    BAD_DATA = 20
    PREEMPTED = 40
    OUT_OF_MEMORY = 50
    DIVERGED = 60
    INFRASTRUCTURE = 70

    @property
    def meaning(self) -> str:
        """One line for people."""
        return _MEANING[self]


_MEANING = {
    ExitCode.DONE: "done",
    ExitCode.BAD_PARAMETERS: "bad parameters: correct them and start again",
    ExitCode.NOT_PROMOTED: "trained, but not promoted",
    ExitCode.BAD_DATA: "bad data: correct the dataset and start again",
    ExitCode.PREEMPTED: "preempted: start the same run again",
    ExitCode.OUT_OF_MEMORY: "out of memory: do not retry with the same settings",
    ExitCode.DIVERGED: "diverged: the loss is no longer finite",
    ExitCode.INFRASTRUCTURE: "infrastructure: a process, a server or a disk failed",
}


class RfdetrTrainError(Exception):
    """Base of the errors that are meant for the user and shown without a traceback."""

    exit_code = ExitCode.INFRASTRUCTURE

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        """Keep the message, and the exit code of a failure that another process has classified already."""
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = ExitCode(exit_code)


class ParameterError(RfdetrTrainError):
    """A parameter is missing, unknown, of the wrong type, out of range or in conflict with another."""

    exit_code = ExitCode.BAD_PARAMETERS


class DatasetError(RfdetrTrainError):
    """The dataset is missing, of no known format, or has a finding of severity ``error``."""

    exit_code = ExitCode.BAD_DATA


class CheckpointError(RfdetrTrainError):
    """A checkpoint that the user named is missing, of the wrong kind or does not fit the run."""

    exit_code = ExitCode.BAD_PARAMETERS


class InfrastructureError(RfdetrTrainError):
    """A process, a server or a disk failed."""

    exit_code = ExitCode.INFRASTRUCTURE


class Preempted(RfdetrTrainError):
    """The process was told to stop; the same run can be started again."""

    exit_code = ExitCode.PREEMPTED


class Diverged(RfdetrTrainError):
    """The loss is no longer finite."""

    exit_code = ExitCode.DIVERGED
