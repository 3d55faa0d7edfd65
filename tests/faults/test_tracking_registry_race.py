"""Fault 27: several promotion gates move the same alias at once."""

import subprocess
import sys
import uuid
from contextlib import ExitStack

import pytest
from mlflow import MlflowClient
from mlflow_server import new_store, start

ROUNDS, GATES = 6, 2
GATE = """
import sys
from mlflow import MlflowClient
from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.tracking.registry import move_alias
client = MlflowClient(tracking_uri=sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    expected, version = line.split()
    try:
        move_alias(client, sys.argv[2], "champion", version, expected=None if expected == "-" else expected)
        print("moved", flush=True)
    except RfdetrTrainError as error:
        print(f"{error.exit_code} {error}", flush=True)
"""


@pytest.mark.parametrize("store", ["database", "server"])
def test_exactly_one_of_several_gates_moves_the_alias_and_the_others_say_who_did(store, tmp_path):
    uri = new_store(tmp_path) if store == "database" else start().uri
    client = MlflowClient(tracking_uri=uri)
    name = f"detector-{uuid.uuid4().hex[:8]}"
    versions = [registered(client, name) for _ in range(GATES + 1)]
    with ExitStack() as stack:
        command = [sys.executable, "-c", GATE, uri, name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        gates = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(GATES)]
        assert [gate.stdout.readline() for gate in gates] == ["ready\n"] * GATES
        held = "-"
        for _ in range(ROUNDS):
            wanted = [version for version in versions if version != held][:GATES]
            for gate, version in zip(gates, wanted, strict=True):
                gate.stdin.write(f"{held} {version}\n")
            answers = [gate.stdout.readline().strip() for gate in gates]
            winners = [version for version, answer in zip(wanted, answers, strict=True) if answer == "moved"]
            assert len(winners) == 1, answers
            lost = [answer for answer in answers if answer != "moved"]
            assert all("is being moved by" in each or f"held by version {winners[0]} by now" in each for each in lost)
            held = str(client.get_registered_model(name).aliases["champion"])
            assert held == winners[0]
        for gate in gates:
            gate.stdin.close()
    assert client.search_model_versions(f"name = '{name}.turns'") == []


def registered(client, name):
    """A version of a finished training."""
    run = client.create_run("0")
    client.set_terminated(run.info.run_id, "FINISHED")
    try:
        client.get_registered_model(name)
    except Exception:
        client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/checkpoints/checkpoint_best_total.pth"
    return str(client.create_model_version(name, source, run_id=run.info.run_id).version)
