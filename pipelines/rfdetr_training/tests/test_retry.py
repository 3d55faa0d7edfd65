"""The training step as KFP retries it, when its processes are killed."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from kfp import dsl, local
from mlflow import MlflowClient

from rfdetr_pipelines.components.training.train_rfdetr import train_rfdetr
from rfdetr_train.checkpoints.commit import list_commits
from rfdetr_train.launch.torchrun import AGENT, WORKER
from rfdetr_train.params import parse

from .test_local_run import SMALL


@dsl.pipeline
def train_with_a_retry(prepared: str, parameters: dict):
    dataset = dsl.importer(artifact_uri=prepared, artifact_class=dsl.Dataset, reimport=True)
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    train_rfdetr(parameters=parameters, dataset=dataset.output, kfp_run_id=run_id).set_retry(1)


def descendants(pid):
    for children in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in children.read_text().split():
            yield int(child)
            yield from descendants(int(child))


def kill_the_ranks_after_a_commit(output, killed, done):
    """Send SIGKILL to every training process of this test, once."""
    while not done.wait(0.05):
        if list_commits(output):
            commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(os.getpid())}
            killed += [pid for pid, command in commands.items() if WORKER in command and AGENT not in command]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            return


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")  # of kfp, on images and resources
def test_retry_of_a_killed_training_step_continues_in_the_same_mlflow_run(shapes, prepared, tmp_path, monkeypatch):
    output, killed, done = tmp_path / "output", [], threading.Event()
    parameters = parse({
        "dataset_dir": str(shapes), "output_dir": str(output), "model": "nano", "pretrain_weights": "none",
        "device": "cpu", "resolution": 64, "epochs": 2, "batch_size": 2, "grad_accum_steps": 1, "num_workers": 0,
        "tensorboard": False, "use_ema": False, "checkpoint_every_steps": 2, "extra_train_args": SMALL,
    })  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "artifacts"))
    threading.Thread(target=kill_the_ranks_after_a_commit, args=(output, killed, done), daemon=True).start()
    try:
        train_with_a_retry(prepared=str(prepared), parameters=parameters.as_sent())
    finally:
        done.set()
    assert len(killed) == 1
    client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    (run,) = client.search_runs([client.get_experiment_by_name("rfdetr").experiment_id])
    assert (run.info.status, run.data.tags["rfdetr.state"]) == ("FINISHED", "finished")
    first, second = json.loads((output / "goodput.json").read_text())["attempts"]
    assert (first["exit_code"], second["exit_code"]) == (70, 0)
    assert 0 < second["first_step"] <= first["last_step"] < second["last_step"] == 20
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "val/mAP_50_95")] == [1, 2]
    (shown,) = Path(tmp_path / "artifacts").glob("*/train-rfdetr/goodput")
    assert "in 2 attempt(s)" in shown.read_text()
