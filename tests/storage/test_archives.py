"""What an archive promises as a store, on a disk and in S3."""

import os
import random
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive_builders import SUFFIXES, compress, make_tar, make_zip, pack, write
from fault_proxy import FaultProxy, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import TEMPORARY
from rfdetr_train.storage import Conflict, Store, Wanted, open_store
from rfdetr_train.storage.archives.ranges import FileReader

BIG = random.Random(1).randbytes(9 << 20)
FILES = {
    "data.yaml": b"names: [cat]\n",
    "train/images/a.jpg": random.Random(2).randbytes(30_000),
    "train/images/ü #%1.jpg": random.Random(3).randbytes(9_000),
    "train/images/empty.jpg": b"",
    "train/labels/a.txt": b"0 0.5 0.5 0.1 0.1\n" * 9,
    "valid/big.bin": BIG,
}
STREAMED = (".tar.gz", ".tar.zst")


@cache
def packed(suffix: str) -> bytes:
    return pack(FILES, suffix)


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """Returns a function that puts an archive there and returns its URI."""
    if request.param == "local":
        return lambda name, data: write(tmp_path, name, data)
    bucket = request.getfixturevalue("s3_bucket")

    def put(name: str, data: bytes) -> str:
        open_store(f"s3://{bucket}/some/prefix").write(name, data)
        return f"s3://{bucket}/some/prefix/{name}"

    return put


def fetch(store: Store, folder: Path) -> list[Wanted]:
    return list(store.fetch_all(all_of(store, folder), link=True))


