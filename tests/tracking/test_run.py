"""One MLflow run: what it takes, where its artifacts lie, and a server that is not there."""

import pytest
from mlflow import MlflowClient
from mlflow_server import new_store

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.tracking.run import TrackedRun, experiment_id, is_finished


def test_metrics_and_files_lie_beside_the_database_of_the_run(tmp_path):
    client = MlflowClient(tracking_uri=new_store(tmp_path))
    made = client.create_run(experiment_id(client, "e")).info
    run = TrackedRun(made.run_id, client.tracking_uri, owned=True)
    run.log_metrics({"val/mAP_50": 0.5}, step=2)
    (tmp_path / "f.txt").write_text("x")
    run.log_files([tmp_path / "f.txt"], "checkpoints")
    assert [(m.value, m.step) for m in client.get_metric_history(run.run_id, "val/mAP_50")] == [(0.5, 2)]
    assert [artifact.path for artifact in client.list_artifacts(run.run_id, "checkpoints")] == ["checkpoints/f.txt"]
    assert made.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
    assert run.artifact_uri("f.txt") == f"runs:/{run.run_id}/checkpoints/f.txt"


def test_run_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InfrastructureError, match="MLFLOW_TRACKING_URI"):
        is_finished(new_store(tmp_path), "0" * 32)


def test_server_that_does_not_answer_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InfrastructureError, match=r"MLflow at http://127\.0\.0\.1:9") as caught:
        is_finished("http://user:hunter2@127.0.0.1:9", "0" * 32)
    assert "hunter2" not in str(caught.value)
