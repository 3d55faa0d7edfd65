from types import SimpleNamespace

from rfdetr_train import status

from ..component import report_status


def run(tmp_path, state, error=""):
    final = SimpleNamespace(pipeline_job_resource_name="run-1", state=state, error_message=error)
    report_status.python_func(final, SimpleNamespace(path=str(tmp_path / "status.md")))
    return (tmp_path / "status.md").read_text()


def test_success_is_reported(tmp_path):
    assert run(tmp_path, "SUCCEEDED").startswith("# SUCCEEDED")


def test_recorded_failure_is_reported_with_step_exit_code_and_message(tmp_path, monkeypatch):
    monkeypatch.setenv(status.STATUS_FILE_VARIABLE, str(tmp_path / "failure.json"))
    status.record(status.Failure("detect_dataset", 20, "train: no boxes"))
    report = run(tmp_path, "FAILED", "Task failed.")
    assert "Step `detect_dataset` ended with exit code 20 (bad data" in report
    assert "train: no boxes" in report


def test_error_of_kfp_is_reported_when_no_step_could_record_one(tmp_path):
    assert "Pod was evicted" in run(tmp_path, "FAILED", "Pod was evicted")
