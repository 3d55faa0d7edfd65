"""The same data trains the same model, wherever it lies."""

import os
import shutil
from pathlib import Path

import pytest
from faults_training import Training

from rfdetr_train.errors import ExitCode
from rfdetr_train.storage import open_store


@pytest.fixture
def trained(tmp_path):
    """Trains an epoch on a dataset and says with which fingerprint and which metrics."""
    trainings = []

    def train(name, dataset):
        training = Training(tmp_path / name, dataset, epochs=1)
        trainings.append(training)
        # The process that trainings are forked from serves all tests, and has not the environment of this one.
        store = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "RFDETR_"))}
        assert training.run(env=store) == ExitCode.DONE, training.attempts[0].log
        (run,) = training.runs()
        (epoch,) = training.journal()
        return run.data.tags["rfdetr.dataset_fingerprint"], epoch.metrics

    yield train
    for training in trainings:
        training.kill_what_is_left()


def test_folder_s3_and_archive_give_the_same_fingerprint_and_the_same_loss(trained, shapes, s3_bucket, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "shapes"), "zip", shapes))
    open_store(f"s3://{s3_bucket}").put_file("archives/shapes.zip", archive)
    bucket = open_store(f"s3://{s3_bucket}/shapes")
    for path in sorted(shapes.rglob("*")):
        if path.is_file():
            bucket.put_file(str(path.relative_to(shapes)), path)
    fingerprint, metrics = trained("folder", shapes)
    assert metrics["train/loss"] > 0
    assert trained("s3", f"s3://{s3_bucket}/shapes") == (fingerprint, metrics)
    assert trained("archive", f"s3://{s3_bucket}/archives/shapes.zip") == (fingerprint, metrics)
