"""Faults 25 and 43 over a whole training: no MLflow from its start to its end, and secrets in the environment."""

import pytest

from rfdetr_train.errors import ExitCode

SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "canary-password",
    "MLFLOW_TRACKING_TOKEN": "canary-token",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key",
    "AWS_SESSION_TOKEN": "canary-session-token",
}


@pytest.fixture(scope="module")
def ended(new_training):
    """A training whose tracking server is not there, and how it ended."""
    training = new_training(epochs=1, grad_accum_steps=2, checkpoint_interval=1, tensorboard=True)
    (training.output / "mlflow.db").unlink()
    server = f"http://user:{SECRETS['MLFLOW_TRACKING_PASSWORD']}@127.0.0.1:9"
    attempt = training.start(("wait_for_mlflow", 1.0), env={**SECRETS, "MLFLOW_TRACKING_URI": server})
    return training, attempt, attempt.wait()


def test_mlflow_down_all_the_time_costs_no_step_and_the_end_says_what_is_not_published(ended):
    training, attempt, code = ended
    assert code == ExitCode.INFRASTRUCTURE
    assert "MLflow at http://127.0.0.1:9 does not answer; the training goes on without it" in attempt.log
    assert "the training is done, but checkpoint_best_total.pth and the other checkpoints are not all published" in (
        attempt.log
    )
    assert f"They are in {training.output}; when the server is back, the same command again publishes them" in (
        attempt.log
    )
    assert training.newest().step == 5
    assert [record.step for record in training.journal()] == [1]
    names = {entry.name for entry in training.newest().files}
    assert {"checkpoint.pth", "checkpoint_1.pth", "checkpoint_best_total.pth", "metrics.csv"} <= names


def test_secrets_are_in_no_file_and_no_line_of_a_training(ended):
    training, _, _ = ended
    files = [path for path in training.folder.rglob("*") if path.is_file()]
    assert {"log", "commit.json", "checkpoint.pth", "metrics.jsonl", ".run.json"} <= {path.name for path in files}
    for name, secret in SECRETS.items():
        found = [path for path in files if secret.encode() in path.read_bytes()]
        assert found == [], f"{name} is in {found}"
