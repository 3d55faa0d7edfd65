"""Fault: the disk is full, or cannot be written, while checkpoints are published or restored."""

import errno
import os
import subprocess
import sys

import pytest
from commits import WatchedStore, make_commit, publish_all, publisher
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.checkpoints.commit import commit_folder
from rfdetr_train.checkpoints.manifest import candidates
from rfdetr_train.checkpoints.select import newest_good
from rfdetr_train.storage import open_store

RESTORE = """
import resource, sys
from pathlib import Path
from rfdetr_train.checkpoints.select import select
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
out = Path(sys.argv[1])
try:
    select(out, open_store(sys.argv[2]), out / ".scratch")
except InfrastructureError as error:
    sys.exit(f"{error}")
"""


def test_disk_that_is_full_while_restoring_is_named_and_nothing_is_changed(s3_bucket, tmp_path):  # noqa: F811
    store = open_store(f"s3://{s3_bucket}/run/checkpoints")
    publish_all(tmp_path / "there", store, 1)
    publish_all(tmp_path / "there", store, 2, checkpoint_best_ema=os.urandom(200_000))
    out = tmp_path / "out"
    out.mkdir()
    (out / "checkpoint.pth").write_bytes(b"as it was")
    ended = subprocess.run(
        [sys.executable, "-c", RESTORE, str(out), store.uri], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "could not be brought to" in ended.stderr
    assert "Make room there or name another output_dir" in ended.stderr
    assert (out / "checkpoint.pth").read_bytes() == b"as it was"
    assert not any((out / ".scratch").iterdir())


def test_full_disk_of_the_store_simulated_with_enospc_keeps_the_last_good_checkpoint(tmp_path):
    store = open_store(str(tmp_path / "store"))
    publish_all(tmp_path / "out", store, 1)

    def full(method, key):
        if method == "put_file":
            raise OSError(errno.ENOSPC, "No space left on device")

    publishing = publisher(tmp_path / "out", WatchedStore(store, full))
    make_commit(tmp_path / "out", 2)
    publishing.start()
    result = publishing.flush(30)
    publishing.stop()
    assert "No space left on device" in result.reason
    assert str(commit_folder(tmp_path / "out", 2) / "checkpoint.pth") in result.pending
    assert candidates(store) == ["manifests/000001-00000001.json"]
    assert newest_good(store, tmp_path / "scratch").commit.sequence == 1


@pytest.mark.parametrize("repaired", [True, False])
def test_output_folder_that_cannot_be_written_does_not_end_the_publisher(tmp_path, repaired):
    out = tmp_path / "out"
    make_commit(out, 1)
    (out / ".publishing").write_text("in the way of the folder")
    publishing = publisher(out, open_store(str(tmp_path / "store")))
    publishing.start()
    assert publishing.flush(30).published_sequence == 0
    assert ".publishing" in publishing.degraded.reason
    if repaired:
        (out / ".publishing").unlink()
    assert publishing.flush(30).published_sequence == int(repaired)
    publishing.stop()
