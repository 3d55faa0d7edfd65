from types import SimpleNamespace

import pytest

from rfdetr_train.errors import ExitCode

from ..component import train_rfdetr


def test_model_refers_to_the_checkpoint_in_the_mlflow_run(make_parameters, prepared, tmp_path):
    parameters = make_parameters(output_dir=str(tmp_path / "output"), epochs=1).as_sent()
    # As KFP delivers a dict: whole numbers as floats.
    sent = {name: float(value) if type(value) is int else value for name, value in parameters.items()}
    model = SimpleNamespace(uri="", metadata={})
    run_id, checkpoint = train_rfdetr.python_func(sent, SimpleNamespace(path=str(prepared)), model)
    assert checkpoint == model.uri == f"runs:/{run_id}/checkpoints/checkpoint_best_total.pth"
    assert model.metadata == {"mlflow_run_id": run_id, "completed_epochs": 1}
    assert (tmp_path / "output" / "checkpoint_best_total.pth").is_file()


def test_resume_from_a_file_that_is_not_there_ends_the_step_before_training(
    make_parameters, prepared, tmp_path, capsys
):
    parameters = make_parameters(output_dir=str(tmp_path / "output"), resume=str(tmp_path / "gone.pth")).as_sent()
    with pytest.raises(SystemExit) as ended:
        train_rfdetr.python_func(parameters, SimpleNamespace(path=str(prepared)), SimpleNamespace())
    assert ended.value.code == ExitCode.BAD_PARAMETERS
    assert "gone.pth does not exist" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()
