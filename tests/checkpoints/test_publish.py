"""The publisher: what it uploads, when, and what it says when it cannot."""

import hashlib
import shutil
import threading
import time

from commits import Gate, WatchedStore, make_commit, publish_all, publisher

from rfdetr_train.checkpoints.commit import commit_folder
from rfdetr_train.checkpoints.lease import acquire
from rfdetr_train.checkpoints.manifest import candidates, object_key, read_manifest
from rfdetr_train.checkpoints.select import newest_good
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import TransientError


def newest(store):
    return read_manifest(store, candidates(store)[0])


def contents(store, manifest):
    return {file.name: store.read(object_key(file)) for file in manifest.files}


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_commit_is_published_with_its_bytes_and_its_plain_names(store, out):
    told = []
    lease = acquire(store)
    publishing = publisher(out, store, lease, on_published=told.append)
    publishing.start()
    commit = make_commit(out, 3, epoch=1, checkpoint_best_ema=b"best", metrics=b"a,b\n")
    wait_for(lambda: told)
    manifest = newest(store)
    assert told == [manifest]
    assert (manifest.generation, manifest.sequence, manifest.epoch, manifest.step) == (1, 3, 1, 30)
    assert (manifest.run_id, manifest.fingerprint, manifest.world_size) == ("run", "print", 1)
    assert manifest.parameters == {"epochs": 3}
    assert [(file.name, file.sha256) for file in manifest.files] == [(file.name, file.sha256) for file in commit.files]
    wanted = {"checkpoint.pth": b"state 3", "checkpoint_best_ema.pth": b"best", "metrics.csv": b"a,b\n"}
    assert contents(store, manifest) == wanted
    publishing.stop()
    assert {name: store.read(name) for name in wanted} == wanted
    assert publishing.published.bytes == sum(map(len, wanted.values()))
    assert (publishing.published.commits, publishing.published.step) == (1, 30)
    assert not (out / ".publishing").exists()
    lease.release()


def test_identical_bytes_are_uploaded_once(store, out):
    watched = WatchedStore(store)
    publishing = publisher(out, watched)
    publishing.start()
    make_commit(out, 1, checkpoint_best_ema=b"best")
    publishing.flush(30)
    make_commit(out, 2, checkpoint_2=b"state 2", checkpoint_best_ema=b"best", checkpoint_best_total=b"best")
    publishing.flush(30)
    make_commit(out, 3, checkpoint_2=b"state 2", checkpoint_best_ema=b"better", checkpoint_best_total=b"best")
    publishing.flush(30)
    publishing.stop()
    names = [key.split("/")[2] for key in watched.keys("put_file")]
    assert sorted(names) == ["checkpoint.pth"] * 3 + ["checkpoint_best_ema.pth"] * 2
    assert contents(store, newest(store)) == {
        "checkpoint.pth": b"state 3",
        "checkpoint_2.pth": b"state 2",
        "checkpoint_best_ema.pth": b"better",
        "checkpoint_best_total.pth": b"best",
    }
    assert store.read("checkpoint_2.pth") == b"state 2"
    assert watched.keys("list") == ["manifests", ""]  # the lease, and once at the start: no listing for each commit


def test_next_job_uploads_nothing_that_is_there(store, out):
    publish_all(out, store, 1, checkpoint_best_ema=b"best")
    watched = WatchedStore(store)
    publishing = publisher(out, watched)
    publishing.start()
    make_commit(out, 2, checkpoint_best_ema=b"best")
    publishing.flush(30)
    publishing.stop()
    assert [key.split("/")[2] for key in watched.keys("put_file")] == ["checkpoint.pth"]
    assert candidates(store) == ["manifests/000002-00000002.json", "manifests/000001-00000001.json"]


def test_restart_on_the_same_disk_makes_no_second_manifest_of_a_commit(store, out):
    publish_all(out, store, 1)
    told = []
    publishing = publisher(out, store, on_published=told.append)
    publishing.start()
    wait_for(lambda: told)  # the job before may have been killed before it told anybody
    assert publishing.flush(30).published_sequence == 1
    publishing.stop()
    assert candidates(store) == ["manifests/000001-00000001.json"]
    assert publishing.published.commits == 0


def test_newest_commit_wins_while_the_store_is_slow(local, out):
    gate = Gate("put_file")
    publishing = publisher(out, WatchedStore(local, gate))
    publishing.start()
    make_commit(out, 1)
    assert gate.reached.wait(20)
    for sequence in range(2, 7):
        make_commit(out, sequence)
    gate.open.set()
    assert publishing.flush(30).published_sequence == 6
    publishing.stop()
    assert candidates(local) == ["manifests/000001-00000006.json", "manifests/000001-00000001.json"]
    assert (publishing.published.commits, publishing.published.skipped) == (2, 4)


def test_commit_that_is_pruned_while_it_is_uploaded_is_published_whole(local, out):
    gate = Gate("put_file", "checkpoint_best_ema.pth")
    publishing = publisher(out, WatchedStore(local, gate))
    make_commit(out, 1, checkpoint_best_ema=b"best")
    publishing.start()
    assert gate.reached.wait(20)
    shutil.rmtree(commit_folder(out, 1))
    gate.open.set()
    wait_for(lambda: candidates(local))
    publishing.stop()
    assert contents(local, newest(local)) == {"checkpoint.pth": b"state 1", "checkpoint_best_ema.pth": b"best"}


