"""One real training under torchrun, and what it leaves."""

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch
from mlflow import MlflowClient
from rfdetr import RFDETR
from rfdetr.training import RFDETRModelModule

from rfdetr_train.checkpoints.files import BEST_EMA, BEST_REGULAR, BEST_TOTAL, LATEST, checkpoint_files
from rfdetr_train.checkpoints.load import completed_epochs, describe, load
from rfdetr_train.errors import CheckpointError, ExitCode, ParameterError
from rfdetr_train.launch.training import _with_local_weights, train
from rfdetr_train.training.configs import build_configs

FIVE = [LATEST, "checkpoint_2.pth", BEST_EMA, BEST_REGULAR, BEST_TOTAL]
STEPS = 10  # optimizer steps of an epoch: 20 images in batches of 2


def client(output_dir):
    return MlflowClient(tracking_uri=f"sqlite:///{output_dir}/mlflow.db")


def test_exactly_the_five_checkpoint_files_are_written(trained):
    _, result = trained
    assert sorted(path.name for path in result.output_dir.glob("*.pth")) == sorted(FIVE)
    assert not [path.name for path in result.output_dir.iterdir() if path.suffix in (".ckpt", ".tmp")]
    hidden = {path.name for path in result.output_dir.iterdir() if path.name.startswith(".")}
    assert hidden == {".commits", ".mlflow-session", ".progress.json", ".run.json"}


@pytest.mark.parametrize("name", FIVE)
def test_each_file_loads_back_through_rfdetr(trained, name):
    _, result = trained
    detector = RFDETR.from_checkpoint(result.output_dir / name)
    assert type(detector).__name__ == "RFDETRNano"
    assert detector.class_names == ["circle", "square"]
    assert detector.model_config.resolution == 64
    stored = load(result.output_dir / name, parameter="test")
    weights = stored.get("model") or {k.removeprefix("model."): v for k, v in stored["state_dict"].items()}
    loaded = detector.model.model.state_dict()
    assert all(torch.equal(loaded[key].cpu(), value) for key, value in weights.items())


def test_n_of_the_periodic_checkpoint_counts_completed_epochs(trained):
    _, result = trained
    assert completed_epochs(load(result.output_dir / "checkpoint_2.pth", parameter="test")) == 2
    assert load(result.output_dir / "checkpoint_2.pth", parameter="test")["global_step"] == 2 * STEPS
    assert completed_epochs(load(result.output_dir / LATEST, parameter="test")) == 3


