import os
import stat

import pytest

from rfdetr_train.files import atomic_replace, atomic_write_bytes, atomic_write_text


def test_text_is_written_as_utf8_and_missing_folders_are_made(tmp_path):
    atomic_write_text(tmp_path / "a" / "b.txt", "größe\r\n")

    assert (tmp_path / "a" / "b.txt").read_bytes() == "größe\r\n".encode()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "model.pth"
    atomic_write_bytes(target, b"old")

    with pytest.raises(OSError, match="disk full"), atomic_replace(target) as temporary:
        temporary.write_bytes(b"half of the n")
        raise OSError("disk full")

    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_reader_sees_the_old_content_until_the_block_ends(tmp_path):
    target = tmp_path / "model.pth"
    atomic_write_bytes(target, b"old")

    with atomic_replace(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"

    assert target.read_bytes() == b"new"


def test_the_temporary_file_keeps_folder_and_suffix(tmp_path):
    with atomic_replace(tmp_path / "report.html") as temporary:
        temporary.touch()
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".html")


def test_a_new_file_is_readable_by_others_and_a_replaced_one_keeps_its_permissions(tmp_path):
    private, public = tmp_path / "private", tmp_path / "public"
    private.touch(mode=0o600)

    for target in (private, public):
        atomic_write_text(target, "x")

    assert [stat.S_IMODE(target.stat().st_mode) for target in (private, public)] == [0o600, 0o644]


def test_the_longest_file_name_can_be_written(tmp_path):
    target = tmp_path / ("n" * 255)

    atomic_write_text(target, "x")

    assert target.read_text() == "x"


def test_a_write_that_is_killed_leaves_the_old_file(tmp_path):
    target = tmp_path / "model.pth"
    atomic_write_bytes(target, b"old")

    child = os.fork()
    if child == 0:
        with atomic_replace(target) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), 9)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == 9
    assert target.read_bytes() == b"old"
