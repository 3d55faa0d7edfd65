"""One MLflow run for one training: adopted, continued or made here."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfdetr_train.tracking.server import SERVER_VARIABLE, connect, reachable, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_VARIABLE = "MLFLOW_RUN_ID"  # KFP injects it where its MLflow integration is on
CHECKPOINTS = "checkpoints"  # artifact folder of the checkpoint files
EVALUATION = "evaluation"  # artifact folder of the reports
MADE_HERE = "rfdetr.session"  # tag of the runs that this library made; its value names the process
_LONGEST_PARAM = 6000  # characters, MLflow's own limit
_LONGEST_TAG = 8000  # characters, MLflow's own limit
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run, named by plain values so that it can be handed to another process.

    Attributes:
        run_id: MLflow's id.
        tracking_uri: The tracking server, or a local database; not shown, it may hold a password.
        owned: Whether this library made the run and so ends it; a run that KFP injected is KFP's to end.
    """

    run_id: str
    tracking_uri: str = field(repr=False)
    owned: bool

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client for the server of the run."""
        return connect(self.tracking_uri)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags; a server that is away costs a warning."""
        with _tolerated("the tags"):
            write_tags(self.client, self.run_id, values)

    def log_metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Log metrics at a step; a server that is away costs a warning. Those of a training go through a Sender."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with _tolerated(f"the metrics of step {step}"):
            self.client.log_batch(self.run_id, metrics=[Metric(name, v, now, step) for name, v in values.items()])

    def log_files(self, files: Sequence[Path], folder: str) -> None:
        """Upload files to an artifact folder of the run."""
        for file in files:
            self.client.log_artifact(self.run_id, str(file), folder)

    def log_summary(self, name: str, data: bytes, metrics: Mapping[str, float], *, seconds: float = 30.0) -> bool:
        """Put a small text file and some figures into the run, within so many seconds; says whether they are there."""

        def log() -> None:
            self.client.log_text(self.run_id, data.decode(), name)
            self.log_metrics(metrics, step=0)

        return within(seconds, name, log)

    def artifact_uri(self, name: str, folder: str = CHECKPOINTS) -> str:
        """The address by which other steps name an artifact of this run."""
        return f"runs:/{self.run_id}/{folder}/{name}"


def write_params(client: MlflowClient, run_id: str, values: Mapping[str, Any]) -> None:
    """Log parameters that the run does not have yet.

    MLflow never changes one: what another attempt is given otherwise (more epochs) becomes a tag
    ``rfdetr.changed.<name>``.
    """
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    wanted = {name: without_credentials(str(value))[:_LONGEST_PARAM] for name, value in values.items()}
    client.log_batch(run_id, params=[Param(name, value) for name, value in wanted.items() if name not in known])
    changed = {name: value for name, value in wanted.items() if known.get(name, value) != value}
    write_tags(client, run_id, {f"rfdetr.changed.{name}": value for name, value in changed.items()})


def write_tags(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Set tags in one request."""
    from mlflow.entities import RunTag

    tags = [RunTag(name, without_credentials(value)[:_LONGEST_TAG]) for name, value in values.items()]
    client.log_batch(run_id, tags=tags)


def within(seconds: float, what: str, call: Callable[[], object]) -> bool:
    """Do something with MLflow for so long at most, in a thread of its own: a server may take a request and be silent.

    Returns:
        Whether it was done; a warning says why not.
    """
    failures: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # of MLflow, its artifact store or the network
            failures.append(error)

    thread = threading.Thread(target=run, name=f"mlflow: {what}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _log.warning("MLflow did not take %s within %g s.", what, seconds)
    elif failures:
        _log.warning("MLflow did not take %s: %s", what, without_credentials(str(failures[0])))
    return not thread.is_alive() and not failures


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """Let a server that is away cost a warning and not the training."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        _log.warning("MLflow did not take %s: %s", what, without_credentials(str(error)))


def download(uri: str, destination: Path) -> Path:
    """Fetch an artifact named ``runs:/<run id>/<path>`` to a local folder.

    Raises:
        InfrastructureError: When it cannot be had.
    """
    server = os.environ.get(SERVER_VARIABLE)
    with reachable(server or "the default MLflow store"):
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(artifact_uri=uri, dst_path=str(destination), tracking_uri=server))


def is_finished(uri: str, run_id: str) -> bool:
    """Whether a run ended as it should.

    Raises:
        InfrastructureError: When the tracking server does not answer or does not know the run.
    """
    with reachable(uri):
        return str(connect(uri).get_run(run_id).info.status) == "FINISHED"


def experiment_id(client: MlflowClient, name: str) -> str:
    """Find an experiment by its name, or make it."""
    from mlflow.exceptions import MlflowException

    existing = client.get_experiment_by_name(name)
    if existing is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifact_root(client.tracking_uri)))
        except MlflowException:
            existing = client.get_experiment_by_name(name)  # another training made it just now
            if existing is None:
                raise
    return str(existing.experiment_id)


def _artifact_root(uri: str) -> str | None:
    # A bare database has no artifact root of its own: MLflow would write to ./mlruns of whatever folder it runs in.
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").absolute().as_uri()
