"""The MLflow run: created or adopted, ended only when it is ours."""

import pytest
from mlflow import MlflowClient

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.tracking.run import open_run


def test_run_is_created_in_a_database_beside_the_output_and_ended(tmp_path):
    run = open_run(experiment="e", name="n", output_dir=tmp_path)
    run.log_params({"epochs": 3})
    run.log_metrics({"val/mAP_50": 0.5}, step=2)
    (tmp_path / "f.txt").write_text("x")
    run.log_files([tmp_path / "f.txt"], "checkpoints")
    run.finish("FINISHED")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.info.run_name, stored.data.params) == ("FINISHED", "n", {"epochs": "3"})
    assert [(m.value, m.step) for m in client.get_metric_history(run.run_id, "val/mAP_50")] == [(0.5, 2)]
    assert stored.info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
    assert run.artifact_uri("f.txt") == f"runs:/{run.run_id}/checkpoints/f.txt"


def test_injected_run_is_adopted_and_not_ended(tmp_path, monkeypatch):
    first = open_run(experiment="e", name=None, output_dir=tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", first.run_id)
    adopted = open_run(experiment="another", name="another", output_dir=tmp_path)
    adopted.finish("FINISHED")
    client = MlflowClient(tracking_uri=first.tracking_uri)
    assert adopted.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"


def test_injected_run_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(InfrastructureError, match="MLFLOW_TRACKING_URI"):
        open_run(experiment="e", name=None, output_dir=tmp_path)


def test_server_that_does_not_answer_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InfrastructureError, match=r"MLflow at http://127\.0\.0\.1:9") as caught:
        open_run(experiment="e", name=None, output_dir=tmp_path)
    assert "hunter2" not in str(caught.value)
