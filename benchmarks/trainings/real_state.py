"""A training whose state has the size of a real one: 30 million weights, their EMA and two moments of Adam."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from trainings.kills import is_alive, kill_tree
from trainings.preloaded import launch, new_store
from trainings.recorder import FOLDER, read
from trainings.setting import arguments, draw

BUCKET = "bench"


def use_s3() -> None:
    """Start an S3 server of its own process and point the environment, and so every training, to it."""
    import s3server

    os.environ |= {**s3server.environment(), "MLFLOW_S3_ENDPOINT_URL": s3server.start_server()}
    s3server.make_bucket(BUCKET)


def train(scratch: Path, *, interval: int, commits: int, way: str, env: dict[str, str]) -> list[dict[str, Any]]:
    """Train the nano model on small images, its checkpoints published to S3; the events of the recorder.

    Args:
        scratch: Folder.
        interval: Optimizer steps between two commits.
        commits: How many are wanted.
        way: Of ``ways``.
        env: Variables to add.
    """
    from mlflow import MlflowClient

    steps = interval * (commits + 1)
    dataset, output = draw(scratch / "shapes", train=steps + interval), scratch / "output"
    new_store(output)
    tracking = f"sqlite:///{output}/mlflow.db"
    MlflowClient(tracking).create_experiment("bench", artifact_location=f"s3://{BUCKET}/mlflow")
    command = arguments(
        dataset,
        output,
        epochs=1,
        batch_size=1,
        grad_accum_steps=1,
        checkpoint_every_steps=interval,
        checkpoint_every_seconds=0,
        experiment="bench",
    )
    (scratch / "records").mkdir()
    env = {**env, FOLDER: str(scratch / "records"), "MLFLOW_TRACKING_URI": tracking}
    process = launch(command, cwd=scratch, way=way, env=env)
    while is_alive(process.pid):
        time.sleep(0.5)
        events = read(scratch / "records", "000")
        if events and events[-1]["step"] >= steps:
            kill_tree(process.pid)  # what comes after the last wanted step is not measured
            return events
    sys.exit(f"the training failed: {(scratch / 'log').read_text()[-3000:]}")
