"""Fault: two jobs write one run, one of them a zombie."""

import os
import signal
import time

import pytest
from commits import make_commit, publisher, start_publishing_process
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.checkpoints.lease import acquire
from rfdetr_train.checkpoints.manifest import candidates
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import open_store


@pytest.fixture
def store(s3_bucket):  # noqa: F811
    return open_store(f"s3://{s3_bucket}/run/checkpoints")


def test_second_job_fails_on_the_lease_of_a_living_one_and_takes_over_at_once_when_it_was_killed(store, tmp_path):
    with start_publishing_process(tmp_path, store.uri, hold="write_if never", ttl=2.0) as first:
        assert first.stdout.readline() == "leased\n"
        with pytest.raises(InfrastructureError, match=rf"another job writes this run: process {first.pid} on "):
            acquire(store, ttl=2.0)
        first.kill()
    begin = time.monotonic()
    lease = acquire(store, ttl=600, on_wait=pytest.fail)
    assert time.monotonic() - begin < 10
    assert lease.generation == 2
    lease.release()


def test_late_write_of_a_zombie_is_refused_after_its_lease_ran_out(store, tmp_path):
    make_commit(tmp_path / "zombie", 1)
    make_commit(tmp_path / "ours", 1)
    zombie = start_publishing_process(tmp_path / "zombie", store.uri, hold="put_file checkpoint.pth", ttl=0.6)
    try:
        assert zombie.stdout.readline() == "leased\n"
        assert zombie.stdout.readline() == "held\n"
        os.kill(zombie.pid, signal.SIGSTOP)  # it lives, but renews no more
        lease = acquire(store, ttl=0.6)
        assert lease.generation == 2
        publishing = publisher(tmp_path / "ours", store, lease)
        publishing.start()
        assert publishing.flush(30).published_sequence == 1
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.stdin.write("\n")
        zombie.stdin.flush()
        said = zombie.stdout.readline()
        assert "another job has taken over this run (generation 1" in said
        assert candidates(store) == ["manifests/000002-00000001.json"]
        publishing.stop()
        lease.check()
        lease.release()
    finally:
        zombie.kill()
        zombie.communicate()
