"""The compiled pipeline on this machine, each step a process, with the official Nano class cut small."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rfdetr_train.errors import ExitCode

RFDETR_PIPELINES = Path(sys.executable).parent / "rfdetr-pipelines"
SMALL = {
    "num_windows": 1,
    "out_feature_indexes": [2],
    "hidden_dim": 64,
    "sa_nheads": 2,
    "ca_nheads": 4,
    "dec_layers": 1,
    "num_queries": 15,
    "group_detr": 1,
    "scale_jitter": False,
    "multi_scale": "off",
}


def run(tmp_path, dataset, *parameters):
    arguments = [
        f"dataset_dir={dataset}", "model=nano", "pretrain_weights=none", "device=cpu", "resolution=64", "epochs=1",
        "batch_size=4", "grad_accum_steps=1", "num_workers=0", "tensorboard=false", "use_ema=false",
        f"extra_train_args={json.dumps(SMALL)}",
    ]  # fmt: skip
    command = [RFDETR_PIPELINES, "run", "--local", "--workdir", tmp_path / "runs", *arguments, *parameters]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def statuses(tmp_path):
    return [path.read_text() for path in (tmp_path / "runs").glob("run-*/artifacts/*/report-status/report")]


def test_yolo_folder_becomes_a_trained_and_evaluated_detector(shapes, tmp_path):
    ended = run(tmp_path, shapes)
    assert ended.returncode == ExitCode.DONE, ended.stdout[-3000:] + ended.stderr[-3000:]
    (folder,) = (tmp_path / "runs").glob("run-*")
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert (evaluation["split"], evaluation["scores"]["image_count"]) == ("test", 6)
    objects = f"runs:/{evaluation['run_id']}/checkpoints/objects"
    assert re.fullmatch(rf"{objects}/[0-9a-f]{{64}}/checkpoint_best_\w+\.pth", evaluation["checkpoint"])
    assert (folder / "output" / "checkpoint.pth").is_file()
    (goodput,) = folder.glob("artifacts/*/train-rfdetr/goodput")
    assert "in 1 attempt(s)" in goodput.read_text()
    for shown in ("test mAP50", str(folder / "report.html"), str(folder / "output"), "mlflow ui"):
        assert shown in ended.stdout
    mlflow = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db")
    logged = mlflow.get_run(evaluation["run_id"])
    assert (logged.info.status, "test/AP" in logged.data.metrics) == ("FINISHED", True)
    assert re.fullmatch(r"\w+", logged.data.tags["rfdetr.kfp_run_id"])
    (status,) = statuses(tmp_path)
    assert "**SUCCEEDED**" in status
    # References, not bytes: no image passed through KFP.
    assert not [path for path in (folder / "artifacts").rglob("*") if path.suffix == ".jpg"]


def test_bad_data_fails_before_training_and_the_exit_handler_says_why(shapes, tmp_path):
    dataset = tmp_path / "data"
    shutil.copytree(shapes, dataset)
    next((dataset / "train" / "labels").glob("*.txt")).write_text("7 0.5 0.5 0.1 0.1\n")
    ended = run(tmp_path, dataset)
    assert ended.returncode == ExitCode.BAD_DATA
    (status,) = statuses(tmp_path)
    assert "**FAILED**" in status
    assert "exit code 20 (bad data" in status
    assert "class-id-out-of-range" in status
    assert not list((tmp_path / "runs").glob("run-*/artifacts/*/train-rfdetr"))
    assert not list((tmp_path / "runs").glob("run-*/output"))


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ("epochs=none", "epochs: 'none' is not allowed; wanted a whole number"),
        ("resolution=600", "Nearest valid values: 592, 608"),
        ("epoch=3", "epoch: unknown parameter. Did you mean 'epochs'?"),
    ],
)
def test_bad_parameter_is_refused_before_anything_starts(shapes, tmp_path, parameter, says):
    ended = run(tmp_path, shapes, parameter)
    assert ended.returncode == ExitCode.BAD_PARAMETERS
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs").exists()