def test_best_total_is_the_better_of_the_two(trained):
    _, result = trained
    total = load(result.output_dir / BEST_TOTAL, parameter="test")
    source = {"ema": BEST_EMA, "regular": BEST_REGULAR}[total["best_total_source"]]
    chosen = load(result.output_dir / source, parameter="test")
    assert all(torch.equal(total["model"][key], value) for key, value in chosen["model"].items())
    assert completed_epochs(total) == completed_epochs(chosen) in (1, 2, 3)
    with (result.output_dir / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/mAP_50_95"]]
    best = {
        "regular": max(float(r["val/mAP_50_95"]) for r in rows),
        "ema": max(float(r["val/ema_mAP_50_95"]) for r in rows),
    }
    assert total["best_total_source"] == ("ema" if best["ema"] > best["regular"] else "regular")


def test_one_mlflow_run_has_parameters_metrics_of_each_epoch_and_checkpoints(trained, prepared):
    parameters, result = trained
    mlflow = client(result.output_dir)
    run = mlflow.get_run(result.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert {name: run.data.params[name] for name in ("epochs", "lr", "resolution", "grad_accum_steps")} == {
        "epochs": "3",
        "lr": "0.0005",
        "resolution": "64",
        "grad_accum_steps": "1",
    }
    assert set(parameters.as_sent()) <= set(run.data.params)
    assert len(run.data.params["dataset_fingerprint"]) > 8
    for metric in ("val/mAP_50", "train/loss", "val/ema_mAP_50_95"):
        assert [entry.step for entry in mlflow.get_metric_history(result.run_id, metric)] == [1, 2, 3]
    artifacts = {artifact.path for artifact in mlflow.list_artifacts(result.run_id, "checkpoints")}
    assert {f"checkpoints/{name}" for name in FIVE} <= artifacts
    assert len(mlflow.search_runs([run.info.experiment_id])) == 1


def test_csv_and_tensorboard_are_written(trained):
    _, result = trained
    with (result.output_dir / "metrics.csv").open() as file:
        assert {row["epoch"] for row in csv.DictReader(file)} >= {"0", "1", "2"}
    assert list(result.output_dir.glob("events.out.tfevents.*"))


def test_new_run_into_the_folder_of_another_is_refused(trained, prepared):
    parameters, _ = trained
    with pytest.raises(ParameterError, match=r"holds the checkpoints of an earlier run .* resume="):
        train(parameters, prepared)


@pytest.mark.parametrize("same_folder", [True, False], ids=["same folder", "another folder"])
def test_resume_continues_weights_optimizer_ema_epoch_and_best_scores(trained, prepared, tmp_path, same_folder):
    parameters, result = trained
    before = load(result.output_dir / LATEST, parameter="test")
    output = tmp_path / "output"
    if same_folder:
        subprocess.run(["cp", "-r", result.output_dir, output], check=True)
    resume = (output if same_folder else result.output_dir) / LATEST
    again = parameters.model_copy(update={"epochs": 4, "output_dir": str(output), "resume": str(resume)})

    resumed = train(again, prepared)

    after = load(output / LATEST, parameter="test")
    assert (resumed.completed_epochs, completed_epochs(after), after["global_step"]) == (4, 4, 4 * STEPS)
    assert optimizer_steps(after) == optimizer_steps(before) + STEPS == 4 * STEPS
    assert after["lr_schedulers"][0]["last_epoch"] == 4 * STEPS
    assert ema_updates(after) == ema_updates(before) + STEPS
    assert best_scores(after)["_best_ema"] >= best_scores(before)["_best_ema"] > 0
    assert best_scores(after)["best_model_score"] >= best_scores(before)["best_model_score"]
    waited = early_stopping(before)["wait_count"]
    assert early_stopping(after)["best_score"] >= early_stopping(before)["best_score"] > 0
    assert early_stopping(after)["wait_count"] in (0, waited + 1)
    assert {LATEST, "checkpoint_4.pth", *FIVE[2:]} <= {path.name for path in checkpoint_files(output)}
    with (output / "metrics.csv").open() as file:
        assert {row["epoch"] for row in csv.DictReader(file)} >= {"0", "1", "2", "3"}


def optimizer_steps(checkpoint):
    return max(int(state["step"]) for state in checkpoint["optimizer_states"][0]["state"].values())


def ema_updates(checkpoint):
    (state,) = [s for s in checkpoint["callbacks"].values() if "average_model_state_dict" in s]
    return int(state["average_model_state_dict"]["n_averaged"])


def best_scores(checkpoint):
    (state,) = [s for s in checkpoint["callbacks"].values() if "_best_ema" in s]
    return {name: float(state[name]) for name in ("_best_ema", "best_model_score")}


def early_stopping(checkpoint):
    (state,) = [s for s in checkpoint["callbacks"].values() if "wait_count" in s]
    return state


def test_resume_with_nothing_left_to_train_is_refused(trained, prepared, tmp_path):
    parameters, result = trained
    update = {"resume": str(result.output_dir / LATEST), "output_dir": str(tmp_path / "o")}
    with pytest.raises(CheckpointError, match="has completed 3 epochs and epochs is 3"):
        train(parameters.model_copy(update=update), prepared)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", [BEST_TOTAL, BEST_EMA, BEST_REGULAR])
def test_resume_from_weights_without_optimizer_is_refused_with_the_way_out(trained, prepared, tmp_path, name):
    parameters, result = trained
    update = {"resume": str(result.output_dir / name), "output_dir": str(tmp_path / "o"), "epochs": 9}
    with pytest.raises(CheckpointError, match=r"is not a full checkpoint: no optimizer_states.*pretrain_weights="):
        train(parameters.model_copy(update=update), prepared)


def test_resume_of_another_model_is_refused(trained, prepared, tmp_path):
    parameters, result = trained
    update = {"resume": str(result.output_dir / LATEST), "output_dir": str(tmp_path / "o"), "model": "small"}
    with pytest.raises(CheckpointError, match="holds RFDETRNano, but the run trains RFDETRSmall"):
        train(parameters.model_copy(update=update), prepared)


def test_pretrain_weights_from_a_file_are_the_starting_weights(trained, make_parameters, staged, tmp_path):
    _, result = trained
    file = result.output_dir / BEST_TOTAL
    for named in (str(file), file.as_uri()):
        parameters = _with_local_weights(make_parameters(pretrain_weights=named), tmp_path)
        configs = build_configs(parameters, dataset_dir=staged, num_classes=2, devices=1, num_nodes=1)
        weights = RFDETRModelModule(*configs).model.state_dict()
        assert all(torch.equal(weights[key], value) for key, value in load(file, parameter="test")["model"].items())


def test_pretrain_weights_that_need_unpickling_are_refused_and_not_run(make_parameters, tmp_path):
    class Canary:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(CheckpointError, match=r"pretrain_weights: .*evil\.pth is not a checkpoint that can be loaded"):
        _with_local_weights(make_parameters(pretrain_weights=str(tmp_path / "evil.pth")), tmp_path)
    assert not (tmp_path / "was-run").exists()


def test_two_ranks_train_one_model_into_one_set_of_files(make_parameters, prepared, tmp_path, capfd):
    output = tmp_path / "output"
    parameters = make_parameters(output_dir=str(output), epochs=2, gpus_per_node=2, checkpoint_interval=1)

    result = train(parameters, prepared)

    assert result.completed_epochs == 2
    # 20 images over 2 ranks in batches of 2: 5 steps an epoch, where one rank alone makes 10.
    assert load(output / LATEST, parameter="test")["global_step"] == 2 * STEPS // 2
    names = {path.name for path in checkpoint_files(output)}
    assert names == {LATEST, "checkpoint_1.pth", "checkpoint_2.pth", BEST_EMA, BEST_REGULAR, BEST_TOTAL}
    log = "".join(capfd.readouterr())
    assert "world size 2" in log
    assert log.count("epoch 2/2  batch 5/5") == 1


def test_model_of_a_checkpoint_is_described(trained):
    _, result = trained
    file = result.output_dir / LATEST
    info = describe(load(file, parameter="test"), file, parameter="test")
    assert (info.model_name, info.classes, info.epoch) == ("RFDETRNano", ["circle", "square"], 3)


def test_sigterm_to_a_training_with_loader_processes_saves_the_step_and_ends_it_as_preempted(
    make_parameters, shapes, tmp_path
):
    parameters = make_parameters(output_dir=str(tmp_path / "output"), epochs=1000, num_workers=2)
    flags = [f"--{name}={value}" for name, value in parameters.as_sent().items() if name != "extra_train_args"]
    flags.append(f"--extra_train_args={json.dumps(parameters.extra_train_args)}")
    code = (
        "import sys; from rfdetr_train.launch import torchrun; torchrun.WORKER = 'tiny_worker'; "
        "from rfdetr_train.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "train", *flags]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=tmp_path, stderr=log) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "output" / LATEST).exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=90) == ExitCode.PREEMPTED
    (run,) = client(tmp_path / "output").search_runs(["1"])
    assert run.info.status == "KILLED"
    assert "SIGTERM" in run.data.tags["rfdetr.failure"]
    assert completed_epochs(load(tmp_path / "output" / LATEST, parameter="test")) >= 1
    log = (tmp_path / "log").read_text()
    assert "the training was stopped after step" in log
    assert "Traceback" not in log
