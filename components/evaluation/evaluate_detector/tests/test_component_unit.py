import json
from types import SimpleNamespace

from mlflow import MlflowClient

from ..component import evaluate_detector


def test_checkpoint_of_the_mlflow_run_is_scored_reported_and_logged(trained, prepared, tmp_path, monkeypatch):
    parameters, result = trained
    uri = f"sqlite:///{result.output_dir}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    logged = {}
    evaluate_detector.python_func(
        parameters.as_sent(),
        SimpleNamespace(path=str(prepared)),
        result.checkpoint,
        SimpleNamespace(metadata={}, log_metric=logged.__setitem__),
        SimpleNamespace(path=str(tmp_path / "report")),
        SimpleNamespace(path=str(tmp_path / "evaluation")),
        result.run_id,
    )
    evaluation = json.loads((tmp_path / "evaluation").read_text())
    assert (evaluation["split"], evaluation["run_id"]) == ("test", result.run_id)
    assert evaluation["scores"]["image_count"] == 6
    assert logged["AP50"] == evaluation["scores"]["AP50"]
    assert {"AP/circle", "AP/square"} <= set(logged)
    assert (tmp_path / "report").read_text().startswith("<!")
    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(result.run_id).data.metrics["test/AP50"] == logged["AP50"]
    assert {artifact.path for artifact in client.list_artifacts(result.run_id, "evaluation")} == {
        "evaluation/evaluation.json",
        "evaluation/report.html",
    }
