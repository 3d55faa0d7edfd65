"""What both stores promise."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Conflict, Store, open_store

BAD_KEYS = ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\0b", "bad\udcff.jpg"]


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return open_store(f"s3://{request.getfixturevalue('s3_bucket')}/some/prefix")


def test_listing_is_sorted_and_relative_to_the_root(store):
    for key in ("b/2.txt", "a.txt", "b/ü #%1.txt", "b-side/x"):
        store.write(key, key.encode())
    assert [(found.key, found.size) for found in store.list()] == [
        ("a.txt", 5),
        ("b-side/x", 8),
        ("b/2.txt", 7),
        ("b/ü #%1.txt", 12),
    ]
    assert [found.key for found in store.list("b")] == ["b/2.txt", "b/ü #%1.txt"]
    assert store.list("nothing") == []


def test_listing_of_an_empty_store_is_empty(store):
    assert store.list() == []


def test_written_bytes_are_read_back(store):
    store.write("x/y.bin", b"0123456789")
    store.write("x/y.bin", b"9876543210")
    assert store.read("x/y.bin") == b"9876543210"
    assert store.read_head("x/y.bin", 4) == b"9876"
    assert store.read_head("x/y.bin", 400) == b"9876543210"


def test_head_of_an_empty_object_is_empty(store):
    store.write("empty", b"")
    assert store.read_head("empty", 10) == b""


def test_object_over_the_limit_is_refused(store):
    store.write("big", b"x" * 11)
    assert store.read("big", 11) == b"x" * 11
    with pytest.raises(DatasetError, match="larger than 10 bytes"):
        store.read("big", 10)


def test_missing_object_is_file_not_found(store, tmp_path):
    assert not store.exists("nope")
    for call in (store.read, lambda key: store.read_head(key, 1), lambda key: store.fetch(key, tmp_path / "out")):
        with pytest.raises(FileNotFoundError) as caught:
            call("nope")
        assert "very-secret-value" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_deleted_object_is_gone_and_deleting_again_is_no_error(store):
    store.write("x", b"1")
    assert store.exists("x")
    store.delete("x")
    store.delete("x")
    assert not store.exists("x")


@pytest.mark.parametrize("link", [True, False])
def test_fetch_brings_the_bytes_and_leaves_no_temporary_file(store, tmp_path, link):
    store.write("x.jpg", b"image")
    target = tmp_path / "deep" / "x.jpg"
    store.fetch("x.jpg", target, link=link)
    store.fetch("x.jpg", target, link=link)
    assert [path.name for path in target.parent.iterdir()] == ["x.jpg"]
    assert target.read_bytes() == b"image"


@pytest.mark.parametrize("key", BAD_KEYS)
def test_key_leaving_the_store_is_refused(store, tmp_path, key):
    for call in (store.read, store.exists, store.delete, lambda key: store.write(key, b"")):
        with pytest.raises(DatasetError, match="is refused"):
            call(key)
    with pytest.raises(DatasetError, match="is refused"):
        store.fetch(key, tmp_path / "out")


@pytest.mark.parametrize("size", [0, 10, 20 << 20])
def test_file_is_put_and_fetched_whole(store, tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)
    store.put_file("deep/x.bin", tmp_path / "source")
    (tmp_path / "source").write_bytes(b"written to later")
    assert [(found.key, found.size) for found in store.list()] == [("deep/x.bin", size)]
    store.fetch("deep/x.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_file_that_is_not_there_cannot_be_put(store, tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        store.put_file("x", tmp_path / "no-such-file")
    assert store.list() == []


def test_copy_outlives_its_source(store):
    store.write("objects/1", b"content")
    store.write("alias", b"old")
    assert store.copy("objects/1", "alias") is True
    store.delete("objects/1")
    assert store.read("alias") == b"content"
    with pytest.raises(FileNotFoundError):
        store.copy("objects/1", "alias")


def test_conditional_write_refuses_another_version(store):
    first = store.write_if("lease.json", b"1", None)
    assert store.read_versioned("lease.json") == (b"1", first)
    with pytest.raises(Conflict, match=r"lease\.json"):
        store.write_if("lease.json", b"other", None)
    second = store.write_if("lease.json", b"2", first)
    with pytest.raises(Conflict):
        store.write_if("lease.json", b"zombie", first)
    assert store.write_if("lease.json", b"2", first) == second
    assert store.read_versioned("lease.json") == (b"2", second)
    assert [found.key for found in store.list()] == ["lease.json"]


def test_conditional_write_of_an_object_that_went_away_is_a_conflict(store):
    version = store.write_if("lease.json", b"1", None)
    store.delete("lease.json")
    with pytest.raises(Conflict):
        store.write_if("lease.json", b"2", version)
    assert not store.exists("lease.json")
    with pytest.raises(FileNotFoundError):
        store.read_versioned("lease.json")


def test_no_update_is_lost_between_competing_writers(store):
    store.write_if("counter", b"0", None)

    def add_one(_):
        while True:
            data, version = store.read_versioned("counter")
            # The writer's mark keeps equal counts of two writers apart.
            mine = f"{int(data.split()[0]) + 1} {os.urandom(4).hex()}".encode()
            try:
                return store.write_if("counter", mine, version)
            except Conflict:
                continue

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(add_one, range(12)))
    assert store.read("counter").split()[0] == b"12"
    assert len(set(versions)) == 12


def test_object_of_another_version_is_not_fetched(store, tmp_path):
    first = store.write_if("x", b"1", None)
    store.write_if("x", b"2", first)
    with pytest.raises(Conflict):
        store.fetch("x", tmp_path / "out", version=first)
    assert not (tmp_path / "out").exists()
