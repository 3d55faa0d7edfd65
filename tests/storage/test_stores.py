"""What both stores promise."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Conflict, Store, Wanted, open_store

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


def test_names_are_the_keys_of_the_listing(store):
    for key in ("b/2.txt", "a.txt", "b/deep/ü #%1.txt", "b-side/x", "b/.hidden/y"):
        store.write(key, b"")
    assert sorted(store.names()) == [found.key for found in store.list()]
    assert sorted(store.names("b/")) == ["b/.hidden/y", "b/2.txt", "b/deep/ü #%1.txt"]
    assert store.names("nothing") == []


def test_listing_of_an_empty_store_is_empty(store):
    assert store.list() == store.names() == []


def test_written_bytes_are_read_back(store):
    store.write("x/y.bin", b"0123456789")
    store.write("x/y.bin", b"9876543210")
    assert store.read("x/y.bin") == b"9876543210"


@pytest.mark.parametrize(
    ("start", "count", "found"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 4, b"89"), (0, 400, b"0123456789"), (10, 1, b""), (99, 1, b"")],
)
def test_range_is_what_there_is_of_it(store, start, count, found):
    store.write("x/y.bin", b"0123456789")
    assert store.read_range("x/y.bin", start, count) == found


def test_range_of_an_empty_object_is_empty(store):
    store.write("empty", b"")
    assert store.read_range("empty", 0, 10) == b""


def test_object_over_the_limit_is_refused(store):
    store.write("big", b"x" * 11)
    assert store.read("big", 11) == b"x" * 11
    with pytest.raises(DatasetError, match="larger than 10 bytes"):
        store.read("big", 10)


def test_missing_object_is_file_not_found(store, tmp_path):
    assert not store.exists("nope")
    for call in (store.read, lambda key: store.read_range(key, 0, 1), lambda key: store.fetch(key, tmp_path / "out")):
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


def wanted_images(folder: Path, count: int, size: int = 10) -> list[Wanted]:
    return [Wanted(f"train/{n}.jpg", size, folder / f"train{n % 3}" / f"{n}.jpg") for n in range(count)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", [True, False])
def test_many_objects_are_fetched_each_to_its_place_and_named_when_they_are_there(store, tmp_path, link):
    wanted = wanted_images(tmp_path / "out", 100)
    for n, item in enumerate(wanted):
        store.write(item.key, b"%010d" % n)
    tagged = [item._replace(version=store.read_versioned(item.key)[1]) for item in wanted]
    done = []
    for item in store.fetch_all(tagged, link=link):
        assert item.destination.stat().st_size == 10
        done.append(item)
    assert sorted(done) == sorted(tagged)
    assert files(tmp_path / "out") == {f"train{n % 3}/{n}.jpg": b"%010d" % n for n in range(100)}


@pytest.mark.parametrize("link", [True, False])
def test_fetching_many_replaces_what_is_there(store, tmp_path, link):
    wanted = wanted_images(tmp_path / "out", 3)
    for item in wanted:
        store.write(item.key, b"0123456789")
        item.destination.parent.mkdir(parents=True)
        item.destination.write_bytes(b"old")
    for _ in range(2):
        assert len(list(store.fetch_all(wanted, link=link))) == 3
    assert files(tmp_path / "out") == {f"train{n}/{n}.jpg": b"0123456789" for n in range(3)}


def test_objects_of_no_and_of_many_bytes_are_fetched_among_others(store, tmp_path):
    sizes = [0, 1, (1 << 20), (1 << 20) + 1, 3 << 20]
    contents = {f"{size}.bin": os.urandom(size) for size in sizes}
    for key, content in contents.items():
        store.write(key, content)
    wanted = [Wanted(key, len(content), tmp_path / "out" / key) for key, content in contents.items()]
    assert len(list(store.fetch_all(wanted, link=False))) == 5
    assert files(tmp_path / "out") == contents


def test_nothing_is_fetched_where_nothing_is_wanted(store):
    assert list(store.fetch_all([], link=True)) == []


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": "train/gone.jpg"}, FileNotFoundError, "/train/gone.jpg$"),
        ({"size": 11}, Conflict, "/train/7.jpg has 10 bytes, 11 wanted"),
        ({"version": '"another"'}, Conflict, "/train/7.jpg .*version"),
    ],
)
def test_object_that_is_not_as_wanted_ends_the_fetching_and_leaves_nothing_of_itself(
    store, tmp_path, link, change, error, message
):
    wanted = wanted_images(tmp_path / "out", 20)
    for item in wanted:
        store.write(item.key, b"0123456789")
    wanted[7] = wanted[7]._replace(**change)
    with pytest.raises(error, match=message) as caught:
        list(store.fetch_all(wanted, link=link))
    if error is FileNotFoundError:
        assert str(caught.value) == f"{store.uri}/train/gone.jpg"
    found = files(tmp_path / "out")
    assert "train1/7.jpg" not in found
    assert set(found) <= {item.destination.relative_to(tmp_path / "out").as_posix() for item in wanted}
    assert set(found.values()) <= {b"0123456789"}


@pytest.mark.parametrize("key", BAD_KEYS)
def test_key_leaving_the_store_is_refused(store, tmp_path, key):
    for call in (store.read, store.exists, store.delete, lambda key: store.write(key, b"")):
        with pytest.raises(DatasetError, match="is refused"):
            call(key)
    with pytest.raises(DatasetError, match="is refused"):
        store.fetch(key, tmp_path / "out")
    with pytest.raises(DatasetError, match="is refused"):
        list(store.fetch_all([Wanted(key, 1, tmp_path / "out")], link=True))


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
