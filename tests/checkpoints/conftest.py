"""The stores that a run may lie in, and an output folder."""

import pytest
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.storage import open_store


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return open_store(f"s3://{request.getfixturevalue('s3_bucket')}/run/checkpoints")


@pytest.fixture
def local(tmp_path):
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"
