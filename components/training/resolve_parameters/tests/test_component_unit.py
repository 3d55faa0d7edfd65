import re
from types import SimpleNamespace

import pytest

from rfdetr_train.errors import ExitCode

from ..component import resolve_parameters


@pytest.fixture(autouse=True)
def _tracking_server(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")


def run(tmp_path, **values):
    report = SimpleNamespace(path=str(tmp_path / "plan.md"))
    return resolve_parameters.python_func(plan=report, **values), tmp_path / "plan.md"


def test_defaults_are_filled_in_and_the_plan_is_written(tmp_path):
    (parameters, gpus), plan = run(tmp_path, dataset_dir="d", resolution=560, gpus_per_node=2)
    assert (parameters["epochs"], parameters["grad_accum_steps"], parameters["resume"], gpus) == (100, 4, "", "2")
    assert "RF-DETR medium at 576 px" in plan.read_text()
    assert "560 does not fit model 'medium'; it runs at 576" in plan.read_text()


def test_cpu_training_asks_for_no_gpu(tmp_path):
    (_, gpus), _ = run(tmp_path, dataset_dir="d", device="cpu", gpus_per_node=2)
    assert gpus == "0"


def test_missing_tracking_server_is_named_before_a_gpu_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, dataset_dir="d")
    assert ended.value.code == ExitCode.INFRASTRUCTURE
    assert "MLFLOW_TRACKING_URI is not set" in capsys.readouterr().err


def test_mistake_ends_the_step_with_its_exit_code_and_without_a_plan(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, dataset_dir="d", resolution=600)
    assert ended.value.code == ExitCode.BAD_PARAMETERS
    assert re.search("Nearest valid values: 576, 608", capsys.readouterr().err)
    assert not (tmp_path / "plan.md").exists()
