"""``.run.json`` in the output folder: which run its checkpoints belong to, and whether that is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rfdetr_train.errors import ParameterError
from rfdetr_train.files import atomic_write_bytes
from rfdetr_train.tracking.find import NOT_DEFINING, Identity, RunState

NAME = ".run.json"


class RunRecord(msgspec.Struct, frozen=True):
    """What the record says.

    Attributes:
        run_id: The MLflow run; "" while MLflow has not answered yet.
        parameters_digest: Of what defines the training.
        fingerprint: Of the dataset.
        parameters: All parameters, as sent.
        state: How it ended, or that it runs.
        kfp_run_id: Run of the pipeline; "" outside KFP.
    """

    run_id: str
    parameters_digest: str
    fingerprint: str
    parameters: dict[str, Any]
    state: RunState
    kfp_run_id: str = ""

    def is_open_to(self, identity: Identity) -> bool:
        """Whether another start goes on with it: the same training, unfinished or of the same run of a pipeline."""
        same_pipeline = bool(identity.kfp_run_id) and self.kfp_run_id == identity.kfp_run_id
        return self.is_same_training(identity) and (self.state != RunState.FINISHED or same_pipeline)

    def is_same_training(self, identity: Identity) -> bool:
        """Whether another start is an attempt of the same training."""
        return (self.parameters_digest, self.fingerprint) == (identity.parameters_digest, identity.fingerprint)

    def differences(self, parameters: dict[str, Any]) -> list[str]:
        """The defining parameters that another start gives otherwise."""
        names = [name for name in parameters if name not in NOT_DEFINING]
        return [
            f"{name} (there {self.parameters.get(name)!r}, here {parameters[name]!r})"
            for name in names
            if self.parameters.get(name) != parameters[name]
        ]


def write_run_record(output_dir: Path, record: RunRecord) -> None:
    """Write the record."""
    atomic_write_bytes(output_dir / NAME, msgspec.json.encode(record))


def read_run_record(output_dir: Path) -> RunRecord | None:
    """Read the record; None where there is none.

    Raises:
        ParameterError: When it is damaged.
    """
    path = output_dir / NAME
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except msgspec.DecodeError as error:
        raise ParameterError(
            f"output_dir: {path} is damaged ({error}). Remove it and continue with resume=<checkpoint>, or choose "
            "another output_dir."
        ) from None
