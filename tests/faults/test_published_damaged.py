"""Fault: published checkpoints, or the plain names beside them, are damaged, lost or stale."""

import hashlib

import pytest
from commits import publish_all, read_commit_files
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.checkpoints.manifest import candidates, object_key, read_manifest
from rfdetr_train.checkpoints.select import newest_good, select
from rfdetr_train.errors import CheckpointError, ExitCode
from rfdetr_train.storage import open_store


@pytest.fixture
def store(s3_bucket, tmp_path):  # noqa: F811
    opened = open_store(f"s3://{s3_bucket}/run/checkpoints")
    publish_all(tmp_path / "out", opened, 1, 2, 3, checkpoint_best_ema=b"best")
    return opened


def state_key(store, key):
    return object_key(read_manifest(store, key).files[0])


@pytest.mark.parametrize("damage", [b"stat", b"", b"statE 3"], ids=["truncated", "zero bytes", "bit flipped"])
def test_damaged_newest_checkpoint_is_named_with_both_digests_and_the_one_before_is_used(store, tmp_path, damage):
    newest = candidates(store)[0]
    store.write(state_key(store, newest), damage)
    notes = []
    found = newest_good(store, tmp_path / "scratch", log=notes.append)
    assert found.commit.sequence == 2
    assert read_commit_files(found.folder) == {"checkpoint.pth": b"state 2", "checkpoint_best_ema.pth": b"best"}
    assert found.rejected == [newest]
    assert len(notes) == 1
    for part in (newest, "checkpoint.pth", hashlib.sha256(damage).hexdigest(), hashlib.sha256(b"state 3").hexdigest()):
        assert part in notes[0]


def test_missing_object_and_unreadable_manifest_are_passed_over(store, tmp_path):
    first, second, _ = candidates(store)
    store.write(first, b"{")
    store.delete(state_key(store, second))
    notes = []
    assert newest_good(store, tmp_path / "scratch", log=notes.append).commit.sequence == 1
    assert "is damaged" in notes[0]
    assert "there is no" in notes[1]


def test_when_all_are_damaged_the_run_does_not_start_from_zero(store, tmp_path):
    for key in candidates(store):
        store.write(state_key(store, key), b"damaged")
    with pytest.raises(CheckpointError, match=r"no usable checkpoint: .* holds 3, .*Nothing was started") as caught:
        select(tmp_path / "new node", store, tmp_path / "scratch")
    assert caught.value.exit_code == ExitCode.BAD_PARAMETERS
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("pointer", ["lost", "stale", "to a deleted object"])
def test_plain_name_of_the_latest_checkpoint_decides_nothing(store, tmp_path, pointer):
    if pointer == "lost":
        store.delete("checkpoint.pth")
    elif pointer == "stale":
        store.write("checkpoint.pth", b"state 1")
    else:
        store.delete(state_key(store, candidates(store)[0]))
    found = newest_good(store, tmp_path / "scratch")
    assert found.commit.sequence == (2 if pointer == "to a deleted object" else 3)
    assert (found.folder / "checkpoint.pth").read_bytes() == f"state {found.commit.sequence}".encode()


def test_manifest_that_points_elsewhere_brings_nothing_from_there(store, tmp_path):
    store.write("lease.json.secret", b"secret")
    key = candidates(store)[0]
    data = store.read(key).replace(b'"object":"checkpoint.pth"', b'"object":"../../lease.json.secret"')
    store.write(key, data)
    notes = []
    found = newest_good(store, tmp_path / "scratch", log=notes.append)
    assert found.commit.sequence == 2
    assert "is no file of a checkpoint" in notes[0]
