"""Faults 25 and 26: MLflow is away at the start, in the middle or at the end of a training; a training is restarted."""

import logging
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow_server import Wire, start

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.params import parse
from rfdetr_train.tracking.dataset import TrackedDataset
from rfdetr_train.tracking.find import RunState, identify
from rfdetr_train.tracking.journal import append, truncate_after
from rfdetr_train.tracking.sender import Sender
from rfdetr_train.tracking.session import Session


@pytest.fixture
def wire(monkeypatch):
    """The way to a real server, which can be cut."""
    wire = Wire(start().uri)
    wire.up()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wire.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield wire
    wire.down()


@pytest.fixture
def client(wire):
    """A way of its own, never cut."""
    return MlflowClient(tracking_uri=start().uri)


@pytest.fixture
def session(tmp_path, request):
    def make(**arguments):
        values = parse({"dataset_dir": "d", "run": "n", "experiment": request.node.name[:200]}).as_sent()
        training = identify(values, fingerprint="f" * 64)
        return Session(training, tmp_path, params=values, dataset=TrackedDataset("d", "f" * 64, {}), **arguments)

    return make


@pytest.fixture
def opened(session):
    made = session()
    made.start(60, require=True)
    return made.run


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "metrics.jsonl"


@pytest.fixture
def sender(journal):
    """Makes senders that look often."""
    made = []

    def make(run):
        made.append(Sender(run, journal, poll_seconds=0.02))
        return made[-1]

    yield make
    for each in made:
        each.close()


def train(journal, *epochs, attempt=1):
    """What rank 0 appends; the time tells the attempts apart."""
    for epoch in epochs:
        append(journal, epoch, {"train/loss": 1 / epoch, "val/mAP_50": epoch / 10}, 1000 * attempt + epoch)


def history(client, run, name="train/loss"):
    """Steps, times and values in the order in which MLflow took them."""
    return [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run.run_id, name)]


def expected(*epochs, attempt=1):
    return [(epoch, 1000 * attempt + epoch, 1 / epoch) for epoch in epochs]


def flushed(sender, seconds=30.0):
    return sender.flush(time.monotonic() + seconds)


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_mlflow_away_at_the_start_costs_nothing_and_everything_is_sent_once_later(
    wire, client, session, journal, sender, caplog
):
    wire.down()
    made = session()
    made.start(0.2, require=False)
    assert made.run is None
    assert "does not answer; the training goes on without it" in caplog.text
    train(journal, 1, 2, 3)

    wire.up()
    until(lambda: made.run is not None)
    train(journal, 4)

    assert flushed(sender(made.run)) == 0
    assert history(client, made.run) == expected(1, 2, 3, 4)
    assert history(client, made.run, "val/mAP_50") == [(e, 1000 + e, e / 10) for e in (1, 2, 3, 4)]
    found = client.search_runs([client.get_run(made.run.run_id).info.experiment_id])
    assert [run.info.run_id for run in found] == [made.run.run_id]


def test_mlflow_away_at_the_start_ends_a_training_that_may_have_to_be_continued(wire, session):
    wire.down()
    with pytest.raises(InfrastructureError, match=rf"MLflow at {wire.uri} did not answer") as caught:
        session().start(0.5, require=True)
    assert caught.value.exit_code == 70


def test_mlflow_away_in_the_middle_costs_one_warning_and_nothing_is_lost_or_doubled(
    wire, client, opened, journal, sender, caplog
):
    caplog.set_level(logging.INFO, "rfdetr_train")
    sending = sender(opened)
    train(journal, 1, 2)
    assert flushed(sending) == 0

    for epoch in (3, 5):
        wire.down()
        before = time.monotonic()
        train(journal, epoch, epoch + 1)
        assert time.monotonic() - before < 1
        until(lambda: sending._failures > 2)
        wire.up()
        assert flushed(sending) == 0

    assert history(client, opened) == expected(1, 2, 3, 4, 5, 6)
    assert caplog.text.count("MLflow does not take metrics") == 2  # one for each outage
    assert caplog.text.count("MLflow takes metrics again") == 2


def test_record_whose_answer_was_lost_is_not_sent_twice(wire, client, opened, journal, sender):
    sending = sender(opened)
    train(journal, 1)
    assert flushed(sending) == 0
    wire.lose_answers()
    train(journal, 2)
    until(lambda: len(history(client, opened)) == 2)  # it is there, and the sender does not know
    until(lambda: sending._failures > 0)
    wire.down()
    wire.up()
    train(journal, 3)
    assert flushed(sending) == 0
    assert history(client, opened) == expected(1, 2, 3)


def test_mlflow_away_at_the_end_ends_in_bounded_time_and_the_next_start_sends_the_rest(
    wire, client, session, journal, sender, caplog
):
    made = session()
    made.start(60, require=True)
    sending = sender(made.run)
    train(journal, 1)
    assert flushed(sending) == 0
    wire.down()
    train(journal, 2, 3)
    before = time.monotonic()
    assert flushed(sending, seconds=0.5) == 2
    assert made.finish(RunState.FINISHED, seconds=2) is False
    assert time.monotonic() - before < 5
    assert "MLflow did not take the end of the run (finished)" in caplog.text
    sending.close()

    wire.up()
    again = session()
    again.start(60, require=True)
    assert again.run.run_id == made.run.run_id
    assert flushed(sender(again.run)) == 0
    assert again.finish(RunState.FINISHED)
    assert history(client, made.run) == expected(1, 2, 3)
    assert client.get_run(made.run.run_id).info.status == "FINISHED"


