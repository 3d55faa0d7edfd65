"""Faults 8 and 44: a checkpoint that does not fit the run, or that would run code, is refused before it starts."""

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import s3server
import torch

from rfdetr_train.checkpoints.commit import RECORD, entry_of, list_commits, read_commit
from rfdetr_train.checkpoints.files import LATEST
from rfdetr_train.checkpoints.resumable import Wanted, check_resumable
from rfdetr_train.errors import CheckpointError, ExitCode
from rfdetr_train.storage import open_store


@pytest.fixture(scope="module")
def killed(new_training):
    """A training that was killed in its first epoch, after its commit of step 2."""
    training = new_training(epochs=2, grad_accum_steps=2)
    attempt = training.start(("hold_before_step", "FOLDER", 3, 0)).held().committed(2)
    attempt.launched.kill_all()
    assert attempt.wait() == -9
    return training


@pytest.fixture
def training(new_training, killed):
    """A training with the output folder of the killed one."""
    training = new_training(**{**killed.parameters, "output_dir": ""})
    training.parameters["output_dir"] = str(training.output)
    shutil.copytree(killed.output, training.output, dirs_exist_ok=True)
    return training


@pytest.fixture
def wanted(killed):
    commit = killed.newest()
    return Wanted(
        model_name="RFDETRNano",
        classes=["circle", "square"],
        fingerprint=commit.fingerprint,
        seed=0,
        epochs=2,
        batch_size=2,
        grad_accum_steps=2,
        world_size=1,
        early_stopping=False,
    )


def check(killed, wanted, **changes):
    check_resumable(list_commits(killed.output)[0] / LATEST, replace(wanted, **changes), same_run=False)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"epochs": 50},
        {"batch_size": 1, "grad_accum_steps": 4},
        {"batch_size": 1, "world_size": 2},
        {"grad_accum_steps": 1, "world_size": 2},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_resume_with_more_epochs_or_another_split_of_the_batch_is_allowed(killed, wanted, changes):
    check(killed, wanted, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 7}, r"seed: .* was trained with seed 0, but the run has 7"),
        ({"fingerprint": "abc"}, r"dataset_dir: .* fingerprint {fingerprint}, but this one has abc"),
        ({"classes": ["cat"]}, r"resume: .* on classes \['circle', 'square'\], but the dataset has \['cat'\]"),
        ({"classes": ["square", "circle"]}, r"\['circle', 'square'\], but the dataset has \['square', 'circle'\]"),
        ({"model_name": "RFDETRSmall"}, r"resume: .* holds RFDETRNano, but the run trains RFDETRSmall"),
        ({"batch_size": 4}, r"batch_size: .* 4 samples a step \(2 x 2 .* x 1 .*\), but the run has 8 \(4 x 2 x 1\)"),
        ({"world_size": 2}, r"batch_size: .* 4 samples a step \(2 x 2 .* x 1 .*\), but the run has 8 \(2 x 2 x 2\)"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_resume_of_something_else_is_refused_with_both_values(killed, wanted, changes, message):
    with pytest.raises(CheckpointError, match=message.replace("{fingerprint}", wanted.fingerprint)):
        check(killed, wanted, **changes)


def test_same_folder_with_another_seed_is_refused_with_both_values(killed):
    before = killed.newest()
    assert killed.run(seed=1) == ExitCode.BAD_PARAMETERS
    assert "seed (there 0, here 1)" in killed.attempts[-1].log
    assert killed.newest() == before


@pytest.fixture(params=["a pickle", "a zip file of torch"])
def payload(request, tmp_path):
    """A checkpoint that makes a folder when it is loaded without care; the folder."""
    canary = tmp_path / "was-run"

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    path = tmp_path / "evil.pth"
    if request.param == "a pickle":
        path.write_bytes(pickle.dumps(Payload()))
    else:
        torch.save({"state_dict": Payload()}, path)
    return path, canary


def assert_refused(training, payload, **arguments):
    assert training.run(**arguments) == ExitCode.BAD_PARAMETERS
    log = training.attempts[-1].log
    assert "is not a checkpoint that can be loaded safely" in log
    assert "training on cpu" not in log
    assert not payload[1].exists()


def test_payload_named_by_its_path_is_refused_and_not_run(new_training, payload):
    assert_refused(new_training(epochs=2, grad_accum_steps=2), payload, resume=str(payload[0]))


def test_payload_named_in_s3_is_refused_and_not_run(new_training, payload, s3_bucket):
    open_store(f"s3://{s3_bucket}").write("evil.pth", payload[0].read_bytes())
    arguments = {"resume": f"s3://{s3_bucket}/evil.pth", "env": s3server.environment()}
    assert_refused(new_training(epochs=2, grad_accum_steps=2), payload, **arguments)


def test_payload_in_the_newest_commit_with_the_right_digest_is_refused_and_not_run(training, payload):
    folder = list_commits(training.output)[0]
    place(payload[0], folder / LATEST)
    commit = read_commit(folder)
    files = [entry_of(folder / entry.name) for entry in commit.files]
    (folder / RECORD).write_bytes(msgspec.json.encode(msgspec.structs.replace(commit, files=files)))
    assert_refused(training, payload)


def test_payload_among_the_best_files_beside_a_named_checkpoint_is_refused_and_not_run(new_training, killed, payload):
    folder = payload[0].parent / "elsewhere"
    folder.mkdir()
    shutil.copyfile(list_commits(killed.output)[0] / LATEST, folder / LATEST)
    place(payload[0], folder / "checkpoint_best_ema.pth")
    assert_refused(new_training(epochs=2, grad_accum_steps=2), payload, resume=str(folder / LATEST))


def place(source: Path, destination: Path):
    destination.unlink(missing_ok=True)
    shutil.copyfile(source, destination)
