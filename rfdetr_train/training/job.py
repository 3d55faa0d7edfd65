"""What the launcher tells the workers and what they tell it: two small JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rfdetr_train.errors import ExitCode
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.params import Parameters, parse


class Job(msgspec.Struct, frozen=True):
    """Everything that a worker needs; plain values.

    Attributes:
        parameters: As :meth:`Parameters.as_sent` gives them.
        dataset_dir: Staged COCO dataset.
        classes: Class names in label order.
        fingerprint: Of the dataset.
        sequence: Sequence of the commit that the run continues from; 0 for none.
        outcome_file: Where rank 0 or a failing rank says how it ended.
    """

    parameters: dict[str, Any]
    dataset_dir: str
    classes: list[str]
    fingerprint: str
    sequence: int
    outcome_file: str

    def parsed_parameters(self) -> Parameters:
        """The parameters, validated again in the worker."""
        return parse(self.parameters)


class Outcome(msgspec.Struct, frozen=True):
    """How a worker ended. torchrun itself only ever returns 0 or 1."""

    exit_code: int
    message: str
    completed_epochs: int = 0


def write_job(job: Job, path: Path) -> None:
    """Write the job for the workers."""
    atomic_write_bytes(path, msgspec.json.encode(job))


def read_job(path: Path) -> Job:
    """Read the job that the launcher wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Job)


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Say how this worker ended; the first failure stands, a later one is its consequence."""
    previous = read_outcome(path)
    if previous is None or previous.exit_code == ExitCode.DONE:
        atomic_write_bytes(path, msgspec.json.encode(outcome))


def read_outcome(path: Path) -> Outcome | None:
    """How the workers ended, or None when none could say."""
    return msgspec.json.decode(path.read_bytes(), type=Outcome) if path.is_file() else None
