"""Moving an alias of a registered model, and what registered versions protect."""

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow_server import new_store

from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.tracking import registry
from rfdetr_train.tracking.registry import is_protected, move_alias, protected_keys

DETECTOR = "detector"


@pytest.fixture
def client(tmp_path):
    client = MlflowClient(tracking_uri=new_store(tmp_path))
    client.create_experiment("e", artifact_location=(tmp_path / "artifacts").as_uri())
    client.create_registered_model(DETECTOR)
    return client


def trained(client, status="FINISHED", state="finished"):
    run = client.create_run(client.get_experiment_by_name("e").experiment_id, tags={"rfdetr.state": state})
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status)
    return client.get_run(run.info.run_id).info


def registered(client, run, path="checkpoints/objects/ab/checkpoint_best_total.pth"):
    return str(client.create_model_version(DETECTOR, f"{run.artifact_uri}/{path}", run_id=run.run_id).version)


def champion(client):
    version = client.get_registered_model(DETECTOR).aliases.get("champion")
    return None if version is None else str(version)


def turns(client):
    return client.search_model_versions(f"name = '{DETECTOR}.turns'")


def test_alias_moves_from_nothing_and_from_the_expected_version(client):
    first, second = (registered(client, trained(client)) for _ in range(2))
    move_alias(client, DETECTOR, "champion", first, expected=None)
    assert champion(client) == first
    move_alias(client, DETECTOR, "champion", second, expected=first)
    assert champion(client) == second
    assert turns(client) == []


def test_alias_that_moved_meanwhile_is_left_where_it_is_and_its_holder_named(client):
    first, second, third = (registered(client, trained(client)) for _ in range(3))
    move_alias(client, DETECTOR, "champion", first, expected=None)
    move_alias(client, DETECTOR, "champion", second, expected=first)
    with pytest.raises(RfdetrTrainError, match=f"held by version {second} by now, not by {first}") as caught:
        move_alias(client, DETECTOR, "champion", third, expected=first)
    assert caught.value.exit_code == ExitCode.NOT_PROMOTED
    with pytest.raises(RfdetrTrainError, match=f"held by version {second} by now, not by none"):
        move_alias(client, DETECTOR, "champion", third, expected=None)
    assert champion(client) == second


@pytest.mark.parametrize(
    ("status", "state"),
    [("FAILED", "failed"), ("KILLED", "preempted"), ("RUNNING", "running"), ("FINISHED", "diverged")],
)
def test_alias_never_moves_to_a_training_that_did_not_finish(client, status, state):
    version = registered(client, trained(client, status, state))
    with pytest.raises(RfdetrTrainError, match=rf"not promoted.*is {status} \({state}\)"):
        move_alias(client, DETECTOR, "champion", version, expected=None)
    assert champion(client) is None


def test_version_of_no_run_is_not_promoted(client):
    version = str(client.create_model_version(DETECTOR, "s3://bucket/model").version)
    with pytest.raises(RfdetrTrainError, match="names no run"):
        move_alias(client, DETECTOR, "champion", version, expected=None)


def test_second_mover_fails_and_names_the_first(client):
    version = registered(client, trained(client))
    with registry._turn(client, DETECTOR, "champion"):
        with pytest.raises(InfrastructureError, match=r"'champion' is being moved by \S+, process \d+"):
            move_alias(client, DETECTOR, "champion", version, expected=None)
        move_alias(client, DETECTOR, "challenger", version, expected=None)
    move_alias(client, DETECTOR, "champion", version, expected=None)
    assert champion(client) == version


def test_turn_of_a_dead_process_is_passed_over(client, tmp_path, caplog):
    version = registered(client, trained(client))
    dead = registry._turn(client, DETECTOR, "champion")
    dead.__enter__()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        age = 1000 * (registry.ABANDONED_AFTER + 1)
        database.execute(f"UPDATE model_versions SET creation_time = creation_time - {age} WHERE name LIKE '%.turns'")
        database.commit()
    move_alias(client, DETECTOR, "champion", version, expected=None)
    assert (champion(client), turns(client)) == (version, [])
    assert "was abandoned" in caplog.text


def test_mover_that_was_held_up_too_long_moves_nothing(client, monkeypatch):
    version = registered(client, trained(client))
    times = iter([0.0, registry.ABANDONED_AFTER])
    monkeypatch.setattr(registry, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(InfrastructureError, match="took too long"):
        move_alias(client, DETECTOR, "champion", version, expected=None)
    assert champion(client) is None


def test_registered_versions_protect_what_they_name_and_nothing_else(client):
    run, other = trained(client), trained(client)
    registered(client, run)
    registered(client, run, "checkpoints/checkpoint_10.pth")
    registered(client, run, "evaluation/report.json")
    client.create_model_version(DETECTOR, f"runs:/{run.run_id}/checkpoints/objects/cd")
    assert protected_keys(client, run.run_id) == {
        "objects/ab/checkpoint_best_total.pth",
        "checkpoint_10.pth",
        "objects/cd",
    }
    assert protected_keys(client, other.run_id) == set()
    registered(client, other, "checkpoints")
    assert protected_keys(client, other.run_id) == {""}


def test_source_that_cannot_be_told_protects_everything(client):
    run = trained(client)
    client.create_model_version(DETECTOR, "s3://elsewhere/model.pth", run_id=run.run_id)
    assert protected_keys(client, run.run_id) == {""}


def test_protected_folder_protects_what_is_in_it():
    assert is_protected("objects/ab/x.pth", {"objects/ab"})
    assert not is_protected("objects/abc/x.pth", {"objects/ab"})
    assert is_protected("anything", {""})
    assert not is_protected("anything", set())


def test_protection_is_unknown_when_mlflow_does_not_answer(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert protected_keys(MlflowClient(tracking_uri="http://127.0.0.1:9"), "0" * 32) is None
