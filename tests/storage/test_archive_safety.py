"""What an archive may not do: every refusal names what was found, and memory stays bounded."""

import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from functools import cache

import pytest
from archive_builders import SUFFIXES, compress, entry_of, make_tar, make_zip, pack, patch, tar_header, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import Wanted, open_store

KINDS = (".zip", ".tar", ".tar.gz", ".tar.zst")


@pytest.fixture
def refused(tmp_path):
    """Gives a function that opens an archive and returns the error of listing it."""

    def error(data: bytes, suffix: str) -> str:
        store = open_store(write(tmp_path, f"set{suffix}", data))
        with pytest.raises(DatasetError) as caught:
            store.list()
        assert f"set{suffix}" in str(caught.value)
        return str(caught.value)

    return error


def tar_entry(name: str, kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x.jpg",
        "train/../../x.jpg",
        "a/./b.jpg",
        "a//b.jpg",
        "train\\x.jpg",
        "C:/x.jpg",
        "c:x.jpg",
        "a\nb.jpg",
        "a\x7f.jpg",
        "\x1b[31m.jpg",
        "a/\uff0e\uff0e/b.jpg",
        "a\u2215b.jpg",
        "x" * 256,
        "x/" * 600,
        "é" * 128,
    ],
)
@pytest.mark.parametrize("suffix", KINDS)
def test_name_leaving_the_root_or_that_no_disk_can_hold_is_refused(refused, suffix, name):
    assert repr(name)[1:10] in refused(pack({"train/a.jpg": b"", name: b""}, suffix), suffix)
    assert refused(pack({"train/a.jpg": b"", f"{name}/": b""}, suffix), suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_name_that_is_not_utf8_is_refused(refused, suffix):
    data = pack({"train/a.jpg": b"", "train/ü.jpg": b""}, suffix) if suffix == ".zip" else b""
    data = data.replace("ü".encode(), b"\xff\xff") or compress(
        make_tar([("\udcff.jpg", b"")], tarfile.GNU_FORMAT), suffix
    )
    assert "refused" in refused(data, suffix)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"M", "of the unknown kind 'M'"),
    ],
)
@pytest.mark.parametrize("target", ["a.jpg", "/etc/passwd"])
def test_tar_entry_that_is_no_file_is_refused_by_name(refused, kind, named, target):
    data = make_tar([("train/a.jpg", b"a"), (tar_entry("train/link.jpg", kind, linkname=target), b"")])
    assert f"its entry 'train/link.jpg' is {named}" in refused(data, ".tar")
    assert f"its entry 'train/link.jpg' is {named}" in refused(compress(data, ".gz"), ".tar.gz")


@pytest.mark.parametrize(
    ("mode", "named"),
    [
        (stat.S_IFLNK, "a symbolic link"),
        (stat.S_IFIFO, "a named pipe"),
        (stat.S_IFCHR, "a device"),
        (stat.S_IFBLK, "a device"),
        (stat.S_IFSOCK, "a socket"),
    ],
)
def test_zip_entry_that_is_no_file_is_refused_by_name(refused, mode, named):
    data = make_zip([("train/a.jpg", b"a"), (zip_entry("train/link.jpg", mode | 0o777), b"/etc/passwd")])
    assert f"its entry 'train/link.jpg' is {named}" in refused(data, ".zip")


def test_sparse_tar_entries_are_refused_by_name(refused):
    posix = tar_entry("a.jpg", tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.name": "a.jpg"})
    assert "is a sparse file" in refused(make_tar([(posix, b"x")]), ".tar")
    gnu = tar_header("a.jpg", 0, tarfile.GNUTYPE_SPARSE) + bytes(1024)
    assert "its entry 'a.jpg' is a sparse file" in refused(gnu, ".tar")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("a.jpg", "a.jpg", "'train/a.jpg' is there twice"),
        ("A.jpg", "a.JPG", "'train/a.JPG' and 'train/A.jpg' differ only in case or Unicode form"),
        ("é.jpg", "e\u0301.jpg", "only in case or Unicode form"),
        ("ß.jpg", "SS.jpg", "only in case or Unicode form"),
        ("ﬁ.jpg", "fi.jpg", "only in case or Unicode form"),
        ("a", "A/b.jpg", "is a file and a folder at once"),
    ],
)
def test_names_that_a_disk_may_take_for_one_are_refused(refused, suffix, first, second, named):
    files = [("train/x.jpg", b""), (f"train/{first}", b"1"), (f"train/{second}", b"2")]
    data = make_zip(files) if suffix == ".zip" else compress(make_tar(files), suffix)
    assert named in refused(data, suffix)


