import os
import subprocess
import sys
from pathlib import Path

import pytest

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Wanted, local, open_store


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.txt").write_text("1")
    return tmp_path / "data"


def test_symbolic_link_inside_the_folder_is_followed(root):
    (root / "link.txt").symlink_to(root / "a" / "1.txt")
    (root / "b").symlink_to(root / "a", target_is_directory=True)
    store = open_store(str(root))
    assert [found.key for found in store.list()] == ["a/1.txt", "b/1.txt", "link.txt"]
    assert sorted(store.names()) == ["a/1.txt", "b/1.txt", "link.txt"]
    assert store.read("b/1.txt") == store.read("link.txt") == b"1"
    assert store.read_range("b/1.txt", 0, 9) == store.read_range("link.txt", 0, 9) == b"1"


def test_symbolic_link_leaving_the_folder_is_refused(root):
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    store = open_store(str(root))
    wanted = [Wanted("link.txt", 7, root / "x")]
    for call in (
        store.list,
        store.names,
        lambda: store.read("link.txt"),
        lambda: store.read_range("link.txt", 0, 1),
        lambda: store.fetch("link.txt", root / "x"),
        lambda: list(store.fetch_all(wanted, link=True)),
        lambda: list(store.fetch_all(wanted, link=False)),
    ):
        with pytest.raises(DatasetError, match="leaves the dataset folder"):
            call()


def test_folder_linked_out_of_the_root_is_refused(root):
    (root / "up").symlink_to(root.parent, target_is_directory=True)
    with pytest.raises(DatasetError, match="leaves the dataset folder"):
        open_store(str(root)).read("up/secret.txt")
    with pytest.raises(DatasetError, match="leaves the dataset folder"):
        open_store(str(root)).read_range("up/secret.txt", 0, 1)
    with pytest.raises(DatasetError, match="leaves the dataset folder"):
        list(open_store(str(root)).fetch_all([Wanted("up/secret.txt", 7, root / "x")], link=False))


def test_circle_of_links_is_refused(root):
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    for call in (open_store(str(root)).list, open_store(str(root)).names):
        with pytest.raises(DatasetError, match="folder above it"):
            call()


def test_root_that_is_itself_a_link_works(root, tmp_path):
    (tmp_path / "alias").symlink_to(root, target_is_directory=True)
    assert [found.key for found in open_store(str(tmp_path / "alias")).list()] == ["a/1.txt"]


def test_archive_instead_of_a_folder_is_refused_with_the_next_step(root):
    with pytest.raises(DatasetError, match=r"is a file, not a folder\. Unpack it"):
        open_store(str(root / "a" / "1.txt")).list()


def test_fetch_makes_a_hard_link_and_a_copy_when_asked(root, tmp_path):
    store = open_store(str(root))
    store.fetch("a/1.txt", tmp_path / "linked")
    store.fetch("a/1.txt", tmp_path / "copied", link=False)
    inode = (root / "a" / "1.txt").stat().st_ino
    assert (tmp_path / "linked").stat().st_ino == inode
    assert (tmp_path / "copied").stat().st_ino != inode


def test_many_files_become_hard_links_of_what_symbolic_links_lead_to_and_copies_when_asked(root, tmp_path):
    (root / "link.txt").symlink_to(root / "a" / "1.txt")
    store = open_store(str(root))
    wanted = [Wanted(key, 1, tmp_path / "out" / key) for key in ("link.txt", "a/1.txt")]
    inode = (root / "a" / "1.txt").stat().st_ino
    for link in (True, False):
        assert list(store.fetch_all(wanted, link=link))
        for item in wanted:
            assert not item.destination.is_symlink()
            assert (item.destination.stat().st_ino == inode) is link


def test_files_that_cannot_be_linked_are_copied(root, tmp_path, monkeypatch):
    link, wanted = os.link, []
    for number in range(20):
        (root / f"{number}.txt").write_text(f"{number:03}")
        wanted.append(Wanted(f"{number}.txt", 3, tmp_path / "out" / f"{number}.txt"))

    def refuse_odd(source, *others):
        if int(Path(source).stem) % 2:
            raise PermissionError(1, "Operation not permitted")
        link(source, *others)

    monkeypatch.setattr(os, "link", refuse_odd)
    assert sorted(open_store(str(root)).fetch_all(wanted, link=True)) == sorted(wanted)
    for number, item in enumerate(wanted):
        assert item.destination.read_text() == f"{number:03}"
        assert item.destination.samefile(root / f"{number}.txt") is (number % 2 == 0)


def test_name_that_would_mislead_is_refused_among_many(root):
    for number in range(50):
        (root / f"{number}.jpg").write_bytes(b"")
    (root / "a" / "x\\y.jpg").write_bytes(b"")
    store = open_store(str(root))
    for call in (store.list, store.names):
        with pytest.raises(DatasetError, match=r"'a/x.*y\.jpg' is refused"):
            call()
    (root / "a" / "x\\y.jpg").rename(root / "a" / "bad\u2044name.jpg")
    for call in (store.list, store.names):
        with pytest.raises(DatasetError, match="is refused"):
            call()


def test_lock_of_a_store_is_not_listed(root):
    store = open_store(str(root))
    store.write_if("a/lease.json", b"1", None)
    assert (root / "a" / ".rfdetr-lock").exists()
    assert [found.key for found in store.list()] == sorted(store.names()) == ["a/1.txt", "a/lease.json"]


def test_fetch_copies_where_links_are_impossible(root, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    open_store(str(root)).fetch("a/1.txt", tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "1"


def test_failed_write_leaves_the_old_file_and_nothing_else(root, monkeypatch):
    monkeypatch.setattr(local.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        open_store(str(root)).write("a/1.txt", b"new")
    assert [path.name for path in (root / "a").iterdir()] == ["1.txt"]
    assert (root / "a" / "1.txt").read_text() == "1"


def test_written_file_is_readable_for_others(root):
    before = os.umask(0o022)
    try:
        open_store(str(root)).write("new.txt", b"")
    finally:
        os.umask(before)
    assert (root / "new.txt").stat().st_mode & 0o777 == 0o644


def test_no_update_is_lost_between_processes(tmp_path):
    code = """
import os, sys
from rfdetr_train.storage import Conflict, open_store
store = open_store(sys.argv[1])
done = 0
while done < 20:
    data, version = store.read_versioned("counter")
    try:
        store.write_if("counter", b"%d %s" % (int(data.split()[0]) + 1, os.urandom(4).hex().encode()), version)
        done += 1
    except Conflict:
        pass
"""
    store = open_store(str(tmp_path / "store"))
    store.write("counter", b"0")
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store")]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert store.read("counter").split()[0] == b"60"


def test_what_a_killed_write_left_is_removed(root):
    store = open_store(str(root))
    left = root / "a" / ".checkpoint.0123abcd.pth"
    left.write_bytes(b"half")
    (root / "a" / ".hidden.pth").write_bytes(b"")
    assert store.abort_uploads("b") == 0
    assert store.abort_uploads("a") == 1
    assert sorted(path.name for path in (root / "a").iterdir()) == [".hidden.pth", "1.txt"]
