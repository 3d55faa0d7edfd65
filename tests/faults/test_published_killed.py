"""Fault: a job is killed while it publishes."""

import signal

import pytest
from commits import make_commit, publish_all, publisher, read_commit_files, start_publishing_process
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.checkpoints.lease import acquire
from rfdetr_train.checkpoints.manifest import candidates
from rfdetr_train.checkpoints.select import newest_good
from rfdetr_train.storage import open_store


@pytest.fixture
def store(s3_bucket):  # noqa: F811
    return open_store(f"s3://{s3_bucket}/run/checkpoints")


def kill_while_publishing(store, out, hold, signals):
    with start_publishing_process(out, store.uri, hold=hold) as process:
        assert process.stdout.readline() == "leased\n"
        assert process.stdout.readline() == "held\n"
        for number in signals:
            process.send_signal(number)
        process.wait()


def states(store):
    return {store.read(found.key) for found in store.list("objects")}


def test_kill_between_data_and_manifest_leaves_nothing_visible_and_is_swept(store, tmp_path):
    publish_all(tmp_path / "out", store, 1)
    make_commit(tmp_path / "out", 2)
    kill_while_publishing(store, tmp_path / "out", "write_if 00000002.json", [signal.SIGKILL])
    assert states(store) == {b"state 1", b"state 2"}
    found = newest_good(store, tmp_path / "scratch")
    assert found.commit.sequence == 1
    assert found.rejected == []
    lease = acquire(store)  # the killed job is seen to be gone
    assert lease.generation == 3
    publishing = publisher(tmp_path / "another node", store, lease)
    publishing.restored(found)
    publishing.start()
    make_commit(tmp_path / "another node", 3)
    assert publishing.flush(30).published_sequence == 3
    publishing.stop()
    lease.release()
    assert states(store) == {b"state 1", b"state 3"}


def test_restart_on_the_same_disk_completes_what_the_killed_job_had_uploaded(store, tmp_path):
    make_commit(tmp_path / "out", 1)
    kill_while_publishing(store, tmp_path / "out", "write_if 00000001.json", [signal.SIGKILL])
    assert candidates(store) == []
    publishing = publisher(tmp_path / "out", store)
    publishing.start()
    assert publishing.flush(30).published_sequence == 1
    publishing.stop()
    assert publishing.published.bytes == 0
    assert candidates(store) == ["manifests/000002-00000001.json"]
    assert not (tmp_path / "out" / ".publishing").exists()


def test_grace_period_that_is_too_short_for_the_upload_keeps_the_last_good_checkpoint(store, tmp_path):
    publish_all(tmp_path / "out", store, 1, checkpoint_best_ema=b"best")
    make_commit(tmp_path / "out", 2, checkpoint_best_ema=b"better")
    hold = "put_file checkpoint_best_ema.pth"
    kill_while_publishing(store, tmp_path / "out", hold, [signal.SIGTERM, signal.SIGKILL])
    found = newest_good(store, tmp_path / "scratch")
    assert read_commit_files(found.folder) == {"checkpoint.pth": b"state 1", "checkpoint_best_ema.pth": b"best"}