def end_record(entries: int, size: int, start: int) -> bytes:
    """Returns the end of a .zip with 64-bit fields."""
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    return wide + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)


def test_zip_of_a_million_entries_is_refused_from_its_end_record(refused):
    for count in (10**6, 10**7):
        message = refused(end_record(count, 0, 0), ".zip")
        assert f"it holds {count:,} entries, the limit is 500,000" in message
        assert "raise RFDETR_ARCHIVE_MAX_ENTRIES" in message


def test_zip_with_a_huge_directory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "set.zip"
    size = 200 << 20
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(end_record(10, size, 0))
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"list of files takes 209,715,200 bytes, the limit is 134,217,728"):
        open_store(str(path)).list()
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", KINDS)
def test_entries_over_the_limit_are_refused(refused, suffix, monkeypatch):
    monkeypatch.setenv("RFDETR_ARCHIVE_MAX_ENTRIES", "9")
    files = {f"train/{number}/": b"" for number in range(10)}
    assert "entries, the limit is 9" in refused(pack(files, suffix), suffix)


@pytest.mark.parametrize("suffix", KINDS)
def test_content_over_the_limit_is_refused(refused, suffix, monkeypatch):
    monkeypatch.setenv("RFDETR_ARCHIVE_MAX_BYTES", "100000")
    files = {"a.bin": bytes(60_000), "b.bin": bytes(60_000)}
    message = refused(pack(files, suffix), suffix)
    assert "bytes of content, the limit is 100,000" in message
    assert "raise RFDETR_ARCHIVE_MAX_BYTES" in message


@pytest.mark.parametrize("value", ["many", "-1", "0", "1.5", "²"])
def test_limit_that_is_no_number_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv("RFDETR_ARCHIVE_MAX_RATIO", value)
    with pytest.raises(ParameterError, match="RFDETR_ARCHIVE_MAX_RATIO must be a whole number"):
        open_store(str(tmp_path / "set.zip"))


@cache
def bomb(suffix: str) -> bytes:
    """Returns an archive of 64 MB of zeros."""
    return pack({"train/a.jpg": bytes(64 << 20)}, suffix)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.zst"])
def test_bomb_is_refused_with_its_ratio_and_in_little_memory(refused, suffix, monkeypatch):
    data = bomb(suffix)
    tracemalloc.start()
    message = refused(data, suffix)
    assert tracemalloc.get_traced_memory()[1] < len(data) + (8 << 20)
    tracemalloc.stop()
    assert "bytes in" in message
    assert "the limit is 200 times" in message
    monkeypatch.setenv("RFDETR_ARCHIVE_MAX_RATIO", "100000")
    assert "raise RFDETR_ARCHIVE_MAX_RATIO" in message


def test_small_file_may_have_any_ratio(tmp_path):
    for suffix in KINDS:
        files = {"mask.bmp": bytes(8 << 20), "a.jpg": b"a"}
        assert len(open_store(write(tmp_path, f"set{suffix}", pack(files, suffix))).list()) == 2


@pytest.mark.parametrize("claimed", [1000, 30_000])
def test_zip_member_that_gives_another_size_than_it_claims_is_refused(tmp_path, claimed):
    content = bytes(20_000)
    data = make_zip([("a.bin", content)])
    store = open_store(write(tmp_path, "set.zip", patch(data, entry_of(data) + 24, "I", claimed)))
    found = "more than the 1,000" if claimed < 20_000 else "20,000 in the place of the 30,000"
    for call in (lambda: store.read("a.bin"), lambda: store.fetch("a.bin", tmp_path / "out" / "a.bin")):
        with pytest.raises(DatasetError, match=f"a.bin is damaged: it gives {found} bytes that the directory says"):
            call()
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(DatasetError, match=r"a\.bin is damaged"):
        store.read_range("a.bin", 1, 30_000)


