"""``dataset.json``: what reads it refuses what it cannot trust."""

import shutil

import pytest
from dataset_builders import write_yolo

from rfdetr_train.datasets import convert, read_manifest
from rfdetr_train.errors import DatasetError


def test_manifest_that_leaves_its_folder_or_is_none_is_refused(tmp_path):
    convert(str(write_yolo(tmp_path / "in")), tmp_path / "out")
    good = (tmp_path / "out/dataset.json").read_text()
    bad = [
        ("train/_annotations.coco.json", "../x.json", "is refused"),
        ('"file_name": "train1.png"', '"file_name": "/etc/passwd"', "is refused"),
        ("train/images/train1.png", "../../secret", "is refused"),
        ('"version": 2', '"version": 99', "version 99, wanted 2"),
        (f'"image_root": "{tmp_path}/in"', '"image_root": "http://x/y"', "'http' is not supported"),
        ('"splits"', '"parts"', "is not a manifest"),
        ('"action": ""', '"action": "exec"', "is not a manifest"),
    ]
    for old, new, message in bad:
        assert old in good
        (tmp_path / "out/dataset.json").write_text(good.replace(old, new))
        with pytest.raises(DatasetError, match=message):
            read_manifest(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(DatasetError, match=r"has no dataset\.json\. Make it with convert"):
        read_manifest(tmp_path / "out")


def test_result_of_another_version_is_replaced(tmp_path):
    source = str(write_yolo(tmp_path / "in"))
    convert(source, tmp_path / "out")
    path = tmp_path / "out/dataset.json"
    path.write_text(path.read_text().replace('"version": 2', '"version": 1').replace('"splits"', '"parts"'))
    assert convert(source, tmp_path / "out") == read_manifest(tmp_path / "out")


def test_page_shows_what_was_found_and_what_was_changed(tmp_path):
    source = write_yolo(tmp_path / "in")
    (source / "train/labels/train2.txt").write_text("0 0.95 0.5 0.2 0.1\n1 0.5 0.5 0.1 0.1\n")
    page = convert(str(source), tmp_path / "out").to_markdown()
    assert "YOLO to COCO" in page
    assert "- box-outside-image: 1\n" in page
    assert "**warning** box-outside-image (1)" in page
    assert "Nothing." in convert(str(write_yolo(tmp_path / "two")), tmp_path / "out").to_markdown()