def test_interval_checkpoints_are_carried_on_although_they_are_not_on_this_disk(store, out, tmp_path):
    publish_all(tmp_path / "first node", store, 1, checkpoint_1=b"one")
    restored = newest_good(store, tmp_path / "scratch")
    publishing = publisher(out, store)
    publishing.restored(restored)
    publishing.start()
    make_commit(out, 2, checkpoint_2=b"two")
    publishing.flush(30)
    make_commit(out, 3, checkpoint_2=b"two")
    publishing.flush(30)
    publishing.stop()
    wanted = {"checkpoint.pth": b"state 3", "checkpoint_2.pth": b"two", "checkpoint_1.pth": b"one"}
    assert contents(store, newest(store)) == wanted
    assert {name: store.read(name) for name in wanted} == wanted


def test_restored_commit_is_not_published_again(local, out, tmp_path):
    publish_all(out, local, 1)
    publishing = publisher(out, local)
    publishing.restored(newest_good(local, tmp_path / "scratch"))
    publishing.start()
    assert publishing.flush(30) == type(publishing.flush(0))(1, [], "")
    publishing.stop()
    assert len(candidates(local)) == 1


def test_store_without_copies_has_no_plain_names_and_nothing_is_said(local, out, caplog):
    class NoCopies(WatchedStore):
        def copy(self, source, destination):
            return False

    publishing = publisher(out, NoCopies(local))
    make_commit(out, 1)
    publishing.start()
    assert publishing.flush(30).published_sequence == 1
    publishing.stop()
    assert not local.exists("checkpoint.pth")
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_outage_is_said_once_and_the_newest_commit_is_published_after_it(local, out, caplog):
    away = threading.Event()
    away.set()

    def hook(method, key):
        if method == "put_file" and away.is_set():
            raise TransientError(f"the store is away: {key}.")

    watched = WatchedStore(local, hook)
    publishing = publisher(out, watched, patience=0.01)
    make_commit(out, 1)
    publishing.start()
    wait_for(lambda: publishing.degraded)
    since = publishing.degraded.since
    make_commit(out, 2)
    result = publishing.flush(0.1)
    assert result.published_sequence == 0
    assert result.pending == [str(commit_folder(out, 2) / name) for name in ("checkpoint.pth", "commit.json")]
    assert "the store is away" in result.reason
    wait_for(lambda: len(watched.keys("put_file")) > 1)
    assert publishing.degraded.since == since
    away.clear()
    assert publishing.flush(30).published_sequence == 2
    publishing.stop()
    assert publishing.degraded is None
    assert caplog.text.count("Checkpoints are on the local disk only") == 1
    assert commit_folder(out, 1).is_dir()


def test_flush_does_not_wait_for_what_cannot_pass(local, out):
    def refuse(method, key):
        if method == "put_file":
            raise InfrastructureError("access was refused.")

    publishing = publisher(out, WatchedStore(local, refuse))
    make_commit(out, 1)
    publishing.start()
    begin = time.monotonic()
    result = publishing.flush(60)
    assert time.monotonic() - begin < 20
    assert (result.published_sequence, result.reason) == (0, "access was refused.")
    publishing.stop()


def test_flush_keeps_its_deadline_when_the_store_hangs(local, out):
    gate = Gate("put_file")
    publishing = publisher(out, WatchedStore(local, gate))
    make_commit(out, 1)
    publishing.start()
    result = publishing.flush(0.2)
    assert (result.published_sequence, result.reason) == (0, "not finished within 0 s")
    gate.open.set()
    publishing.stop()


def test_commit_with_a_truncated_file_is_not_published(local, out, caplog):
    make_commit(out, 1)
    make_commit(out, 2)
    damaged = commit_folder(out, 2) / "checkpoint.pth"
    damaged.write_bytes(b"sta")
    publishing = publisher(out, local)
    publishing.start()
    result = publishing.flush(30)
    publishing.stop()
    assert candidates(local) == ["manifests/000001-00000001.json"]
    assert (result.published_sequence, result.reason) == (1, "it is damaged")
    assert str(damaged) in result.pending
    assert f"{damaged} has 3 bytes, 7 wanted" in caplog.text


def test_what_a_killed_publisher_left_is_removed(local, out):
    (out / ".publishing" / "00000001").mkdir(parents=True)
    publishing = publisher(out, local)
    publishing.start()
    publishing.stop()
    assert not (out / ".publishing").exists()


def test_manifest_whose_answer_was_lost_counts_as_written(local, out):
    lost = threading.Event()

    class Lossy(WatchedStore):
        def write_if(self, key, data, version):
            written = self.store.write_if(key, data, version)
            if key.startswith("manifests/") and not lost.is_set():
                lost.set()
                time.sleep(0.002)  # the next attempt says another time
                raise InfrastructureError("no answer.")
            return written

    publishing = publisher(out, Lossy(local))
    make_commit(out, 1)
    publishing.start()
    assert lost.wait(20)
    publishing.flush(0)
    assert publishing.flush(30).published_sequence == 1
    publishing.stop()


def test_callback_that_fails_does_not_undo_the_publication(local, out, caplog):
    def fail(manifest):
        raise ValueError("no tags today")

    publishing = publisher(out, local, on_published=fail)
    make_commit(out, 1)
    publishing.start()
    assert publishing.flush(30).published_sequence == 1
    publishing.stop()
    assert publishing.degraded is None
    assert "no tags today" in caplog.text


def test_object_of_a_manifest_is_named_by_what_it_holds(local, out):
    publish_all(out, local, 1)
    file = newest(local).files[0]
    assert object_key(file) == f"objects/{hashlib.sha256(b'state 1').hexdigest()}/checkpoint.pth"