def test_zip_member_that_claims_little_is_not_inflated_further(tmp_path):
    data = bomb(".zip")
    store = open_store(write(tmp_path, "set.zip", patch(data, entry_of(data) + 24, "I", 100)))
    tracemalloc.start()
    with pytest.raises(DatasetError, match="more than the 100 bytes"):
        store.read("train/a.jpg")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_zip_members_that_share_bytes_are_refused(refused):
    data = make_zip([("a.bin", b"kernel" * 100), ("b.bin", b"kernel" * 100)])
    second = entry_of(data, 1)
    assert "shares its bytes with another one" in refused(patch(data, second + 42, "I", 0), ".zip")
    # As zbsm does it: the first member is quoted to the second one's end.
    packed = struct.unpack_from("<I", data, entry_of(data) + 20)[0]
    assert "shares its bytes with another one" in refused(patch(data, entry_of(data) + 20, "I", packed + 50), ".zip")


@pytest.mark.parametrize(
    ("flag", "method", "named"),
    [
        (0x1, 8, "is encrypted"),
        (0x41, 8, "is encrypted"),
        (0x2001, 8, "is encrypted"),
        (0, 9, r"is packed with Deflate64 (Deflate and stored files are read)"),
        (0, 12, "is packed with bzip2"),
        (0, 14, "is packed with LZMA"),
        (0, 93, "is packed with Zstandard"),
        (0, 77, "is packed with method 77"),
    ],
)
def test_zip_member_that_cannot_be_read_is_refused_by_name(refused, flag, method, named):
    data = make_zip([("train/a.jpg", b"a" * 100)])
    assert f"its entry 'train/a.jpg' {named}" in refused(patch(data, entry_of(data) + 8, "HH", flag, method), ".zip")


def test_local_header_that_says_something_else_is_refused(tmp_path):
    data = make_zip([("train/a.jpg", b"a" * 100)])
    for changed in (data.replace(b"train/a.jpg", b"train/b.jpg", 1), patch(data, 8, "H", 0), patch(data, 26, "H", 12)):
        store = open_store(write(tmp_path, "set.zip", changed))
        with pytest.raises(DatasetError, match="what stands before its content is not what the directory says"):
            store.read("train/a.jpg")


def test_zip_in_parts_is_refused(refused):
    data = make_zip([("a.jpg", b"")])
    assert "one part of several" in refused(patch(data, len(data) - 18, "H", 1), ".zip")


def test_zip_with_another_count_than_entries_is_refused(refused):
    data = make_zip([("a.jpg", b""), ("b.jpg", b"")])
    assert "more than its 1 entries" in refused(patch(data, len(data) - 12, "H", 1), ".zip")
    assert "ends before its time" in refused(patch(data, len(data) - 12, "H", 3), ".zip")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_giant_extension_header_of_a_tar_is_refused_unread(refused, kind, suffix):
    header = tar_header("x", 64 << 20, kind)
    data = compress(header + bytes(64 << 20) + bytes(1024), suffix)
    tracemalloc.start()
    assert "it has a header of 67,108,864 bytes, the limit is 1,048,576" in refused(data, suffix)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_endless_extension_headers_of_a_tar_are_refused(refused):
    header = tar_header("x", 512, tarfile.GNUTYPE_LONGNAME) + b"a".ljust(512, b"\0")
    assert "more than 8 headers for one entry" in refused(header * 100, ".tar")


@pytest.mark.parametrize(
    ("size", "named"), [(-1, "is no number"), (2**62, "4,611,686,018,427,388,416 bytes of content")]
)
def test_tar_entry_of_an_impossible_size_is_refused(refused, size, named):
    for suffix in (".tar", ".tar.gz"):
        assert named in refused(compress(tar_header("a.jpg", size) + bytes(2048), suffix), suffix)


@pytest.mark.parametrize(
    "record",
    [
        b"9 size=-1\n",
        b"12 size=1e9x\n",
        b"99 path=a\n",
        b"3 \n",
        b"0 path=a\n",
        b"11 path=a\0",
        b"path=a\n",
        b"\0\0\0\0",
    ],
)
def test_posix_header_that_cannot_be_read_is_refused(refused, record):
    data = tar_header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + tar_header("a.jpg", 0)
    assert "POSIX header" in refused(data + bytes(1024), ".tar")


