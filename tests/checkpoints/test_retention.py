"""What is kept in the store."""

import pytest
from commits import WatchedStore, make_commit, publish_all, publisher

from rfdetr_train.checkpoints.inventory import Inventory, newest_intervals
from rfdetr_train.checkpoints.lease import LeaseLost
from rfdetr_train.checkpoints.manifest import PublishedFile, candidates, object_key, read_manifest
from rfdetr_train.checkpoints.retention import collect
from rfdetr_train.checkpoints.select import newest_good


def objects(store):
    """Contents of all objects, and what the manifests name."""
    named = {object_key(file) for key in candidates(store) for file in read_manifest(store, key).files}
    return {store.read(found.key) for found in store.list("objects")}, {store.read(key) for key in named}


def test_three_resume_points_and_all_interval_checkpoints_are_kept(store, tmp_path):
    out = tmp_path / "out"
    publish_all(out, store, 1, checkpoint_1=b"one", checkpoint_best_ema=b"old best")
    publish_all(out, store, 2, 3, 4, 5, checkpoint_2=b"two", checkpoint_best_ema=b"best")
    assert [key[-9:-5] for key in candidates(store)] == ["0005", "0004", "0003"]
    there, named = objects(store)
    assert there == named == {b"state 3", b"state 4", b"state 5", b"one", b"two", b"best"}
    assert store.read("checkpoint_1.pth") == b"one"
    assert store.read("checkpoint.pth") == b"state 5"


def test_only_the_newest_interval_checkpoints_up_to_the_limit_are_kept():
    def file(name):
        return PublishedFile(name, 1, "0" * 64, name)

    files = [file("checkpoint.pth"), *(file(f"checkpoint_{n}.pth") for n in (9, 10, 100, 11, 1))]
    kept = newest_intervals(files, 3)
    assert [f.name for f in kept] == ["checkpoint.pth", "checkpoint_10.pth", "checkpoint_100.pth", "checkpoint_11.pth"]


def test_plain_names_of_a_time_that_was_rolled_back_are_removed(local, tmp_path):
    publish_all(tmp_path / "out", local, 1, checkpoint_best_total=b"best")
    local.write("checkpoint_7.pth", b"of a later time")
    publish_all(tmp_path / "out2", local, 2)
    assert not local.exists("checkpoint_7.pth")
    assert not local.exists("checkpoint_best_total.pth")


def test_nothing_is_removed_while_the_registry_cannot_be_asked(local, tmp_path):
    publishing = publisher(tmp_path / "out", local, protected=lambda: None)
    publishing.start()
    for sequence in range(1, 7):
        make_commit(tmp_path / "out", sequence)
        publishing.flush(30)
    publishing.stop()
    assert len(candidates(local)) == 6
    assert len(local.list("objects")) == 6


def test_nothing_is_removed_after_the_lease_was_lost(local, tmp_path):
    publish_all(tmp_path / "out", local, 1)
    orphan = f"objects/{'0' * 64}/checkpoint.pth"
    local.write(orphan, b"the upload in progress of another job")

    def lost():
        raise LeaseLost("lost")

    with pytest.raises(LeaseLost):
        collect(local, Inventory.read(local), protected=set, check_lease=lost)
    assert local.exists(orphan)


def test_objects_stay_while_a_manifest_cannot_be_read_and_go_with_it(local, tmp_path):
    publish_all(tmp_path / "out", local, 1)
    local.write("manifests/000001-00000002.json", b"damaged")
    orphan = f"objects/{'0' * 64}/checkpoint.pth"
    local.write(orphan, b"may be named there")
    publish_all(tmp_path / "out", local, 3, 4)
    assert local.exists(orphan)
    publish_all(tmp_path / "out", local, 5, 6)
    assert not local.exists(orphan)
    assert not local.exists("manifests/000001-00000002.json")


def test_damaged_resume_points_are_not_counted(local, tmp_path):
    publish_all(tmp_path / "out", local, 1, 2, 3)
    for key in candidates(local)[:2]:
        local.write(object_key(read_manifest(local, key).files[0]), b"damaged")
    restored = newest_good(local, tmp_path / "scratch")
    assert restored.commit.sequence == 1
    publishing = publisher(tmp_path / "new", local)
    publishing.restored(restored)
    publishing.start()
    make_commit(tmp_path / "new", 2)
    assert publishing.flush(30).published_sequence == 2
    publishing.stop()
    assert "manifests/000001-00000001.json" in candidates(local)
    # The same bytes as the damaged object had: they are uploaded again and not taken to be there.
    assert newest_good(local, tmp_path / "scratch").commit.sequence == 2


def test_files_of_others_are_left_alone(local, tmp_path):
    for key in ("objects/notes.txt", "notes.txt", f"objects/{'0' * 64}/notes.txt", "manifests/notes.txt"):
        local.write(key, b"mine")
    publish_all(tmp_path / "out", local, 1, 2, 3, 4, 5)
    assert [found.key for found in local.list() if found.key.endswith("notes.txt")] == [
        "manifests/notes.txt",
        "notes.txt",
        f"objects/{'0' * 64}/notes.txt",
        "objects/notes.txt",
    ]


def test_retention_asks_the_registry_only_when_there_is_something_to_remove(local, tmp_path):
    asked = []
    publishing = publisher(tmp_path / "out", WatchedStore(local), protected=lambda: asked.append(1) or set())
    publishing.start()
    for sequence in (1, 2, 3):
        make_commit(tmp_path / "out", sequence)
        publishing.flush(30)
    assert asked == []
    make_commit(tmp_path / "out", 4)
    publishing.flush(30)
    publishing.stop()
    assert asked == [1]
