"""Headers of all images of a split: from every store, in order, from as few bytes as possible."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from dataset_builders import put, upload
from image_builders import (
    FORMATS,
    Counted,
    exif,
    picture,
    png_header,
    save,
)

from rfdetr_train.datasets.headers import read_headers
from rfdetr_train.datasets.image_files.read import read_header
from rfdetr_train.datasets.image_files.source import Source
from rfdetr_train.errors import DatasetError, InfrastructureError, ParameterError
from rfdetr_train.storage import ObjectInfo, open_store


def test_pixel_limit_comes_from_the_environment(tmp_path, monkeypatch):
    put(tmp_path / "a.png", png_header(20_000, 10_000))
    store = open_store(str(tmp_path))
    assert read_headers(store, store.list(), "train").state == ["oversized-image"]
    monkeypatch.setenv("RFDETR_MAX_IMAGE_PIXELS", "200000000")
    assert read_headers(store, store.list(), "train").state == [""]
    monkeypatch.setenv("RFDETR_MAX_IMAGE_PIXELS", "many")
    with pytest.raises(ParameterError, match="RFDETR_MAX_IMAGE_PIXELS is 'many', wanted a number of pixels"):
        read_headers(store, store.list(), "train")


def moved(data):
    reader = Counted(data)
    header = read_header(Source(reader, len(data), 256), 10**8)
    assert header.state == ""
    return len(reader.reads), reader.moved


def test_usual_image_costs_two_reads_of_320_bytes():
    for kind in ("JPEG", "PNG", "WEBP"):
        reads, count = moved(save(kind, picture(640, 480).effect_spread(40)))
        assert reads <= 2
        assert count <= 320


def test_metadata_is_stepped_over_and_not_read():
    reads, count = moved(
        save(
            "JPEG",
            picture(640, 480).effect_spread(40),
            exif=exif(6, thumbnail=os.urandom(30_000)),
            icc_profile=os.urandom(200_000),
            comment=bytes(50_000),
        )
    )
    assert reads <= 8
    assert count <= 2000


def test_small_file_costs_one_read():
    assert moved(save("PNG", picture(3, 3))) == (1, len(save("PNG", picture(3, 3))))


def test_short_trailer_costs_one_more_read():
    data = save("JPEG", picture(640, 480).effect_spread(40)) + bytes(3000)
    reader = Counted(data)
    assert read_header(Source(reader, len(data), 256), 10**8).state == ""
    assert [count for _, count in reader.reads] == [256, 64, 4096]


def write_all(folder):
    for name, make in FORMATS.items():
        put(folder / f"images/{name}.bin", make(picture(61, 47)))
    put(folder / "images/turned.jpg", save("JPEG", exif=exif(8)))
    put(folder / "images/empty.jpg", b"")
    put(folder / "cut.jpg", save("JPEG", picture(300, 200))[:-50])
    put(folder / "bomb.png", png_header(100_000, 100_000))
    return folder


def test_folder_and_s3_give_the_same_headers(tmp_path, s3_bucket):
    upload(write_all(tmp_path), f"s3://{s3_bucket}/data")
    local, remote = (open_store(uri) for uri in (str(tmp_path), f"s3://{s3_bucket}/data"))
    here, there = (read_headers(store, store.list(), "train") for store in (local, remote))
    assert [info.key for info in local.list()] == [info.key for info in remote.list()]
    assert (here.kind, here.state) == (there.kind, there.state)
    for column in ("size", "orientation", "unusual"):
        np.testing.assert_array_equal(getattr(here, column), getattr(there, column))
    row = [info.key for info in local.list()].index("images/turned.jpg")
    assert (here.size[row].tolist(), here.displayed[row].tolist()) == ([23, 14], [14, 23])
    assert here.orientation[row] == 8


def test_image_that_is_not_there_has_a_row(tmp_path):
    put(tmp_path / "a.png", save("PNG"))
    infos = [None, ObjectInfo("gone.png", 7, ""), *open_store(str(tmp_path)).list(), None]
    headers = read_headers(open_store(str(tmp_path)), infos, "train")
    assert headers.state == ["missing-image", "missing-image", "", "missing-image"]
    assert headers.kind == ["", "", "PNG", ""]
    assert headers.size.tolist() == [[0, 0], [0, 0], [23, 14], [0, 0]]


def test_no_images_give_empty_columns(tmp_path):
    headers = read_headers(open_store(str(tmp_path)), [], "train")
    assert (len(headers), headers.size.shape, headers.orientation.shape) == (0, (0, 2), (0,))
    assert headers.displayed.shape == (0, 2)


def test_symbolic_link_is_followed_inside_and_refused_outside(tmp_path):
    put(tmp_path / "data/a.png", save("PNG"))
    put(tmp_path / "secret.png", save("PNG"))
    (tmp_path / "data/inside.png").symlink_to("a.png")
    store = open_store(str(tmp_path / "data"))
    assert read_headers(store, [ObjectInfo("inside.png", len(save("PNG")), "")], "train").state == [""]
    (tmp_path / "data/outside.png").symlink_to("../secret.png")
    (tmp_path / "data/up").symlink_to("..")
    for key in ("outside.png", "up/secret.png"):
        with pytest.raises(DatasetError, match="symbolic link"):
            read_headers(store, [ObjectInfo(key, 99, "")], "train")


def test_failing_disk_stops_the_pass_and_names_the_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InfrastructureError, match=r"a\.png cannot be read: Is a directory"):
        read_headers(open_store(str(tmp_path)), [ObjectInfo("a.png", 9, "")], "train")


class Slow:
    """A store in memory whose calls overlap and end in any order."""

    uri = "memory://"
    parallelism = 8

    def __init__(self, files):
        self.files = files

    def read_range(self, key, start, count):
        time.sleep(0.002 if "3" in key else 0)
        if self.files[key] is None:
            raise InfrastructureError("403")
        return self.files[key][start : start + count]


def test_many_at_once_keep_their_order():
    files = {f"{n}.png": save("PNG", picture(n, 3)) for n in range(1, 150)}
    headers = read_headers(Slow(files), [ObjectInfo(key, len(data), "") for key, data in files.items()], "train")
    assert headers.size[:, 0].tolist() == list(range(1, 150))


def test_refused_access_stops_the_pass():
    files = {"a.png": save("PNG"), "b.png": None}
    with pytest.raises(InfrastructureError, match="403"):
        read_headers(Slow(files), [ObjectInfo(key, 9, "") for key in files], "train")


def test_image_that_shrank_since_it_was_listed_is_truncated(tmp_path):
    data = save("PNG", picture(300, 200))
    put(tmp_path / "a.png", data[:100])
    assert read_headers(open_store(str(tmp_path)), [ObjectInfo("a.png", len(data), "")], "train").state == [
        "truncated-image"
    ]


def test_headers_are_read_without_pillow():
    code = "import sys; import rfdetr_train.datasets.headers; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
