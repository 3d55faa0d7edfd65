"""What listing a dataset needs beyond keys: names by folder, and sizes of single objects, the same in every store."""

import shutil

import pytest

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import open_store

FILES = {"a.txt": b"1", "b/1.jpg": b"22", "b/2.jpg": b"", "b/deep/ü #%1.txt": b"4444"}


@pytest.fixture(params=["local", "s3", "zip", "tar", "tgz"])
def store(request, tmp_path):
    (tmp_path / "set" / "b" / "deep").mkdir(parents=True)
    for key, data in FILES.items():
        (tmp_path / "set" / key).write_bytes(data)
    if request.param == "s3":
        uri = f"s3://{request.getfixturevalue('s3_bucket')}/set"
        for key, data in FILES.items():
            open_store(uri).write(key, data)
        return open_store(uri)
    if request.param == "local":
        return open_store(str(tmp_path / "set"))
    kind = {"tgz": "gztar"}.get(request.param, request.param)
    return open_store(shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "set"))


def test_names_come_by_folder(store):
    found = {folder: sorted(names) for folder, names in store.folders().items()}
    assert found == {"": ["a.txt"], "b": ["1.jpg", "2.jpg"], "b/deep": ["ü #%1.txt"]}


def test_size_is_that_of_the_content(store):
    assert {key: store.size(key) for key in FILES} == {key: len(data) for key, data in FILES.items()}
    with pytest.raises(FileNotFoundError):
        store.size("b/3.jpg")


def test_names_by_folder_are_checked_and_leave_out_our_lock(tmp_path):
    for name in ("b/.rfdetr-lock", "c/.rfdetr-lock", "c/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert open_store(str(tmp_path)).folders() == {"c": ["1.jpg"]}
    (tmp_path / "c" / "x\\y.jpg").touch()
    with pytest.raises(DatasetError, match=r"'c/x.*y\.jpg' is refused"):
        open_store(str(tmp_path)).folders()
