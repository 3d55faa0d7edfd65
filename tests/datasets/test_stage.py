"""The local folder that training reads."""

import json

import pytest
from dataset_builders import everything, image_bytes, put, upload, write_coco, write_yolo

from rfdetr_train.datasets import convert, detect, progress, stage, transfer
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import open_store
from rfdetr_train.storage.local import LocalStore


@pytest.fixture
def source(tmp_path):
    return write_yolo(tmp_path / "in")


@pytest.fixture
def prepared(source, tmp_path):
    convert(str(source), tmp_path / "prepared")
    return tmp_path / "prepared"


def test_staged_folder_is_a_complete_coco_dataset_of_hard_links(source, prepared, tmp_path):
    folder = stage(prepared, tmp_path / "deep" / "local")
    report = detect(str(folder))
    assert (report.format, report.layout, report.findings) == ("coco", "roboflow", [])
    assert {name: split.image_count for name, split in report.splits.items()} == {"train": 2, "valid": 2, "test": 2}
    staged = folder / "train/train1.png"
    assert staged.stat().st_ino == (source / "train/images/train1.png").stat().st_ino
    marker = json.loads((folder / ".staged.json").read_text())
    assert marker == {"fingerprint": detect(str(source)).fingerprint, "complete": True}


def test_dataset_with_its_images_is_staged_from_wherever_it_was_moved(source, tmp_path):
    convert(str(source), tmp_path / "whole", images="copy")
    (tmp_path / "whole").rename(tmp_path / "moved")
    folder = stage(tmp_path / "moved", tmp_path / "local")
    detect(str(folder)).raise_for_errors()


def test_s3_images_are_staged_with_their_bytes(source, tmp_path, s3_bucket):
    upload(source, f"s3://{s3_bucket}/set")
    convert(f"s3://{s3_bucket}/set", tmp_path / "prepared")
    folder = stage(tmp_path / "prepared", tmp_path / "local")
    for number in (1, 2):
        original = (source / f"train/images/train{number}.png").read_bytes()
        assert (folder / f"train/train{number}.png").read_bytes() == original


def test_second_call_fetches_only_what_is_missing(prepared, tmp_path, monkeypatch):
    folder = stage(prepared, tmp_path / "local")
    (folder / "train/train2.png").unlink()
    fetched = []
    fetch = LocalStore.fetch
    monkeypatch.setattr(
        LocalStore, "fetch", lambda self, key, *a, **k: (fetched.append(key), fetch(self, key, *a, **k))
    )
    stage(prepared, folder)
    assert fetched == ["train/images/train2.png"]


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("change", ["removed", "grown"])
def test_image_that_changed_since_conversion_is_an_error_and_the_folder_is_not_marked_complete(
    request, source, tmp_path, where, change
):
    uri = str(source)
    if where == "s3":
        uri = f"s3://{request.getfixturevalue('s3_bucket')}/set"
        upload(source, uri)
    convert(uri, tmp_path / "prepared")
    image = source / "valid/images/valid2.png"
    if change == "grown":
        put(image, image_bytes(100, 50) + b"more")
    else:
        image.unlink()
    if where == "s3":
        open_store(uri).delete("valid/images/valid2.png")
        upload(source, uri)
    grown = r"has \d+ bytes, \d+ wanted" if where == "local" else "is not the one that was listed"
    message = "is no longer in" if change == "removed" else grown
    with pytest.raises(DatasetError, match=f"valid/images/valid2.png.*{message}.*convert it again"):
        stage(tmp_path / "prepared", tmp_path / "local")
    names = {name.rpartition("/")[2] for name in everything(tmp_path / "local")}
    assert "valid2.png" not in names
    assert not [name for name in names if name.endswith(".part")]
    assert json.loads((tmp_path / "local/.staged.json").read_text())["complete"] is False


def test_interrupted_staging_goes_on(prepared, tmp_path, monkeypatch):
    bring = transfer._bring

    def fail_late(store, item, link):
        if item.key.endswith("train2.png"):
            raise KeyboardInterrupt
        return bring(store, item, link)

    monkeypatch.setattr(transfer, "_bring", fail_late)
    with pytest.raises(KeyboardInterrupt):
        stage(prepared, tmp_path / "local")
    monkeypatch.setattr(transfer, "_bring", bring)
    detect(str(stage(prepared, tmp_path / "local"))).raise_for_errors()


def test_folder_staged_from_another_dataset_is_cleared_first(prepared, tmp_path):
    folder = stage(prepared, tmp_path / "local")
    other = write_coco(tmp_path / "other", ("train", "valid"))
    convert(str(other), tmp_path / "prepared2")
    stage(tmp_path / "prepared2", folder)
    assert not (folder / "test").exists()
    assert (folder / "train/train1.png").stat().st_ino == (other / "train/train1.png").stat().st_ino


def test_folder_of_somebody_else_is_refused(prepared, tmp_path):
    put(tmp_path / "local/thesis.txt", "years of work")
    with pytest.raises(ParameterError, match="is not empty and was not staged by us"):
        stage(prepared, tmp_path / "local")
    assert everything(tmp_path / "local") == {"thesis.txt": b"years of work"}


def test_yolo_is_refused_with_the_next_step(source, tmp_path):
    convert(str(source), tmp_path / "yolo", target="yolo")
    with pytest.raises(ParameterError, match=r"training reads COCO\. Convert with target coco"):
        stage(tmp_path / "yolo", tmp_path / "local")


def test_long_staging_logs_files_bytes_rate_and_time_left(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    with caplog.at_level("INFO", "rfdetr_train.datasets"):
        stage(prepared, tmp_path / "local")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("train: staging: 2/2")]
    assert len(lines) == 1
    for part in ("files/s", "MB,", "MB/s", "0 s left"):
        assert part in lines[0]
