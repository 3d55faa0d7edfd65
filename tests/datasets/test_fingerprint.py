"""The fingerprint is of the data: equal wherever it lies, other for any change of it."""

import os
import shutil
import tarfile
import zipfile

import pytest
from dataset_builders import DATA_YAML, edit, put, upload, write_coco, write_yolo

from rfdetr_train.datasets.reading import open_dataset


def of(uri):
    return open_dataset(str(uri)).fingerprint


def archive(folder, path):
    """Write a folder as an archive, in an order of its own."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for file in files:
                target.write(file, file.relative_to(folder).as_posix())
    else:
        with tarfile.open(path, "w:gz") as target:
            for file in files:
                target.add(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_fingerprint_is_one_for_folder_s3_and_archive(tmp_path, s3_bucket, write):
    root = write(tmp_path / "set")
    first = of(root)
    assert len(first) == 64
    shutil.copytree(root, tmp_path / "other")
    os.utime(tmp_path / "other/train", (1, 1))
    upload(root, f"s3://{s3_bucket}/deep/set")
    archive(root, tmp_path / "set.zip")
    archive(root, tmp_path / "set.tar.gz")
    places = [tmp_path / "other", f"s3://{s3_bucket}/deep/set", tmp_path / "set.zip", tmp_path / "set.tar.gz"]
    assert [of(place) for place in places] == [first] * 4


def test_fingerprint_is_one_for_all_layouts_of_yolo(tmp_path):
    first = of(write_yolo(tmp_path / "roboflow"))
    splits = {"train": "images/train", "valid": "images/valid", "test": "images/test"}
    lines = "train: images/train\nval: images/valid\ntest: images/test\nnames: {0: cat, 1: dog}\n"
    assert of(write_yolo(tmp_path / "ultralytics", lines, splits)) == first
    listed = write_yolo(tmp_path / "listed", DATA_YAML.replace("../train/images", "train.txt"))
    put(listed / "train.txt", "./train/images/train2.png\n./train/images/train1.png\n")
    assert of(listed) == first


def test_fingerprint_is_one_for_all_layouts_of_coco(tmp_path):
    first = of(write_coco(tmp_path / "roboflow"))
    assert of(write_coco(tmp_path / "standard", place="annotations/instances_{}.json")) == first
    assert of(write_coco(tmp_path / "images", place="annotations/instances_{}.json", images="images/{}")) == first


CHANGES = {
    "row": lambda root: put(root / "train/labels/train1.txt", "0 0.2 0.4 0.2 0.41\n"),
    "empty label": lambda root: put(root / "train/labels/train1.txt", ""),
    "label": lambda root: (root / "train/labels/train1.txt").unlink(),
    "swapped labels": lambda root: (
        put(root / "train/labels/train1.txt", "1 0.5 0.5 0.1 0.1\n"),
        put(root / "train/labels/train2.txt", "0 0.2 0.4 0.2 0.4\n1 0.25 0.25 0.5 0.5\n"),
    ),
    "size of an image": lambda root: put(root / "test/images/test2.png", b"longer or shorter"),
    "name of an image": lambda root: (
        (root / "valid/images/valid2.png").rename(root / "valid/images/x.png"),
        (root / "valid/labels/valid2.txt").rename(root / "valid/labels/x.txt"),
    ),
    "name of a class": lambda root: put(root / "data.yaml", DATA_YAML.replace("dog", "fox")),
    "order of the classes": lambda root: put(root / "data.yaml", DATA_YAML.replace("'cat', 'dog'", "'dog', 'cat'")),
    "swapped splits": lambda root: put(root / "data.yaml", DATA_YAML.replace("../valid", "../test", 1)),
}


def test_fingerprint_changes_with_anything_that_training_reads(tmp_path):
    seen = {of(write_yolo(tmp_path / "plain"))}
    for name, change in CHANGES.items():
        change(write_yolo(tmp_path / name))
        seen.add(of(tmp_path / name))
    assert len(seen) == len(CHANGES) + 1


def test_fingerprint_does_not_change_with_what_training_does_not_read(tmp_path):
    first = of(write_yolo(tmp_path))
    put(tmp_path / "data.yaml", DATA_YAML + "# a comment\n")
    put(tmp_path / "README.txt", "more")
    assert of(tmp_path) == first


def test_coco_fingerprint_changes_with_any_byte_of_the_annotations(tmp_path):
    first = of(write_coco(tmp_path))
    edit(tmp_path, lambda data: data.update(info={}), "valid")
    assert of(tmp_path) != first


def test_revision_changes_with_every_write_and_is_nothing_on_a_disk(tmp_path, s3_bucket):
    root = write_yolo(tmp_path)
    assert open_dataset(str(root)).revision == ""
    upload(root, f"s3://{s3_bucket}/set")
    first = open_dataset(f"s3://{s3_bucket}/set")
    assert len(first.revision) == 64
    image = root / "train/images/train1.png"
    image.write_bytes(image.read_bytes()[::-1])
    upload(root, f"s3://{s3_bucket}/set")
    second = open_dataset(f"s3://{s3_bucket}/set")
    assert second.fingerprint == first.fingerprint
    assert second.revision != first.revision
