from types import SimpleNamespace

import pytest

from rfdetr_train import steps
from rfdetr_train.errors import ExitCode, InfrastructureError
from rfdetr_train.launch import account, training

from ..component import train_rfdetr


def train(parameters, prepared, folder, model=None):
    # As KFP delivers a dict: whole numbers as floats.
    sent = {name: float(value) if type(value) is int else value for name, value in parameters.as_sent().items()}
    goodput = SimpleNamespace(path=str(folder / "goodput"))
    model = model or SimpleNamespace(uri="", metadata={})
    return train_rfdetr.python_func(sent, SimpleNamespace(path=str(prepared)), "kfp-run-1", model, goodput)


def test_model_refers_to_the_checkpoint_in_the_mlflow_run_and_the_time_is_accounted_for(
    make_parameters, prepared, tmp_path
):
    parameters = make_parameters(output_dir=str(tmp_path / "output"), epochs=1)
    model = SimpleNamespace(uri="", metadata={})
    run_id, checkpoint = train(parameters, prepared, tmp_path, model)
    assert checkpoint == model.uri
    assert checkpoint.startswith(f"runs:/{run_id}/checkpoints/objects/")
    assert {name: model.metadata[name] for name in ("mlflow_run_id", "completed_epochs")} == {
        "mlflow_run_id": run_id,
        "completed_epochs": 1,
    }
    assert 0 < model.metadata["goodput"] < 1
    assert (tmp_path / "output" / "checkpoint_best_total.pth").is_file()
    shown = (tmp_path / "goodput").read_text()
    assert f"{model.metadata['goodput']:.1%} of" in shown
    assert "| validation |" in shown


def test_resume_from_a_file_that_is_not_there_ends_the_step_before_training(
    make_parameters, prepared, tmp_path, capsys
):
    parameters = make_parameters(output_dir=str(tmp_path / "output"), resume=str(tmp_path / "gone.pth"))
    with pytest.raises(SystemExit) as ended:
        train(parameters, prepared, tmp_path)
    assert ended.value.code == ExitCode.BAD_PARAMETERS
    assert "gone.pth does not exist" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()
    assert not (tmp_path / "goodput").exists()


MEASURED = """{"attempts": [], "wall": 100.0, "productive": 60.0, "ratio": 0.6, "repeated_steps": 3, "gpu_hours": 2.5,
"cost": 5.0, "seconds": {"steps": 60.0, "validation": 0, "checkpoint_stall": 0, "staging": 0, "start_up": 40.0,
"upload_wait": 0, "other": 0}}"""


@pytest.mark.parametrize("measured", [True, False])
def test_training_that_fails_shows_where_its_own_time_went_and_not_that_of_an_earlier_one(
    make_parameters, prepared, tmp_path, monkeypatch, capsys, measured
):
    file = tmp_path / account.GOODPUT_FILE
    file.write_text("{}")

    def fail(parameters, prepared_dir, *, kfp_run_id):
        assert kfp_run_id == "kfp-run-1"
        if measured:
            file.unlink()
            file.write_text(MEASURED)
        raise InfrastructureError("a rank was lost")

    monkeypatch.setattr(training, "train", fail)
    report = tmp_path / "goodput.md"
    with pytest.raises(SystemExit) as ended:
        steps.train(
            make_parameters(output_dir=str(tmp_path)).as_sent(),
            str(prepared),
            kfp_run_id="kfp-run-1",
            goodput=str(report),
        )
    assert ended.value.code == ExitCode.INFRASTRUCTURE
    assert report.exists() is measured
    if measured:
        assert "60.0% of 0:01:40" in report.read_text()
        assert "3 step(s) were repeated" in report.read_text()
        assert "cost 5.00" in report.read_text()
        assert report.read_text() in capsys.readouterr().out
