"""Everything about a dataset in one report."""

import shutil

import pytest
from dataset_builders import codes, edit, image_bytes, only, put, upload, write_coco, write_yolo

from rfdetr_train.datasets.findings import Policy
from rfdetr_train.datasets.inspect import inspect
from rfdetr_train.errors import ParameterError


def distinct(root):
    """Give every image of a dataset other bytes, and another size."""
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        put(path, image_bytes(100, 50) + b"x" * number)
    return root


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_good_dataset_has_no_findings_and_says_how_far_it_was_checked(tmp_path, write):
    distinct(write(tmp_path))
    report = inspect(str(tmp_path))
    assert (codes(report), report.checked, len(report.fingerprint)) == ([], "images", 64)
    assert inspect(str(tmp_path), images=False).checked == "annotations"
    assert inspect(str(tmp_path), images=False).fingerprint == report.fingerprint


def test_image_in_two_splits_is_a_leak(tmp_path):
    distinct(write_yolo(tmp_path))
    shutil.copy(tmp_path / "train/images/train1.png", tmp_path / "valid/images/valid1.png")
    assert only(inspect(str(tmp_path)), "leaked-image").examples == ["valid/images/valid1.png"]
    assert codes(inspect(str(tmp_path), images=False)) == []


def test_boxes_are_checked_against_the_size_that_the_image_has(tmp_path):
    """The file says 200 x 50 and 50 x 50; the images have 100 x 50."""
    distinct(write_coco(tmp_path))
    edit(tmp_path, lambda data: data["images"][0].update(width=200))
    edit(tmp_path, lambda data: data["annotations"][0].update(bbox=[90, 10, 20, 20]))
    edit(tmp_path, lambda data: data["images"][1].update(width=50))
    report = inspect(str(tmp_path))
    assert only(report, "size-mismatch").count == 2
    assert only(report, "box-outside-image").examples == ["train/_annotations.coco.json: annotation 1"]
    without = inspect(str(tmp_path), images=False)
    assert only(without, "box-outside-image").examples == ["train/_annotations.coco.json: annotation 3"]


def test_image_that_a_policy_drops_is_no_example_of_a_class(tmp_path):
    distinct(write_coco(tmp_path))
    put(tmp_path / "train/train1.png", b"no image")
    assert codes(inspect(str(tmp_path))) == ["unreadable-image"]
    assert codes(inspect(str(tmp_path), policy=Policy("drop"))) == ["unreadable-image", "class-only-in-valid"]


def test_unknown_frame_is_refused_by_name(tmp_path):
    with pytest.raises(
        ParameterError, match=r"exif: 'sideways' is not valid. Give one of auto, raw, displayed, refuse"
    ):
        inspect(str(tmp_path), exif="sideways")


def test_report_of_s3_is_that_of_the_folder(tmp_path, s3_bucket):
    root = distinct(write_yolo(tmp_path))
    put(root / "train/labels/train2.txt", "0 1\n")
    upload(root, f"s3://{s3_bucket}/set")
    here, there = inspect(str(root)), inspect(f"s3://{s3_bucket}/set")
    assert there.findings == here.findings
    assert there.fingerprint == here.fingerprint
    assert there.splits == here.splits