def test_second_tar_behind_the_first_is_refused_and_not_lost(refused):
    data = make_tar([("a.jpg", b"a")])
    for suffix in (".tar", ".tar.gz", ".tar.zst"):
        assert "something follows its end mark" in refused(compress(data + data, suffix), suffix)


def test_archive_in_an_archive_is_a_file(tmp_path):
    inner = bomb(".zip")
    for suffix in KINDS:
        store = open_store(write(tmp_path, f"set{suffix}", pack({"train/a.zip": inner, "train/b.jpg": b"b"}, suffix)))
        assert store.read("train/a.zip") == inner


@pytest.mark.parametrize("suffix", KINDS)
def test_archive_that_is_cut_off_is_refused(tmp_path, suffix):
    files = {"a.txt": b"a" * 3000, "train/b.jpg": zlib.compress(bytes(range(256)) * 40), "c.txt": b"c" * 700}
    data = pack(files, suffix)
    tail = {".zip": 0, ".tar": len(make_tar(files.items())) - 512 * 13, ".tar.gz": 0, ".tar.zst": 5}[suffix]
    for size in range(0, len(data) - tail, 37):
        store = open_store(write(tmp_path, f"set{suffix}", data[:size]))
        with pytest.raises(DatasetError, match="damaged"):
            store.list()


@pytest.mark.parametrize("suffix", KINDS)
def test_file_that_is_no_archive_is_refused(refused, suffix):
    for data in (b"", b"{}", b"<html>403</html>" * 500, bytes(100), bytes(range(256)) * 40):
        assert "damaged" in refused(data, suffix)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.zst"])
def test_flipped_bit_in_a_packed_tar_is_noticed(refused, suffix):
    data = bytearray(compress(make_tar([("a.jpg", zlib.compress(bytes(range(256)) * 40))]), suffix))
    data[len(data) // 2] ^= 4
    assert "damaged" in refused(bytes(data), suffix)


def test_zstd_that_wants_much_memory_is_refused(refused):
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(make_tar([("a.jpg", b"a")])) + packer.flush()
    assert "damaged" in refused(data, ".tar.zst")


@cache
def small(suffix: str) -> bytes:
    files = {
        "data.yaml": b"names: [cat]\n",
        "train/a.jpg": bytes(range(256)) * 30,
        "train/a.txt": b"0 0.5 0.5 0.1 0.1\n",
    }
    if suffix == ".zip":
        return make_zip([*files.items(), (zip_entry("train/b.jpg", 0o100644), b"stored")])
    return compress(make_tar([*files.items(), ("train/" + "b" * 120 + ".jpg", b"long")]), suffix)


def exercise(path: str, out) -> None:
    """Uses everything of a store."""
    store = open_store(path)
    wanted = []
    for number, found in enumerate(store.list()):
        assert len(store.read_range(found.key, found.size // 2, 100)) <= 100
        assert len(store.read(found.key)) == found.size
        wanted.append(Wanted(found.key, found.size, out / str(number), found.etag))
    for item in open_store(path).fetch_all(wanted, link=True):
        assert item.destination.stat().st_size == item.size


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("suffix", KINDS)
def test_damaged_archive_works_or_is_refused(tmp_path, suffix, data):
    changed = bytearray(small(suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        changed[place : place + width] = data.draw(
            st.one_of(st.binary(min_size=width, max_size=width), st.sampled_from([b"", b"\xff" * width, bytes(width)]))
        )
    try:
        exercise(write(tmp_path, f"set{suffix}", bytes(changed)), tmp_path / "out")
    except DatasetError as error:
        assert f"set{suffix}" in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(
        st.one_of(st.binary(max_size=600), st.integers(0, 40).map(lambda n: small(".tar")[n * 256 :][:512]))
    )
)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_tar_of_shuffled_blocks_works_or_is_refused(tmp_path, suffix, blocks):
    data = io.BytesIO(b"".join(blocks) + bytes(1024)).getvalue()
    try:
        exercise(write(tmp_path, f"set{suffix}", compress(data, suffix)), tmp_path / "out")
    except DatasetError as error:
        assert f"set{suffix}" in str(error)
