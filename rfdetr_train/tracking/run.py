"""One MLflow run for one training: adopted when somebody made it already, else created here."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.tracking.server import SERVER_VARIABLE, tracking_uri, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECKPOINTS = "checkpoints"  # artifact folder of the checkpoint files
EVALUATION = "evaluation"  # artifact folder of the reports
_LONGEST_PARAM = 6000  # characters, MLflow's own limit
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run, named by plain values so that it can be handed to another process.

    Attributes:
        run_id: MLflow's id.
        tracking_uri: The tracking server, or a local database.
        owned: Whether this library created the run and so ends it; a run that KFP injected is KFP's to end.
    """

    run_id: str
    tracking_uri: str
    owned: bool

    @cached_property
    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri)

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters once, at the start; an adopted run may have some already, in a spelling of its own."""
        from mlflow.entities import Param

        params = [Param(name, str(value)[:_LONGEST_PARAM]) for name, value in values.items()]
        with _tolerated("the parameters"):
            self._client.log_batch(self.run_id, params=params)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        with _tolerated("the tags"):
            for name, value in values.items():
                self._client.set_tag(self.run_id, name, value)

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Log metrics at a step; those of a training are in metrics.csv too."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with _tolerated(f"the metrics of step {step}"):
            self._client.log_batch(self.run_id, metrics=[Metric(name, v, now, step) for name, v in values.items()])

    def log_files(self, files: Sequence[Path], folder: str) -> None:
        """Upload files to an artifact folder of the run."""
        for file in files:
            self._client.log_artifact(self.run_id, str(file), folder)

    def artifact_uri(self, name: str, folder: str = CHECKPOINTS) -> str:
        """The address by which other steps name an artifact of this run."""
        return f"runs:/{self.run_id}/{folder}/{name}"

    def finish(self, status: str) -> None:
        """End the run if it is ours.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if self.owned:
            with _tolerated("the end of the run"):
                self._client.set_terminated(self.run_id, status)


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """Let a server that is away cost a warning and not the training."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        _log.warning("MLflow did not take %s: %s", what, without_credentials(str(error)))


def open_run(*, experiment: str, name: str | None, output_dir: Path) -> TrackedRun:
    """Adopt the run of the environment (``MLFLOW_RUN_ID``, as KFP injects it) or create one.

    Args:
        experiment: Name of the experiment; made when it does not exist.
        name: Name of a created run; None lets MLflow choose.
        output_dir: Where the local database lies when no tracking server is named.

    Raises:
        InfrastructureError: When the tracking server does not answer.
    """
    uri = tracking_uri(output_dir)
    with _reachable(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        injected = os.environ.get("MLFLOW_RUN_ID")
        if injected:
            return TrackedRun(client.get_run(injected).info.run_id, uri, owned=False)
        run = client.create_run(_experiment_id(client, experiment, uri), run_name=name)
        return TrackedRun(run.info.run_id, uri, owned=True)


def download(uri: str, destination: Path) -> Path:
    """Fetch an artifact named ``runs:/<run id>/<path>`` to a local folder.

    Raises:
        InfrastructureError: When it cannot be had.
    """
    server = os.environ.get(SERVER_VARIABLE)
    with _reachable(server or "the default MLflow store"):
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(artifact_uri=uri, dst_path=str(destination), tracking_uri=server))


def _experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return str(existing.experiment_id)
    # A bare database has no artifact root of its own: MLflow would write to ./mlruns of whatever folder it runs in.
    root = None
    if uri.startswith("sqlite:///"):
        root = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").absolute().as_uri()
    return str(client.create_experiment(name, artifact_location=root))


@contextmanager
def _reachable(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise InfrastructureError(
            f"MLflow at {without_credentials(uri)} did not answer as wanted: {without_credentials(str(error))[:500]}. "
            f"Check {SERVER_VARIABLE} and the server."
        ) from None  # the error itself, and so its traceback, repeats the address with its password
