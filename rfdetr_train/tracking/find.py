"""Which training this is, and whether an earlier attempt of it is there to be continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rfdetr_train.errors import ExitCode, ParameterError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Where, how long and with what help it trains: another value does not make it another training.
NOT_DEFINING = frozenset({
    "dataset_dir", "output_dir", "epochs", "checkpoint_interval", "checkpoint_every_steps", "checkpoint_every_seconds",
    "hang_timeout", "gpu_hour_price", "resume", "tensorboard", "wandb", "project", "run", "experiment", "eval_split",
    "num_workers", "launcher", "cpu", "memory",
})  # fmt: skip
_BATCH = ("batch_size", "grad_accum_steps", "gpus_per_node", "num_nodes")  # only their product defines a training


class RunState(StrEnum):
    """What the tag ``rfdetr.state`` of a run says: running, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"
    PREEMPTED = "preempted"
    FAILED = "failed"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out-of-memory"

    @classmethod
    def of(cls, exit_code: int) -> RunState:
        """The state that an exit code leaves."""
        return _STATES.get(exit_code, cls.FAILED)

    @property
    def status(self) -> str:
        """MLflow's own word for it."""
        return {"running": "RUNNING", "finished": "FINISHED", "preempted": "KILLED"}.get(self, "FAILED")

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that leaves this state."""
        return next((ExitCode(code) for code, state in _STATES.items() if state == self), ExitCode.INFRASTRUCTURE)


_STATES: dict[int, RunState] = {
    ExitCode.DONE: RunState.FINISHED,
    ExitCode.PREEMPTED: RunState.PREEMPTED,
    ExitCode.OUT_OF_MEMORY: RunState.OUT_OF_MEMORY,
    ExitCode.DIVERGED: RunState.DIVERGED,
}


def would_repeat(state: str, *, same_settings: bool) -> bool:
    """Whether a training that ended so ends so again.

    Args:
        state: How it ended, a :class:`RunState`.
        same_settings: The split of the batch, which decides how much memory it takes, is the same too.
    """
    return state == RunState.DIVERGED or (state == RunState.OUT_OF_MEMORY and same_settings)


@dataclass(frozen=True)
class Identity:
    """What makes two starts attempts of one training.

    Attributes:
        experiment: MLflow experiment.
        name: Name of the run; None lets MLflow choose.
        kfp_run_id: KFP's run (and task, where a pipeline trains more than once); "" outside KFP.
        parameters_digest: Of what defines the training.
        settings_digest: The same with the split of the batch, which decides how much memory it takes.
        fingerprint: Of the dataset.
    """

    experiment: str
    name: str | None
    kfp_run_id: str
    parameters_digest: str
    settings_digest: str
    fingerprint: str

    def tags(self) -> dict[str, str]:
        """The tags by which a later attempt finds the run."""
        return {
            "rfdetr.kfp_run_id": self.kfp_run_id,
            "rfdetr.parameters_digest": self.parameters_digest,
            "rfdetr.settings_digest": self.settings_digest,
            "rfdetr.dataset_fingerprint": self.fingerprint,
        }


def identify(
    parameters: Mapping[str, Any],
    *,
    fingerprint: str,
    kfp_run_id: str = "",
    excluded: Collection[str] = NOT_DEFINING,
) -> Identity:
    """Say which training some parameters are.

    Args:
        parameters: All of them, as ``Parameters.as_sent`` gives them.
        fingerprint: Of the dataset.
        kfp_run_id: As the component passes it; "" outside KFP.
        excluded: Names that do not define a training.
    """
    settings = {name: value for name, value in parameters.items() if name not in excluded}
    defining = {name: value for name, value in settings.items() if name not in _BATCH}
    images = 1
    for name in _BATCH:
        images *= int(parameters[name])
    return Identity(
        experiment=str(parameters["experiment"]),
        name=parameters["run"] or None,
        kfp_run_id=kfp_run_id,
        parameters_digest=digest({**defining, "effective_batch_size": images}),
        settings_digest=digest(settings),
        fingerprint=fingerprint,
    )


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of values as canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Earlier(NamedTuple):
    """What was found of earlier attempts.

    Attributes:
        run_id: The run to continue; None when there is none.
        failed: A run with the same parameters that ended in a way that would repeat itself; None when there is none.
        state: How that one ended.
        why: A sentence for the log.
    """

    run_id: str | None
    failed: str | None
    state: RunState | None
    why: str


def find_unfinished(client: MlflowClient, identity: Identity) -> Earlier:
    """Find the run that an earlier attempt of this training left unfinished.

    Inside KFP only runs of the same KFP run count, outside only those of the same experiment and name; both need the
    same parameters and dataset. The newest one decides: a finished one of that name is never continued, nor an older
    one behind it; one of the same KFP run is, which trains no more.
    """
    where = _where(identity)
    experiment = client.get_experiment_by_name(identity.experiment)
    if where is None or experiment is None:
        return Earlier(None, None, None, "there is no earlier run to look for: no KFP run, no name, or no experiment.")
    same = f"tags.`rfdetr.parameters_digest` = '{identity.parameters_digest}'"
    same += f" AND tags.`rfdetr.dataset_fingerprint` = {_quoted(identity.fingerprint)}"
    if run := _newest(client, experiment.experiment_id, f"{where} AND {same}"):
        return _judged(run, identity)
    if run := _newest(client, experiment.experiment_id, where):
        return Earlier(None, None, None, f"run {run.info.run_id} is another training: {_difference(run, identity)}.")
    return Earlier(None, None, None, "there is no earlier run of this training.")


def refused(run: Run, identity: Identity) -> Earlier | None:
    """What speaks against going on in a run that is given: it ended in a way that would repeat itself."""
    if run.data.tags.get("rfdetr.parameters_digest") != identity.parameters_digest:
        return None
    earlier = _judged(run, identity)
    return earlier if earlier.failed is not None else None


def _where(identity: Identity) -> str | None:
    if identity.kfp_run_id:
        return f"tags.`rfdetr.kfp_run_id` = {_quoted(identity.kfp_run_id)}"
    return f"attributes.run_name = {_quoted(identity.name)}" if identity.name else None


def _newest(client: MlflowClient, experiment_id: str, filter_string: str) -> Run | None:
    newest_first = ["attributes.start_time DESC"]
    found = client.search_runs([experiment_id], filter_string, max_results=1, order_by=newest_first)
    return found[0] if found else None


def _judged(run: Run, identity: Identity) -> Earlier:
    run_id, state = run.info.run_id, run.data.tags.get("rfdetr.state", "")
    same_settings = run.data.tags.get("rfdetr.settings_digest") == identity.settings_digest
    if run.info.status == "FINISHED" or state == RunState.FINISHED:
        if identity.kfp_run_id:
            # The step was lost between the end of its training and its own: the result is there and is taken again.
            return Earlier(run_id, None, None, f"run {run_id} of this KFP run is finished; its result is taken again.")
        return Earlier(None, None, None, f"run {run_id} of this training is finished; this is a new one.")
    if would_repeat(state, same_settings=same_settings):
        return Earlier(None, run_id, RunState(state), f"run {run_id} with the same parameters ended: {state}.")
    return Earlier(run_id, None, None, f"run {run_id} of this training is continued.")


def _difference(run: Run, identity: Identity) -> str:
    found = run.data.tags.get("rfdetr.dataset_fingerprint")
    if found != identity.fingerprint:
        return f"its dataset has the fingerprint {found}, this one {identity.fingerprint}"
    found = run.data.tags.get("rfdetr.parameters_digest")
    return f"its parameters have the digest {found}, these {identity.parameters_digest}"


def _quoted(text: str) -> str:
    """Quote a value for a filter of MLflow, which knows no escapes."""
    for mark in ("'", '"'):
        if mark not in text:
            return f"{mark}{text}{mark}"
    raise ParameterError(f"run: {text!r} holds both kinds of quotation marks; leave one of them out.")
