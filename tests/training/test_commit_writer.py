"""Commits written beside a training."""

import threading

import pytest
import torch

from rfdetr_train.checkpoints.commit import list_commits, read_commit, verify_commit
from rfdetr_train.checkpoints.files import BEST_TOTAL, JOURNAL, LATEST
from rfdetr_train.errors import InfrastructureError
from rfdetr_train.training import commit_writer
from rfdetr_train.training.commit_writer import CommitWriter, Moment


@pytest.fixture
def writer(tmp_path):
    return CommitWriter(tmp_path, sequence=4, fingerprint="f", world_size=2)


def state(value=1.0):
    return {"state_dict": {"w": torch.full((8,), value)}}


def newest(output_dir):
    folder = list_commits(output_dir)[0]
    commit = read_commit(folder)
    verify_commit(folder, commit)
    return commit


def names(commit):
    return [entry.name for entry in commit.files]


def test_commit_holds_the_state_and_what_lay_beside_it_at_that_moment(writer, tmp_path, monkeypatch):
    (tmp_path / BEST_TOTAL).write_bytes(b"best")
    (tmp_path / JOURNAL).write_bytes(b"one\n")
    go, save = threading.Event(), torch.save
    monkeypatch.setattr(commit_writer.torch, "save", lambda *arguments: (go.wait(30), save(*arguments)))
    writer.begin(state(), Moment(1, 10, 0, "checkpoint_1.pth"))
    assert writer.busy
    assert list_commits(tmp_path) == []
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b"two\n")
    (tmp_path / BEST_TOTAL).unlink()
    (tmp_path / BEST_TOTAL).write_bytes(b"better")
    go.set()
    writer.wait()

    commit = newest(tmp_path)
    assert (commit.sequence, commit.epoch, commit.step, commit.world_size) == (5, 1, 10, 2)
    assert names(commit) == [LATEST, "checkpoint_1.pth", BEST_TOTAL, JOURNAL]
    folder = list_commits(tmp_path)[0]
    assert (folder / JOURNAL).read_bytes() == b"one\n"
    assert (folder / BEST_TOTAL).read_bytes() == b"best"
    assert (tmp_path / LATEST).samefile(folder / LATEST)
    assert (tmp_path / "checkpoint_1.pth").samefile(folder / LATEST)


def test_two_newest_commits_are_kept_and_nothing_else(writer, tmp_path):
    for step in (10, 20, 30):
        writer.begin(state(step), Moment(0, step, step))
    writer.close()
    assert [read_commit(folder).step for folder in list_commits(tmp_path)] == [30, 20]
    assert sorted(path.name for path in (tmp_path / ".commits").iterdir()) == ["00000006", "00000007"]


def test_state_that_is_not_finite_is_no_commit(writer, tmp_path):
    writer.begin(state(), Moment(0, 10, 10))
    writer.begin(state(float("nan")), Moment(0, 20, 20))
    writer.close()
    assert [read_commit(folder).step for folder in list_commits(tmp_path)] == [10]
    assert torch.load(tmp_path / LATEST)["state_dict"]["w"][0] == 1.0


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("[enforce fail at inline]")])
def test_commit_that_cannot_be_written_is_told_and_the_one_before_it_stays(writer, tmp_path, monkeypatch, error):
    writer.begin(state(), Moment(0, 10, 10))
    writer.wait()

    def fail(*_):
        raise error

    monkeypatch.setattr(commit_writer.torch, "save", fail)
    writer.begin(state(2.0), Moment(0, 20, 20))
    writer._running.exception()
    assert writer.failed
    with pytest.raises(InfrastructureError, match=r"checkpoint of step 20 could not be written .* is whole"):
        writer.wait()
    assert newest(tmp_path).step == 10
    assert torch.load(tmp_path / LATEST)["state_dict"]["w"][0] == 1.0
    assert [path.name for path in (tmp_path / ".commits").iterdir()] == ["00000005"]


def test_what_the_end_of_a_training_adds_becomes_a_commit_of_the_same_state(writer, tmp_path):
    writer.begin(state(), Moment(3, 30, 0))
    writer.wait()
    (tmp_path / BEST_TOTAL).write_bytes(b"best")
    writer.close()
    commit = newest(tmp_path)
    assert (commit.sequence, commit.step, names(commit)) == (6, 30, [LATEST, BEST_TOTAL])


def test_end_that_adds_nothing_makes_no_commit(writer, tmp_path):
    writer.begin(state(), Moment(3, 30, 0))
    writer.close()
    assert newest(tmp_path).sequence == 5
