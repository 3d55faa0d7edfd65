"""Which earlier run a training continues."""

import pytest
from mlflow import MlflowClient
from mlflow_server import new_store

from rfdetr_train.errors import ExitCode, ParameterError
from rfdetr_train.params import RUN_PARAMETERS, TRAINING_PARAMETERS, parse
from rfdetr_train.tracking.find import NOT_DEFINING, RunState, find_unfinished, identify


@pytest.fixture
def client(tmp_path):
    return MlflowClient(tracking_uri=new_store(tmp_path))


def identity(kfp_run_id="", fingerprint="f" * 64, **changes):
    values = parse({"dataset_dir": "d", "run": "nightly", "experiment": "e", **changes}).as_sent()
    return identify(values, fingerprint=fingerprint, kfp_run_id=kfp_run_id)


def made(client, training, state, start_time=None):
    """A run as an attempt left it."""
    experiment = client.get_experiment_by_name("e")
    where = experiment.experiment_id if experiment else client.create_experiment("e")
    run = client.create_run(where, start_time=start_time, run_name=training.name, tags=training.tags())
    client.set_tag(run.info.run_id, "rfdetr.state", state)
    if state != RunState.RUNNING:
        client.set_terminated(run.info.run_id, RunState(state).status)
    return run.info.run_id


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.PREEMPTED, RunState.FAILED])
@pytest.mark.parametrize("kfp_run_id", ["", "2f7e-run/train"])
def test_unfinished_run_of_the_same_training_is_continued(client, state, kfp_run_id):
    run_id = made(client, identity(kfp_run_id), state)
    found = find_unfinished(client, identity(kfp_run_id, epochs=500, output_dir="elsewhere", resume="auto"))
    assert (found.run_id, found.failed) == (run_id, None)


def test_finished_run_is_never_continued_nor_an_older_one_behind_it(client):
    made(client, identity(), RunState.PREEMPTED, start_time=1000)
    finished = made(client, identity(), RunState.FINISHED, start_time=2000)
    found = find_unfinished(client, identity())
    assert found.run_id is None
    assert f"{finished} of this training is finished" in found.why


def test_finished_run_of_the_same_kfp_run_is_taken_again(client):
    finished = made(client, identity("kfp-1"), RunState.FINISHED)
    assert find_unfinished(client, identity("kfp-1")).run_id == finished
    assert find_unfinished(client, identity("kfp-2")).run_id is None


def test_newest_unfinished_run_is_continued(client):
    made(client, identity(), RunState.FAILED, start_time=1000)
    newest = made(client, identity(), RunState.PREEMPTED, start_time=2000)
    made(client, identity(lr=0.5), RunState.PREEMPTED, start_time=3000)
    assert find_unfinished(client, identity()).run_id == newest


@pytest.mark.parametrize("kfp_run_id", ["", "2f7e"])
def test_other_parameters_or_dataset_are_not_continued_and_the_difference_is_said(client, kfp_run_id):
    run_id = made(client, identity(kfp_run_id), RunState.PREEMPTED)
    other = identity(kfp_run_id, lr=0.5)
    found = find_unfinished(client, other)
    assert (found.run_id, run_id in found.why, other.parameters_digest in found.why) == (None, True, True)
    found = find_unfinished(client, identity(kfp_run_id, fingerprint="0" * 64))
    assert (found.run_id, "0" * 64 in found.why and "f" * 64 in found.why) == (None, True)


def test_inside_kfp_the_name_does_not_count_and_outside_a_name_is_needed(client):
    made(client, identity("first"), RunState.PREEMPTED)
    assert find_unfinished(client, identity("second")).run_id is None
    assert find_unfinished(client, identity(run="")).run_id is None
    assert find_unfinished(client, identity(experiment="unknown")).run_id is None


def test_divergence_is_reported_for_the_same_parameters_however_the_batch_is_split(client):
    run_id = made(client, identity(batch_size=4, grad_accum_steps=4), RunState.DIVERGED)
    for split in ({}, {"batch_size": 2, "grad_accum_steps": 8}, {"batch_size": 2, "gpus_per_node": 2}):
        found = find_unfinished(client, identity(**split))
        assert (found.run_id, found.failed, found.state) == (None, run_id, RunState.DIVERGED)
    assert find_unfinished(client, identity(lr=1e-6)).failed is None


def test_out_of_memory_is_reported_for_the_same_split_of_the_batch_and_another_split_continues(client):
    run_id = made(client, identity(batch_size=4, grad_accum_steps=4), RunState.OUT_OF_MEMORY)
    assert find_unfinished(client, identity()).failed == run_id
    assert find_unfinished(client, identity(batch_size=2, grad_accum_steps=8)).run_id == run_id


def test_names_with_quotation_marks_are_found_or_refused(client):
    run_id = made(client, identity(run="Anna's run"), RunState.FAILED)
    made(client, identity(run="other"), RunState.FAILED)
    assert find_unfinished(client, identity(run="Anna's run")).run_id == run_id
    with pytest.raises(ParameterError, match="both kinds of quotation marks"):
        find_unfinished(client, identity(run="a'\" OR attributes.run_name != ''"))


def test_excluded_names_are_parameters_and_what_trains_is_none_of_them():
    assert set(TRAINING_PARAMETERS + RUN_PARAMETERS) >= NOT_DEFINING
    assert {"lr", "lr_encoder", "seed", "model", "resolution", "weight_decay", "extra_train_args"}.isdisjoint(
        NOT_DEFINING
    )


@pytest.mark.parametrize(
    ("code", "state", "status"),
    [
        (ExitCode.DONE, "finished", "FINISHED"),
        (ExitCode.PREEMPTED, "preempted", "KILLED"),
        (ExitCode.OUT_OF_MEMORY, "out-of-memory", "FAILED"),
        (ExitCode.DIVERGED, "diverged", "FAILED"),
        (ExitCode.INFRASTRUCTURE, "failed", "FAILED"),
    ],
)
def test_every_end_has_a_state_and_a_status(code, state, status):
    assert (RunState.of(code), RunState.of(code).status) == (state, status)
