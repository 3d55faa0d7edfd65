"""Fault 43: no password or key gets into a log, an exception, a tag or a parameter."""

import logging
import time
import traceback

import pytest
from mlflow import MlflowClient
from mlflow_server import Wire, new_store, start

from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.params import parse
from rfdetr_train.tracking.dataset import TrackedDataset
from rfdetr_train.tracking.find import RunState, identify
from rfdetr_train.tracking.journal import append
from rfdetr_train.tracking.registry import move_alias, protected_keys
from rfdetr_train.tracking.run import download, is_finished
from rfdetr_train.tracking.sender import Sender
from rfdetr_train.tracking.server import without_credentials
from rfdetr_train.tracking.session import Session

CANARY = "canary-0f1e2d"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.fixture
def secrets(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    for number, name in enumerate(SECRETS):
        monkeypatch.setenv(name, f"{CANARY}-{number}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def session(tmp_path, **changes):
    values = parse({"dataset_dir": f"s3://key:{CANARY}@bucket/data", "run": "n", **changes}).as_sent()
    dataset = TrackedDataset(f"s3://key:{CANARY}@bucket/data", "f" * 64, {})
    return Session(identify(values, fingerprint="f" * 64), tmp_path, params=values, dataset=dataset)


def error_of(call):
    """What a user would see of the error, at its worst."""
    with pytest.raises(RfdetrTrainError) as caught:
        call()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_no_secret_appears_when_a_training_is_tracked(secrets, tmp_path, monkeypatch, caplog, capfd):
    wire = Wire(start().uri)
    wire.up()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wire.uri.replace("://", f"://user:{CANARY}@"))
    made = session(tmp_path)
    made.start(60, require=True)
    made.run.set_tags({"rfdetr.note": f"{CANARY}-2"})
    journal = tmp_path / "metrics.jsonl"
    append(journal, 1, {"loss": 1.0}, 1)
    sender = Sender(made.run, journal, poll_seconds=0.02)
    assert sender.flush(time.monotonic() + 30) == 0
    wire.down()
    append(journal, 2, {"loss": 0.5}, 2)
    assert sender.flush(time.monotonic() + 1) == 1
    made.run.set_tags({"a": "b"})
    assert made.run.log_summary("goodput.json", b"{}", {}) is False
    assert made.finish(RunState.FAILED, failure="x") is False
    errors = error_of(lambda: session(tmp_path).start(0.5, require=True))
    errors += error_of(lambda: is_finished(made.run.tracking_uri, made.run.run_id))
    errors += error_of(lambda: download(made.run.artifact_uri("x"), tmp_path))
    errors += error_of(lambda: move_alias(made.run.client, "m", "champion", "1", expected=None))
    assert protected_keys(made.run.client, made.run.run_id) is None
    wire.up()
    assert made.finish(RunState.FAILED, failure=f"could not sign with {CANARY}-2 at http://u:{CANARY}@host")
    sender.close()
    wire.down()

    stored = MlflowClient(tracking_uri=start().uri).get_run(made.run.run_id)
    assert stored.data.tags["rfdetr.failure"] == "could not sign with *** at http://host"
    assert stored.data.params["dataset_dir"] == "s3://bucket/data"
    assert stored.data.tags["rfdetr.note"] == "***"
    assert "MLflow does not take metrics" in caplog.text and "did not answer" in errors  # there was something to say
    everything = f"{stored.to_dictionary()}{errors}{caplog.text}{capfd.readouterr()}{made.run!r}{journal.read_text()}"
    assert CANARY not in everything


def test_no_secret_of_a_database_address_appears(secrets, tmp_path, monkeypatch, caplog):
    new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://user:{CANARY}@127.0.0.1:9/mlflow")
    errors = error_of(lambda: session(tmp_path).start(1, require=True))
    assert CANARY not in errors + caplog.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://user:p@ss@host/path for more", "see https://host/path for more"),
        ("postgresql://mlflow:pass%40word@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("mail a@b.example about http://host/x@y", "mail a@b.example about http://host/x@y"),
        (f"Authorization failed: {CANARY}-0, {CANARY}-3", "Authorization failed: ***, ***"),
    ],
)
def test_credentials_are_taken_out_of_a_text(secrets, text, shown):
    assert without_credentials(text) == shown