def test_server_that_takes_requests_and_never_answers_holds_nothing_up(wire, opened, journal, sender, monkeypatch):
    sending = sender(opened)
    train(journal, 1)
    assert flushed(sending) == 0
    wire.silent()
    before = time.monotonic()
    train(journal, 2)
    assert flushed(sending, seconds=0.5) == 1
    assert opened.log_summary("goodput.json", b"{}", {"goodput/ratio": 0.9}, seconds=0.5) is False
    assert time.monotonic() - before < 5


def test_epochs_repeated_after_a_preemption_are_not_logged_twice_and_steps_are_monotonic(
    wire, client, session, journal, sender
):
    first = session()
    first.start(60, require=True)
    sending = sender(first.run)
    train(journal, 1, 2, 3, 4, 5)
    assert flushed(sending) == 0
    sending.close()

    truncate_after(journal, 3)  # the last commit was made after three epochs
    second = session()
    second.start(60, require=True)
    sending = sender(second.run)
    train(journal, 4, 5, 6, 7, attempt=2)
    assert flushed(sending) == 0

    assert second.run.run_id == first.run.run_id
    logged = history(client, first.run)
    assert logged == expected(1, 2, 3, 4, 5) + expected(6, 7, attempt=2)
    assert all(later[0] > earlier[0] for earlier, later in pairwise(logged))


def test_killed_launcher_leaves_a_run_that_the_next_one_continues(wire, client, session, tmp_path, request):
    code = """
import sys, time
from pathlib import Path
from rfdetr_train.params import parse
from rfdetr_train.tracking.dataset import TrackedDataset
from rfdetr_train.tracking.find import identify
from rfdetr_train.tracking.journal import append
from rfdetr_train.tracking.sender import Sender
from rfdetr_train.tracking.session import Session
values = parse({"dataset_dir": "d", "run": "n", "experiment": sys.argv[2]}).as_sent()
dataset = TrackedDataset("d", "f" * 64, {})
session = Session(identify(values, fingerprint="f" * 64), Path(sys.argv[1]), params=values, dataset=dataset)
session.start(60, require=True)
journal = Path(sys.argv[1]) / "metrics.jsonl"
append(journal, 1, {"train/loss": 1.0, "val/mAP_50": 0.1}, 1001)
sender = Sender(session.run, journal)
sender.flush(time.monotonic() + 60)
print(session.run.run_id, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", code, str(tmp_path), request.node.name[:200]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        run_id = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    again = session()
    again.start(60, require=True)
    assert again.run.run_id == run_id
    assert len(client.search_runs([client.get_run(run_id).info.experiment_id])) == 1
    assert history(client, again.run) == expected(1)


def test_injected_run_is_adopted_and_never_ended(wire, client, session, journal, sender, monkeypatch):
    injected = client.create_run("0", tags={"mlflow.parentRunId": "a" * 32}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    for epoch in (1, 2):
        made = session()
        made.start(60, require=True)
        sending = sender(made.run)
        train(journal, epoch)
        assert flushed(sending) == 0
        sending.close()
        assert made.finish(RunState.FAILED)
        assert (made.run.run_id, client.get_run(injected).info.status) == (injected, "RUNNING")
    assert history(client, made.run) == expected(1, 2)


@pytest.mark.parametrize("retries_of_the_client", [0, 1])
def test_run_whose_making_was_not_answered_is_not_made_twice(wire, client, session, monkeypatch, retries_of_the_client):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(retries_of_the_client))
    wire.lose_answers(b"/runs/create", times=1)
    made = session()
    made.start(60, require=False)
    where = [client.get_run(made.run.run_id).info.experiment_id]
    assert [run.info.run_id for run in client.search_runs(where)] == [made.run.run_id]
    doubled = client.search_runs(where, run_view_type=ViewType.DELETED_ONLY)
    assert len(doubled) == retries_of_the_client  # the client's own second request made another, which is gone


def test_metrics_of_classes_with_odd_names_are_sent_and_refused_ones_do_not_stop_the_others(
    wire, client, opened, journal, sender, caplog
):
    sending = sender(opened)
    append(journal, 1, {"val/AP/dog (large)": 0.5}, 1001)
    append(journal, 2, {"../outside": 0.5}, 1002)
    append(journal, 3, {f"val/AP/class {i}": i / 2000 for i in range(1500)}, 1003)
    assert flushed(sending) == 1
    assert "MLflow refuses the metrics of step 2" in caplog.text
    assert history(client, opened, "val/AP/dog _large_") == [(1, 1001, 0.5)]
    assert history(client, opened, "val/AP/class 1499") == [(3, 1003, 1499 / 2000)]
