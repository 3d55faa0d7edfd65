"""Fixtures of the tests that train."""

import shutil

import pytest
from s3server import s3_bucket  # noqa: F401


@pytest.fixture(scope="module")
def new_training(shapes, tmp_path_factory):
    """Makes trainings on the drawn shapes; their processes and their hundreds of megabytes go with the module."""
    from faults_training import Training

    made = []

    def make(**parameters):
        made.append(Training(tmp_path_factory.mktemp("training"), shapes, **parameters))
        return made[-1]

    yield make
    for training in made:
        training.kill_what_is_left()
        shutil.rmtree(training.folder, ignore_errors=True)