def all_of(store: Store, folder: Path) -> list[Wanted]:
    return [Wanted(found.key, found.size, folder / found.key, found.etag) for found in store.list()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_lists_the_keys_and_sizes_of_the_folder(place, suffix, tmp_path):
    folder = open_store(str(tmp_path / "folder"))
    for key, content in FILES.items():
        folder.write(key, content)
    store = open_store(place(f"set{suffix}", packed(suffix)))
    assert [found[:2] for found in store.list()] == [found[:2] for found in folder.list()]
    assert [found[:2] for found in store.list("train/labels")] == [("train/labels/a.txt", 162)]
    assert store.list("train/lab") == []
    assert sorted(store.names()) == sorted(FILES)
    assert store.names("valid/") == ["valid/big.bin"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ranges_of_members_are_read(place, suffix):
    store = open_store(place(f"set{suffix}", packed(suffix)))
    for key, content in FILES.items():
        size = len(content)
        for start, count in [(0, 256), (size - 64, 64), (size // 2, 100), (0, size), (size - 5, 50), (size + 1, 9)]:
            if start >= 0:
                assert store.read_range(key, start, count) == content[start : start + count], (key, start, count)
        assert store.read(key) == content
        assert store.exists(key)
        assert store.size(key) == size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_fetched_members_are_whole_and_no_temporary_file_is_left(place, suffix, tmp_path):
    store = open_store(place(f"set{suffix}", packed(suffix)))
    done = fetch(store, tmp_path / "out")
    assert sorted(done) == sorted(all_of(store, tmp_path / "out"))
    assert contents(tmp_path / "out") == FILES
    store.fetch("train/images/a.jpg", tmp_path / "one.jpg")
    assert (tmp_path / "one.jpg").read_bytes() == FILES["train/images/a.jpg"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_member_goes_to_every_destination_that_wants_it(suffix, tmp_path):
    store = open_store(write(tmp_path, f"set{suffix}", packed(suffix)))
    found = next(found for found in store.list() if found.key == "train/labels/a.txt")
    wanted = [Wanted(found.key, found.size, tmp_path / name) for name in ("x.txt", "y.txt")]
    assert set(store.fetch_all(wanted, link=True)) == set(wanted)
    assert (tmp_path / "x.txt").read_bytes() == (tmp_path / "y.txt").read_bytes() == FILES[found.key]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_that_is_not_in_the_archive_is_not_found(suffix, tmp_path):
    store = open_store(write(tmp_path, f"set{suffix}", pack({"a.txt": b"a"}, suffix)))
    assert not store.exists("b.txt")
    target = tmp_path / "out"
    for call in (
        lambda: store.read("b.txt"),
        lambda: store.read_range("b.txt", 0, 1),
        lambda: store.fetch("b.txt", target),
        lambda: list(store.fetch_all([Wanted("b.txt", 1, target, "00000000")], link=True)),
    ):
        with pytest.raises(FileNotFoundError, match=f"set{suffix}/b.txt"):
            call()
    # Not listed before, with versions: the stream is the first to tell.
    fresh = open_store(store.uri)
    with pytest.raises(FileNotFoundError, match=f"set{suffix}/b.txt"):
        list(fresh.fetch_all([Wanted("b.txt", 1, target, "00000000")], link=True))
    assert not target.exists()
    with pytest.raises(DatasetError, match="is refused"):
        store.read("../a.txt")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("listed", [True, False])
def test_member_of_another_size_or_version_is_a_conflict(suffix, listed, tmp_path):
    path = write(tmp_path, f"set{suffix}", pack({"a.txt": b"aaaa"}, suffix))
    etag = open_store(path).list()[0].etag
    for item in (Wanted("a.txt", 5, tmp_path / "out", etag), Wanted("a.txt", 4, tmp_path / "out", "0123abcd")):
        store = open_store(path)
        if listed:
            store.list()
        with pytest.raises(Conflict, match="has changed"):
            list(store.fetch_all([item], link=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_that_is_swapped_meanwhile_is_refused(place, suffix, tmp_path):
    files = {**FILES, "z.bin": BIG[::-1]}
    store = open_store(place(f"set{suffix}", pack(files, suffix)))
    wanted = all_of(store, tmp_path / "out")
    time.sleep(0.01)
    place(f"set{suffix}", pack({name: content[::-1] for name, content in files.items()}, suffix))
    with pytest.raises(Conflict):
        list(store.fetch_all(wanted, link=True))


def test_archive_replaced_on_the_disk_is_refused(tmp_path):
    path = write(tmp_path, "set.zip", packed(".zip"))
    store = open_store(path)
    store.list()
    write(tmp_path, "other.zip", packed(".zip"))
    (tmp_path / "other.zip").replace(path)
    with pytest.raises(Conflict, match="has changed while it was read"):
        store.read("data.yaml")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_that_is_not_there_is_named(place, suffix, tmp_path):
    uri = place(f"set{suffix}", b"").replace("set.", "other.")
    store = open_store(uri)
    for call in (store.list, lambda: list(store.fetch_all([Wanted("a", 1, tmp_path / "a", "00000000")], link=True))):
        with pytest.raises(DatasetError, match=r"There is no archive at .*other\."):
            call()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_is_only_read(suffix, tmp_path):
    store = open_store(write(tmp_path, f"set{suffix}", packed(suffix)))
    assert store.uri == str(tmp_path / f"set{suffix}")
    for call in (
        lambda: store.write("x", b""),
        lambda: store.write_if("x", b"", None),
        lambda: store.put_file("x", tmp_path),
        lambda: store.delete("data.yaml"),
    ):
        with pytest.raises(ParameterError, match="an archive, which is only read"):
            call()
    assert store.copy("data.yaml", "x") is False
    assert store.abort_uploads() == 0
    assert store.read_versioned("data.yaml")[0] == FILES["data.yaml"]
    with pytest.raises(DatasetError, match="larger than 10 bytes"):
        store.read("data.yaml", 10)


def test_folder_named_like_an_archive_is_a_folder(tmp_path, s3_bucket):
    open_store(str(tmp_path / "set.zip" / "sub")).write("a", b"1")
    assert open_store(str(tmp_path / "set.zip")).names() == ["sub/a"]
    open_store(f"s3://{s3_bucket}/set.zip/").write("a", b"1")
    assert open_store(f"s3://{s3_bucket}/set.zip/").names() == ["a"]


def test_archive_is_opened_by_its_file_uri_and_in_capitals(tmp_path):
    write(tmp_path, "My Set.ZIP", packed(".zip"))
    assert sorted(open_store(f"file://{tmp_path}/My%20Set.ZIP").names()) == sorted(FILES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_single_folder_around_the_dataset_is_no_part_of_it(suffix, tmp_path):
    around = {f"My set/{name}": content for name, content in FILES.items()}
    extra = {"__MACOSX/My set/._data.yaml": b"x", "My set/.DS_Store": b"x", ".DS_Store": b"", "My set/train/._a": b"x"}
    store = open_store(write(tmp_path, f"set{suffix}", pack({**extra, **around}, suffix)))
    assert sorted(store.names()) == sorted(FILES)
    fetch(store, tmp_path / "listed")
    assert contents(tmp_path / "listed") == FILES
    # A node that stages has not listed the archive; it knows keys, sizes and versions.
    wanted = all_of(store, tmp_path / "out")
    assert set(open_store(store.uri).fetch_all(wanted, link=True)) == set(wanted)
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("top", ["train", "valid", "test", "images", "val2017", "Annotations"])
def test_single_folder_with_a_meaning_stays(suffix, top, tmp_path):
    store = open_store(write(tmp_path, f"set{suffix}", pack({f"{top}/a.jpg": b"", f"{top}/b.jpg": b""}, suffix)))
    assert sorted(store.names()) == [f"{top}/a.jpg", f"{top}/b.jpg"]


def test_names_as_tar_of_a_dot_writes_them_are_plain(tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "a.jpg").write_bytes(b"a")
    (tmp_path / "set" / "x").write_bytes(b"x")
    subprocess.run(["tar", "-czf", tmp_path / "set.tgz", "-C", tmp_path / "set", "."], check=True)
    assert sorted(open_store(str(tmp_path / "set.tgz")).names()) == ["train/a.jpg", "x"]


@pytest.mark.parametrize("form", ["gnu", "ustar", "posix", "v7", "oldgnu"])
def test_tar_of_every_common_format_is_read(form, tmp_path):
    long = "x/" * (40 if form in ("ustar", "v7") else 120) + "a.jpg"
    (tmp_path / "set" / long).parent.mkdir(parents=True)
    (tmp_path / "set" / long).write_bytes(b"image")
    (tmp_path / "set" / "ü.txt").write_bytes(b"label")
    subprocess.run(
        ["tar", f"--format={form}", "-cf", tmp_path / "set.tar", "-C", tmp_path / "set", "x", "ü.txt"], check=True
    )
    store = open_store(str(tmp_path / "set.tar"))
    assert [(found.key, found.size) for found in store.list()] == [(long, 5), ("ü.txt", 5)]
    assert store.read(long) == b"image"


def test_joined_gzip_members_and_padding_are_read(tmp_path):
    data = make_tar(FILES.items())
    packed = compress(data[:5000], ".gz") + compress(data[5000:], ".gz") + bytes(700)
    store = open_store(write(tmp_path, "set.tar.gz", packed))
    assert store.read("valid/big.bin") == BIG


def test_zip64_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = pack(FILES, ".zip")
    assert b"PK\6\6" in data
    store = open_store(write(tmp_path, "set.zip", data))
    assert {key: store.read(key) for key in store.names()} == FILES


def test_zip_with_a_comment_and_without_files_is_read(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"PK\5\6 is how an end record begins" * 30
    assert open_store(str(path)).list() == []


def test_zip_written_to_a_pipe_and_with_long_extra_fields_is_read(place):
    class Pipe:
        def __init__(self):
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

        def flush(self) -> None:
            pass

    pipe, files = Pipe(), {"a.jpg": b"image" * 999, "b.jpg": b""}
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH", 0x7777, 3000) + bytes(3000)
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    store = open_store(place("set.zip", pipe.data))
    assert store.read_range("a.jpg", 5, 20) == b"image" * 4
    assert {key: store.read(key) for key in store.names()} == files


def test_names_in_utf8_without_the_flag_are_those_that_macos_means(tmp_path):
    data = make_zip([("ü.jpg", b"1"), ("a.jpg", b"2")])
    plain = bytearray(data)
    for place in (data.index(b"PK\3\4") + 7, data.index(b"PK\1\2") + 9):
        plain[place] &= ~0x08
    store = open_store(write(tmp_path, "set.zip", bytes(plain)))
    assert {key: store.read(key) for key in store.names()} == {"ü.jpg": b"1", "a.jpg": b"2"}
    old = make_zip([("q.jpg", b"1")]).replace(b"q.jpg", b"\x81.jpg")
    assert open_store(write(tmp_path, "old.zip", old)).names() == ["ü.jpg"]


PARTS = st.text("abc1éü漢 #%-_~", min_size=1, max_size=60)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("/".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6), form=st.sampled_from([0, 1, 2]))
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_what_the_standard_library_packs_is_read_back(tmp_path, suffix, files, form):
    # With '.jpg' no file is a folder too; 'x' keeps the root where it is.
    files = {"x": b"", **{f"{name}.jpg": content for name, content in files.items()}}
    if form == tarfile.USTAR_FORMAT:
        files = {name: content for name, content in files.items() if len(name.encode()) < 100}
    data = make_zip(files.items()) if suffix == ".zip" else compress(make_tar(files.items(), form), suffix)
    store = open_store(write(tmp_path, f"set{suffix}", data))
    assert {key: store.read(key) for key in store.names()} == files


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.zst"])
def test_unlisted_archive_is_read_once_to_fetch_all(suffix, tmp_path, monkeypatch):
    path = write(tmp_path, f"set{suffix}", packed(suffix))
    wanted = all_of(open_store(path), tmp_path / "out")
    read = counted(monkeypatch)
    list(open_store(path).fetch_all(wanted, link=True))
    assert contents(tmp_path / "out") == FILES
    assert sum(read) < Path(path).stat().st_size + (80 << 10)


def test_stream_is_left_when_all_that_is_wanted_is_there(tmp_path, monkeypatch):
    files = {"a.txt": b"first", **{f"{number}.bin": BIG for number in range(6)}}
    path = write(tmp_path, "set.tar.gz", compress(make_tar(files.items()), ".gz"))
    etag = {found.key: found.etag for found in open_store(path).list()}["a.txt"]
    read = counted(monkeypatch)
    list(open_store(path).fetch_all([Wanted("a.txt", 5, tmp_path / "a.txt", etag)], link=True))
    assert sum(read) <= 8 << 20 < Path(path).stat().st_size / 6


@pytest.mark.parametrize("suffix", STREAMED)
def test_deep_headers_of_many_images_cost_one_more_pass(suffix, tmp_path, monkeypatch):
    images = {f"{number}.jpg": random.Random(number).randbytes(40_000) for number in range(20)}
    store = open_store(write(tmp_path, f"set{suffix}", pack(images, suffix)))
    store.list()
    read = counted(monkeypatch)
    for key, content in images.items():
        assert store.read_range(key, 0, 512) == content[:512]
        assert store.read_range(key, 39_900, 100) == content[39_900:]
    assert sum(read) == 0
    for key, content in images.items():
        assert store.read_range(key, 20_000, 100) == content[20_000:20_100]
    assert sum(read) == (tmp_path / f"set{suffix}").stat().st_size


def test_members_of_a_packed_tar_are_not_kept_where_the_disk_has_no_room(tmp_path, monkeypatch):
    store = open_store(write(tmp_path, "set.tar.gz", packed(".tar.gz")))
    store.list()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DatasetError, match=r"takes 9,\d+,\d+ bytes in .*, which has 10\. Unpack it"):
        store.read("valid/big.bin")
    assert store.read("train/labels/a.txt") == FILES["train/labels/a.txt"]


def counted(monkeypatch) -> list[int]:
    """Returns the sizes of all reads of archives on the disk from now on."""
    sizes: list[int] = []
    read = FileReader.read

    def counting(self: FileReader, start: int, count: int) -> bytes:
        sizes.append(count)
        return read(self, start, count)

    monkeypatch.setattr(FileReader, "read", counting)
    return sizes


def range_of(request: Request) -> str:
    return next((value for name, value in request.headers.items() if name.lower() == "range"), "")


@pytest.fixture
def counted_s3(s3_bucket, monkeypatch):
    """Gives a bucket and a function that says how many requests and bytes were asked of its server."""
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)

        def asked() -> tuple[int, int]:
            ranges = [range_of(item).removeprefix("bytes=") for item in proxy.requests if item.method == "GET"]
            proxy.requests.clear()
            ends = [(int(first), int(last)) for first, last in (item.split("-") for item in ranges)]
            return len(ends), sum(last + 1 - first for first, last in ends)

        yield s3_bucket, asked


def test_listing_of_a_zip_in_s3_moves_its_directory_and_not_its_images(counted_s3):
    bucket, asked = counted_s3
    images = {f"train/{number:04}.jpg": random.Random(number).randbytes(60_000) for number in range(300)}
    data = make_zip([*images.items(), *((f"train/{number:04}.txt", b"0 0.5 0.5 0.1 0.1\n") for number in range(2000))])
    open_store(f"s3://{bucket}").write("set.zip", data)
    asked()
    store = open_store(f"s3://{bucket}/set.zip")
    assert len(store.list()) == 2300
    requests, count = asked()
    assert (requests, count < 300_000 < len(data) / 50) == (2, True)
    for number in range(20):
        assert store.read_range(f"train/{number:04}.jpg", 0, 256) == images[f"train/{number:04}.jpg"][:256]
    requests, count = asked()
    assert (requests, count < 20 * 1000) == (20, True)
    with ThreadPoolExecutor(8) as pool:
        labels = set(pool.map(lambda number: store.read(f"train/{number:04}.txt"), range(2000)))
    assert labels == {b"0 0.5 0.5 0.1 0.1\n"}
    requests, count = asked()
    assert (requests <= 2, count < 300_000) == (True, True)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.zst"])
def test_archive_in_s3_is_moved_once_to_stage_it(counted_s3, suffix, tmp_path):
    bucket, asked = counted_s3
    files = {f"train/{number:03}.jpg": random.Random(number).randbytes(100_000) for number in range(300)}
    data = pack(files, suffix)
    open_store(f"s3://{bucket}").write(f"set{suffix}", data)
    store = open_store(f"s3://{bucket}/set{suffix}")
    wanted = all_of(store, tmp_path / "out")
    asked()
    list(open_store(store.uri).fetch_all(wanted, link=True))
    requests, count = asked()
    assert requests <= 7
    assert count <= 1.01 * len(data)
    assert contents(tmp_path / "out") == files


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_broken_connection_is_taken_up_again_at_its_piece(s3_bucket, monkeypatch, suffix, tmp_path):
    files = {"a.bin": BIG, "b.bin": BIG[::-1], "c.bin": BIG[7:]}
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        open_store(f"s3://{s3_bucket}").write(f"set{suffix}", pack(files, suffix))
        proxy.reset(2, after=1 << 20, when=lambda request: request.method == "GET" and range_of(request))
        fetch(open_store(f"s3://{s3_bucket}/set{suffix}"), tmp_path / "out")
    assert contents(tmp_path / "out") == files


def test_member_that_is_damaged_never_appears(tmp_path):
    files = {f"{number}.jpg": random.Random(number).randbytes(5000) for number in range(4)}
    data = make_zip(files.items(), zipfile.ZIP_STORED)
    place = data.index(files["2.jpg"]) + 100
    store = open_store(write(tmp_path, "set.zip", data[:place] + b"\0\1" + data[place + 2 :]))
    with pytest.raises(DatasetError, match=r"2\.jpg is damaged: its CRC-32 is"):
        fetch(store, tmp_path / "out")
    there = contents(tmp_path / "out")
    assert "2.jpg" not in there
    assert there.items() <= files.items()


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.zst"])
def test_killed_while_fetching_leaves_only_whole_files(suffix, tmp_path):
    files = {f"{number:03}.jpg": random.Random(number).randbytes(400_000) for number in range(100)}
    path = write(tmp_path, f"set{suffix}", pack(files, suffix))
    program = (
        "import sys; from pathlib import Path; from rfdetr_train.storage import open_store, Wanted\n"
        "store = open_store(sys.argv[1])\n"
        "for item in store.fetch_all([Wanted(f.key, f.size, Path(sys.argv[2]) / f.key, f.etag) for f in store.list()],"
        " link=True): print(item.key, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, path, tmp_path / "out"], stdout=subprocess.PIPE)
    for _ in range(7):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = {name: content for name, content in contents(tmp_path / "out").items() if not TEMPORARY.fullmatch(name)}
    assert 7 <= len(there) < 100
    assert there.items() <= files.items()
