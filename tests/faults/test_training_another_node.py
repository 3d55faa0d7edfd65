"""A pod that is gone for good: its successor finds run and checkpoints in MLflow and S3, and nothing on its disk."""

import os
import shutil
import time

import pytest
from faults_training import assert_same_result
from mlflow import MlflowClient
from mlflow_server import start

from rfdetr_train.checkpoints.manifest import candidates, read_manifest
from rfdetr_train.checkpoints.published import fetch_published, parse_address
from rfdetr_train.errors import ExitCode
from rfdetr_train.launch.training import train
from rfdetr_train.tracking.artifacts import open_artifacts

PARAMETERS = {"epochs": 3, "checkpoint_interval": 1, "resume": "auto", "run": "nightly", "experiment": "spot"}


@pytest.fixture(scope="module")
def uninterrupted(new_training):
    training = new_training(**PARAMETERS)
    assert training.run() == ExitCode.DONE
    return training


@pytest.fixture(params=["s3", "proxied"])
def server(request, tmp_path, s3_bucket):
    """Tracking server or database of runs whose artifacts go straight to S3, or through the server."""
    if request.param == "proxied":
        return start("proxied").uri
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(tracking_uri=uri).create_experiment("spot", artifact_location=f"s3://{s3_bucket}/mlflow")
    return uri


def published(client, experiment="spot"):
    """Store of the one run there is, and its newest manifest; None while there is none."""
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    if not runs:
        return None
    store = open_artifacts(client.tracking_uri, runs[0].info.run_id)
    keys = candidates(store)
    return (store, read_manifest(store, keys[0])) if keys else None


def wait_for_publication(client, step):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = published(client)
        if found is not None and found[1].step >= step:
            return
        time.sleep(0.1)
    raise TimeoutError(f"step {step} was not published")


def test_training_continues_on_another_node_and_ends_as_if_nothing_had_been(new_training, uninterrupted, server):
    client = MlflowClient(tracking_uri=server)
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "RFDETR_"))}
    env = {**variables, "MLFLOW_TRACKING_URI": server}
    training = new_training(**PARAMETERS)

    first = training.start(env=env)
    wait_for_publication(client, step=14)  # after the first epoch, with its checkpoint_1.pth
    first.launched.kill_all()
    shutil.rmtree(training.output)
    training.output.mkdir()
    assert training.run(env=env) == ExitCode.DONE

    store, manifest = published(client)
    digests = {file.name: file.sha256 for file in manifest.files if file.name.endswith(".pth")}
    assert {f"checkpoint_{n}.pth" for n in (1, 2, 3)} <= set(digests)
    assert not (training.output / "checkpoint_1.pth").exists()  # of no use to the training, so it was not fetched
    for name in digests:
        if not (training.output / name).exists():
            fetch_published(store, name, "", training.output, parameter="checkpoint")
    assert_same_result(training, uninterrupted)
    (run,) = client.search_runs([client.get_experiment_by_name("spot").experiment_id])
    assert (run.info.status, run.data.tags["rfdetr.state"]) == ("FINISHED", "finished")
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3]
    assert parse_address(run.data.tags["rfdetr.checkpoint.checkpoint_3.pth"])[1] == digests["checkpoint_3.pth"]


def test_finished_training_of_the_same_name_is_not_continued(new_training, server):
    env = {**{n: v for n, v in os.environ.items() if n.startswith(("AWS_", "RFDETR_"))}, "MLFLOW_TRACKING_URI": server}
    client = MlflowClient(tracking_uri=server)
    before = {run.info.run_id for run in _runs(client)}
    scheduled = {**PARAMETERS, "run": "weekly", "epochs": 1}
    for _ in range(2):
        assert new_training(**scheduled).run(env=env) == ExitCode.DONE
    new = [run for run in _runs(client) if run.info.run_id not in before]
    assert [(run.info.run_name, run.info.status) for run in new] == [("weekly", "FINISHED")] * 2


def _runs(client):
    found = client.get_experiment_by_name("spot")
    return client.search_runs([found.experiment_id]) if found else []


def test_step_lost_after_its_training_had_ended_trains_no_more(make_parameters, prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    results = []
    for node in ("first", "second"):
        parameters = make_parameters(output_dir=str(tmp_path / node), epochs=1)
        results.append(train(parameters, prepared, kfp_run_id="one-run"))
    assert results[0].run_id == results[1].run_id
    assert results[0].checkpoint == results[1].checkpoint
    last = results[1].goodput.attempts[-1]
    assert (last.first_step, last.last_step, last.seconds.get("steps", 0.0)) == (0, 0, 0.0)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(results[0].run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(results[0].run_id, "train/loss")] == [1]
