"""The run of a training: made once, continued, adopted, ended."""

import json

import pytest
from mlflow import MlflowClient
from mlflow_server import new_store

from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.params import parse
from rfdetr_train.tracking.dataset import TrackedDataset
from rfdetr_train.tracking.find import RunState, identify
from rfdetr_train.tracking.run import is_finished
from rfdetr_train.tracking.session import TOKEN, Session

WAIT = 60


@pytest.fixture
def client(tmp_path):
    return MlflowClient(tracking_uri=new_store(tmp_path))


@pytest.fixture
def session(tmp_path, client):
    """Makes sessions of one training."""

    def make(kfp_run_id="kfp-1", continue_run="", **changes):
        values = parse({"dataset_dir": "d", "run": "n", "experiment": "e", **changes}).as_sent()
        return Session(
            identify(values, fingerprint="f" * 64, kfp_run_id=kfp_run_id),
            tmp_path,
            params=values,
            dataset=TrackedDataset("s3://user:hunter2-canary@bucket/data", "f" * 64, {"train": 3}),
            continue_run=continue_run,
        )

    return make


def runs(client):
    return client.search_runs([client.get_experiment_by_name("e").experiment_id])


def test_new_run_has_its_identity_its_parameters_and_no_password(session, client):
    made = session()
    made.start(WAIT, require=True)
    stored = client.get_run(made.run.run_id)
    assert (stored.info.run_name, stored.info.status, stored.data.params["epochs"]) == ("n", "RUNNING", "100")
    tags = stored.data.tags
    assert (tags["rfdetr.kfp_run_id"], tags["rfdetr.dataset_fingerprint"]) == ("kfp-1", "f" * 64)
    assert (tags["rfdetr.state"], tags["rfdetr.dataset_uri"]) == ("running", "s3://bucket/data")
    assert len(tags["rfdetr.parameters_digest"]) == 64


def test_dataset_is_an_input_of_the_run_once_however_often_it_is_continued(session, client):
    for _ in range(2):
        made = session()
        made.start(WAIT, require=True)
        made.finish(RunState.PREEMPTED)
    (used,) = client.get_run(made.run.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("data", "f" * 36)
    assert json.loads(used.dataset.source) == {"uri": "s3://bucket/data"}
    assert json.loads(used.dataset.profile) == {"images": {"train": 3}, "fingerprint": "f" * 64}
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]


def test_run_of_a_launcher_that_was_killed_before_it_noted_the_id_is_not_made_again(session, client):
    ids = []
    for changes in ({}, {}, {"lr": 0.5}, {}):
        made = session("", **changes)
        made.start(WAIT, require=False)
        ids.append(made.run.run_id)
        if len(ids) == 2:
            made.finish(RunState.FINISHED)
            afresh = session("")
            afresh.start(WAIT, require=False)
            assert afresh.run.run_id != ids[0]
    assert ids[0] == ids[1]
    assert len({ids[1], ids[2], ids[3]}) == 3


@pytest.mark.parametrize("kfp_run_id", ["kfp-1", ""])
def test_restart_continues_the_same_run_and_more_epochs_are_noted(session, client, kfp_run_id):
    first = session(kfp_run_id)
    first.start(WAIT, require=True)
    assert first.finish(RunState.PREEMPTED, failure="spot node reclaimed")
    left = client.get_run(first.run.run_id)
    assert (left.info.status, left.data.tags["rfdetr.state"]) == ("KILLED", "preempted")
    assert left.data.tags["rfdetr.failure"] == "spot node reclaimed"

    second = session(kfp_run_id, epochs=200)
    second.start(WAIT, require=True)
    assert (second.run.run_id, second.run.owned, len(runs(client))) == (first.run.run_id, True, 1)
    stored = client.get_run(second.run.run_id)
    assert (stored.info.status, stored.data.tags["rfdetr.state"]) == ("RUNNING", "running")
    assert (stored.data.params["epochs"], stored.data.tags["rfdetr.changed.epochs"]) == ("100", "200")

    assert second.finish(RunState.FINISHED)
    assert is_finished(second.run.tracking_uri, second.run.run_id)
    third = session(kfp_run_id)
    third.start(WAIT, require=True)
    # A schedule that uses the name again starts afresh; a step that is repeated after its training ended does not.
    assert (third.run.run_id == first.run.run_id) == bool(kfp_run_id)


def test_injected_run_is_adopted_whatever_it_is_and_not_ended(session, client, monkeypatch):
    injected = client.create_run(client.create_experiment("of KFP")).info.run_id
    client.set_terminated(injected, "FAILED")
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    adopted = session()
    adopted.start(WAIT, require=True)
    assert adopted.finish(RunState.FINISHED)
    stored = client.get_run(injected)
    assert (adopted.run.run_id, adopted.run.owned) == (injected, False)
    assert (stored.info.status, stored.data.tags["rfdetr.state"]) == ("FAILED", "finished")
    assert client.get_experiment_by_name("e") is None


def test_run_that_the_user_named_is_continued(session, client):
    first = session("kfp-1")
    first.start(WAIT, require=True)
    named = session("kfp-2", continue_run=first.run.run_id)
    named.start(WAIT, require=False)
    assert (named.run.run_id, named.run.owned, len(runs(client))) == (first.run.run_id, True, 1)


def test_without_looking_a_new_run_is_made_in_another_folder_beside_an_unfinished_one(session, client, tmp_path):
    for _ in range(2):
        session().start(WAIT, require=False)
        (tmp_path / TOKEN).unlink()  # as it is in another folder
    assert len(runs(client)) == 2


@pytest.mark.parametrize(
    ("state", "code", "advice"),
    [
        (RunState.DIVERGED, ExitCode.DIVERGED, "lower lr"),
        (RunState.OUT_OF_MEMORY, ExitCode.OUT_OF_MEMORY, "halve batch_size and double grad_accum_steps"),
    ],
)
def test_failure_that_would_repeat_itself_is_refused_with_its_own_exit_code(session, client, state, code, advice):
    first = session()
    first.start(WAIT, require=True)
    first.finish(state)
    with pytest.raises(RfdetrTrainError, match=rf"run {first.run.run_id} .* ended: {state}.*{advice}") as caught:
        session().start(WAIT, require=True)
    assert caught.value.exit_code == code
    assert len(runs(client)) == 1


def test_unknown_injected_run_is_refused_at_once(session, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(InfrastructureError, match="MLFLOW_TRACKING_URI"):
        session().start(WAIT, require=False)


def test_end_of_a_run_that_was_never_opened_is_said_to_be_unknown(session):
    assert session().finish(RunState.FAILED) is False


def test_retry_in_an_injected_run_that_diverged_is_refused(session, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(client.create_experiment("of KFP")).info.run_id)
    first = session()
    first.start(WAIT, require=True)
    first.finish(RunState.DIVERGED)
    with pytest.raises(
        RfdetrTrainError, match="with the same parameters and the same dataset ended: diverged"
    ) as caught:
        session().start(WAIT, require=True)
    assert caught.value.exit_code == ExitCode.DIVERGED
