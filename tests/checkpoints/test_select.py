"""Which checkpoint a run continues from, and what becomes of the output folder."""

import pytest
from commits import WatchedStore, make_commit, publish_all, read_commit_files

from rfdetr_train.checkpoints.commit import commit_folder, list_commits, read_commit
from rfdetr_train.checkpoints.manifest import candidates, object_key, read_manifest
from rfdetr_train.checkpoints.restore import restore
from rfdetr_train.checkpoints.select import choose, newest_good, newest_local, select
from rfdetr_train.errors import CheckpointError, InfrastructureError
from rfdetr_train.storage import open_store


def damage(store, key):
    store.write(object_key(read_manifest(store, key).files[0]), b"damaged")


def test_newest_published_commit_is_fetched_as_a_commit_folder(store, out, tmp_path):
    publish_all(out, store, 1, 2, checkpoint_best_ema=b"best", checkpoint_5=b"five", metrics=b"a\n")
    found = newest_good(store, tmp_path / "scratch")
    assert found.manifest == read_manifest(store, candidates(store)[0])
    assert read_commit(found.folder) == found.commit
    assert (found.commit.sequence, found.commit.step, found.progress) == (2, 20, (0, 20))
    wanted = {"checkpoint.pth": b"state 2", "checkpoint_best_ema.pth": b"best", "metrics.csv": b"a\n"}
    assert read_commit_files(found.folder) == wanted
    assert [path.name for path in found.folder.parent.iterdir()] == ["00000002"]


def test_there_is_nothing_to_continue_from_in_a_new_run(store, out, tmp_path):
    assert newest_good(store, tmp_path / "scratch") is None
    assert newest_local(out) is None
    assert select(out, store, tmp_path / "scratch") is None


def test_newest_generation_wins_over_a_higher_sequence(local, out, tmp_path):
    publish_all(tmp_path / "first", local, 7)
    publish_all(tmp_path / "second", local, 5)
    assert newest_good(local, tmp_path / "scratch").commit.sequence == 5


def test_damaged_local_commit_is_named_with_both_digests_and_the_one_before_is_used(out):
    first = make_commit(out, 1)
    second = make_commit(out, 2)
    (commit_folder(out, 2) / "checkpoint.pth").write_bytes(b"damaged")
    notes = []
    assert newest_local(out, log=notes.append).commit == first
    assert len(notes) == 1
    assert f"wanted {second.files[0].sha256}" in notes[0] or f"{second.files[0].sha256} wanted" in notes[0]


def test_local_commits_that_are_all_damaged_are_an_error_unless_the_store_has_a_good_one(local, out, tmp_path):
    publish_all(out, local, 1)
    for folder in list_commits(out):
        (folder / "commit.json").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        newest_local(out)
    assert select(out, local, tmp_path / "scratch").manifest.sequence == 1
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        select(out, open_store(str(tmp_path / "empty")), tmp_path / "scratch")


def test_more_progress_wins_and_the_local_disk_on_a_tie(local, out, tmp_path):
    publish_all(out, local, 2)
    here, there = newest_local(out), newest_good(local, tmp_path / "scratch")
    assert choose(here, there) is here
    assert choose(None, there) is there
    assert choose(here, None) is here
    assert choose(None, None) is None
    make_commit(tmp_path / "behind", 1)
    assert choose(newest_local(tmp_path / "behind"), there) is there


def test_nothing_is_fetched_when_the_local_disk_is_ahead(local, out, tmp_path):
    publish_all(out, local, 2)
    watched = WatchedStore(local)
    found = select(out, watched, tmp_path / "scratch")
    assert (found.folder, found.manifest) == (commit_folder(out, 2), None)
    assert watched.keys("fetch") == []
    found = select(tmp_path / "another node", watched, tmp_path / "scratch")
    assert (found.commit.sequence, found.manifest.sequence) == (2, 2)


def test_what_did_not_verify_is_told_to_the_publisher(local, out, tmp_path):
    publish_all(tmp_path / "there", local, 1, 2)
    damage(local, candidates(local)[0])
    make_commit(out, 1)
    found = select(out, local, tmp_path / "scratch")
    assert (found.commit.sequence, found.rejected) == (1, ["manifests/000001-00000002.json"])


def test_output_folder_becomes_that_of_the_commit(out, tmp_path):
    make_commit(tmp_path / "there", 3, checkpoint_best_ema=b"best", metrics=b"epoch\n1\n")
    folder = commit_folder(tmp_path / "there", 3)
    out.mkdir()
    for name in ("checkpoint.pth", "checkpoint_best_total.pth", "checkpoint_8.pth", "metrics.jsonl"):
        (out / name).write_bytes(b"of a later time")
    (out / "notes.txt").write_text("mine")
    assert restore(folder, out) == read_commit(folder)
    wanted = {"checkpoint.pth": b"state 3", "checkpoint_best_ema.pth": b"best", "metrics.csv": b"epoch\n1\n"}
    assert read_commit_files(out) == wanted | {"notes.txt": b"mine"}
    assert read_commit_files(commit_folder(out, 3)) == wanted
    assert read_commit_files(folder) == wanted
    with (out / "metrics.csv").open("ab") as file:
        file.write(b"2\n")
    assert (commit_folder(out, 3) / "metrics.csv").read_bytes() == b"epoch\n1\n"


def test_later_local_commits_are_removed_so_that_nobody_publishes_them(out):
    make_commit(out, 4)
    make_commit(out, 5)
    restore(commit_folder(out, 4), out)
    assert list_commits(out) == [commit_folder(out, 4)]
    assert (out / "checkpoint.pth").read_bytes() == b"state 4"
    restore(commit_folder(out, 4), out)
    assert (out / "checkpoint.pth").read_bytes() == b"state 4"


def test_refused_access_is_not_taken_for_a_damaged_checkpoint(local, out, tmp_path):
    publish_all(out, local, 1, 2)

    def refuse(method, key):
        if method == "fetch":
            raise InfrastructureError("access was refused.")

    with pytest.raises(InfrastructureError, match="access was refused"):
        newest_good(WatchedStore(local, refuse), tmp_path / "scratch")
