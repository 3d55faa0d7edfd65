"""The MLflow run of a training while it trains: opened although the server may be away, and ended in bounded time."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.files import atomic_write_text
from rfdetr_train.tracking.dataset import TrackedDataset, write_dataset
from rfdetr_train.tracking.find import Earlier, Identity, RunState, find_unfinished, refused
from rfdetr_train.tracking.run import (
    MADE_HERE,
    RUN_VARIABLE,
    TrackedRun,
    experiment_id,
    within,
    write_params,
    write_tags,
)
from rfdetr_train.tracking.server import connect, is_final, not_answered, tracking_uri, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

TOKEN = ".mlflow-session"  # in the output folder
_LONGEST_PAUSE = 30.0  # seconds between two attempts to reach the server
_log = logging.getLogger(__name__)


class Session:
    """Opens the run of a training in the background and holds it as :attr:`run`."""

    def __init__(
        self,
        identity: Identity,
        output_dir: Path,
        *,
        params: Mapping[str, Any],
        dataset: TrackedDataset,
        continue_run: str = "",
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            identity: Which training this is.
            output_dir: Where the local database lies when no tracking server is named.
            params: To log once, when the run is open.
            dataset: What is trained on; logged once, when the run is open.
            continue_run: Id of a run that the user named (``resume=runs:/<id>``), to be continued whatever it is.
        """
        self.run: TrackedRun | None = None
        self._identity = identity
        self._uri = tracking_uri(output_dir)
        self._params, self._dataset = params, dataset
        self._continue_run = continue_run
        self._token = _kept_token(output_dir, identity)
        self._look = self._unattended = False
        self._error: BaseException | None = None
        self._settled, self._closed = threading.Event(), threading.Event()

    def start(self, wait_seconds: float, *, require: bool) -> None:
        """Open the run, or go on trying in the background.

        Args:
            wait_seconds: How long the server is waited for.
            require: An earlier attempt has to be looked for, so without an answer the training cannot start; without
                it a new run is made, or that of ``MLFLOW_RUN_ID`` or ``continue_run`` taken, whenever there is an
                answer.

        Raises:
            InfrastructureError: The server refuses, or does not answer in time and the answer is required.
            RfdetrTrainError: An earlier attempt with the same parameters ended in a way that would repeat itself.
        """
        # MLflow's default of 7 attempts in one call would be silent for minutes; whoever waits here tries again anyway.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        self._look = require
        threading.Thread(target=self._keep_opening, name="mlflow-open", daemon=True).start()
        self._settled.wait(wait_seconds)
        error = self._error
        if self.run is not None:
            return
        if isinstance(error, RfdetrTrainError):
            raise error
        if require or (error is not None and is_final(error)):
            self._closed.set()
            raise not_answered(self._uri, error or TimeoutError(f"no answer in {wait_seconds:g} s"))
        self._unattended = True
        _log.warning(
            "MLflow at %s does not answer; the training goes on without it, and everything waits on the local disk.",
            without_credentials(self._uri),
        )

    def finish(self, state: RunState, *, failure: str = "", seconds: float = 30.0) -> bool:
        """Say how the training ended, and end the run if it is ours.

        Args:
            state: How.
            failure: The message of the error that ended it.
            seconds: How long this may take.

        Returns:
            Whether MLflow knows.
        """
        self._closed.set()
        run = self.run
        if run is None:
            return False
        tags = {"rfdetr.state": state, **({"rfdetr.failure": failure[:500]} if failure else {})}

        def end() -> None:
            write_tags(run.client, run.run_id, tags)
            if run.owned:
                run.client.set_terminated(run.run_id, state.status)

        return within(seconds, f"the end of the run ({state})", end)

    def _keep_opening(self) -> None:
        pause = 0.5
        while not self._closed.is_set():
            try:
                run = self._open()
            except Exception as error:  # of MLflow, its store or the network
                self._error = error
                if is_final(error) or isinstance(error, RfdetrTrainError):
                    self._give_up(error)
                    return
                self._closed.wait(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._opened(run)
                return

    def _opened(self, run: TrackedRun) -> None:
        self.run = run
        _log.info("MLflow run %s in %s", run.run_id, without_credentials(run.tracking_uri))
        self._settled.set()

    def _give_up(self, error: BaseException) -> None:
        self._settled.set()
        if self._unattended:
            _log.warning("MLflow is back and refuses: %s", without_credentials(str(error))[:500])

    def _open(self) -> TrackedRun:
        client = connect(self._uri)
        run = self._chosen(client)
        tags = {"rfdetr.dataset_uri": self._dataset.uri, "rfdetr.state": RunState.RUNNING}
        write_tags(client, run.run_id, {**self._identity.tags(), **tags})
        write_params(client, run.run_id, self._params)
        write_dataset(client, run.run_id, self._dataset)
        return run

    def _chosen(self, client: MlflowClient) -> TrackedRun:
        injected = os.environ.get(RUN_VARIABLE)
        if injected:
            run = client.get_run(injected)
            repeated = refused(run, self._identity)
            if repeated is not None:
                raise _repeated(repeated)
            return TrackedRun(run.info.run_id, self._uri, owned=False)
        if self._continue_run:
            return self._continued(client, self._continue_run)
        if self._look:
            earlier = find_unfinished(client, self._identity)
            _log.info("MLflow: %s", earlier.why)
            if earlier.failed is not None:
                raise _repeated(earlier)
            if earlier.run_id is not None:
                return self._continued(client, earlier.run_id)
        return TrackedRun(self._made_once(client), self._uri, owned=True)

    def _continued(self, client: MlflowClient, run_id: str) -> TrackedRun:
        owned = MADE_HERE in client.get_run(run_id).data.tags
        if owned:
            client.update_run(run_id, status="RUNNING")
        return TrackedRun(run_id, self._uri, owned=owned)

    def _made_once(self, client: MlflowClient) -> str:
        """Make a run; one whose making was answered by a broken connection is found again and not made twice."""
        experiment = experiment_id(client, self._identity.experiment)
        if not self._made(client, experiment):
            tags = {**self._identity.tags(), MADE_HERE: self._token, "rfdetr.state": RunState.RUNNING.value}
            client.create_run(experiment, run_name=self._identity.name, tags=tags)
        first, *others = self._made(client, experiment)
        for other in others:
            client.delete_run(other)
        return first

    def _made(self, client: MlflowClient, experiment: str) -> list[str]:
        # Only one that runs: a finished training of the same folder has the same token.
        mine = f"tags.`{MADE_HERE}` = '{self._token}' AND tags.`rfdetr.state` = '{RunState.RUNNING}'"
        return [run.info.run_id for run in client.search_runs([experiment], mine, order_by=["start_time ASC"])]


def _repeated(earlier: Earlier) -> RfdetrTrainError:
    assert earlier.state is not None
    out_of_memory = earlier.state == RunState.OUT_OF_MEMORY
    advice = "halve batch_size and double grad_accum_steps" if out_of_memory else "lower lr or use other weights"
    return RfdetrTrainError(
        f"run {earlier.failed} with the same parameters and the same dataset ended: {earlier.state}. It would again: "
        f"{advice}, or start a new run on purpose under another run name, without resume.",
        earlier.state.exit_code,
    )


def _kept_token(output_dir: Path, identity: Identity) -> str:
    """A mark for the run that may be made, the same for every attempt of a training in its folder.

    A launcher that is killed after it made the run, and before its id was on the disk, would leave a run that nobody
    continues: seen in 1 of 50 kills of ``make bench-faults``.
    """
    mine = identity.parameters_digest[:16] + identity.fingerprint[:16]
    path = output_dir / TOKEN
    token = path.read_text(errors="replace") if path.is_file() else ""
    if not re.fullmatch(f"{mine}[0-9a-f]{{32}}", token):
        token = mine + uuid.uuid4().hex
        atomic_write_text(path, token)
    return token
