"""Copies of images, inside a split and across splits, found with few bytes read."""

import hashlib
import os

import pytest
from dataset_builders import put, upload
from image_builders import table_of

from rfdetr_train.datasets.duplicates import find_duplicates
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.storage import ObjectInfo, open_store

A, B, C = (bytes([n]) + os.urandom(5000) for n in range(3))
SPLITS = {
    "train": {"a.jpg": A, "b.jpg": B, "a again.jpg": A},
    "valid": {"c.jpg": C, "copy of b.jpg": B},
    "test": {"c too.jpg": C, "d.jpg": os.urandom(4000), "a.jpg": A, "a2.jpg": A},
}


def write(folder, splits=SPLITS):
    for split, files in splits.items():
        for name, content in files.items():
            put(folder / split / name, content)
    return folder


def find(store, splits=SPLITS, listing=None):
    findings = Findings()
    tables = {split: table_of(list(files), name=split, relative=True) for split, files in splits.items()}
    find_duplicates(store, tables, listing or {info.key: info for info in store.list()}, findings)
    return {finding.code: finding for finding in findings.to_list()}


EXPECTED = {
    "leaked-image": ["valid/copy of b.jpg", "test/a.jpg", "test/a2.jpg"],
    "duplicate-image": ["train/a again.jpg", "test/a2.jpg"],
}


def examples(found):
    return {code: finding.examples for code, finding in found.items()}


def test_copies_are_found_in_a_folder(tmp_path):
    found = find(open_store(str(write(tmp_path))))
    assert examples(found) == EXPECTED
    assert {code: finding.severity for code, finding in found.items()} == {
        "leaked-image": "error",
        "duplicate-image": "info",
    }


def test_copies_are_found_on_s3(tmp_path, s3_bucket):
    upload(write(tmp_path), f"s3://{s3_bucket}/data")
    assert examples(find(open_store(f"s3://{s3_bucket}/data"))) == EXPECTED


class Remote:
    """A store in memory that counts the bytes it hands out."""

    uri = "memory://"
    parallelism = 4

    def __init__(self, splits, tag):
        self.files = {f"{split}/{name}": data for split, files in splits.items() for name, data in files.items()}
        self.tag = tag
        self.moved = 0
        self.read = set()

    def read_range(self, key, start, count):
        data = self.files[key][start : start + count]
        self.moved += len(data)
        self.read.add(key)
        return data

    def list(self):
        return [ObjectInfo(key, len(data), self.tag(key, data)) for key, data in self.files.items()]


def md5(key, data):
    return hashlib.md5(data).hexdigest()


def test_equal_tags_settle_it_without_reading_the_images():
    store = Remote(SPLITS, md5)
    assert examples(find(store)) == EXPECTED
    # Of three contents of one size, 64 bytes each.
    assert store.moved == 3 * 64


def test_checksums_of_an_archive_settle_everything_without_reading():
    store = Remote(SPLITS, lambda key, data: md5(key, data)[:8])
    assert examples(find(store)) == EXPECTED
    assert store.moved == 0


@pytest.mark.parametrize("tag", [lambda key, data: f"{key}-2", lambda key, data: ""], ids=["multipart", "none"])
def test_copies_with_other_tags_are_found(tag):
    store = Remote(SPLITS, tag)
    assert examples(find(store)) == EXPECTED
    assert store.moved < 9 * 64 + sum(len(data) for data in store.files.values())


def test_images_of_equal_size_cost_few_bytes_and_others_none():
    splits = {"train": {f"{n}.jpg": os.urandom(3000) for n in range(50)}, "valid": {"x.jpg": os.urandom(2999)}}
    store = Remote(splits, md5)
    assert find(store, splits) == {}
    assert store.moved == 50 * 64
    assert "valid/x.jpg" not in store.read


def test_images_that_differ_only_at_their_ends_are_no_copies():
    middle = bytes(4000)
    splits = {"train": {"a.jpg": b"1" + middle}, "valid": {"b.jpg": b"2" + middle}, "test": {"c.jpg": b"1" + middle}}
    found = find(Remote(splits, lambda key, data: ""), splits)
    assert examples(found) == {"leaked-image": ["test/c.jpg"]}


def test_large_image_is_hashed_to_its_end():
    big = bytes(9 << 20)
    splits = {"train": {"a.tif": big, "b.tif": big[:-1] + b"x"}, "valid": {"c.tif": big[:-1] + b"x"}}
    found = find(Remote(splits, lambda key, data: ""), splits)
    assert examples(found) == {"leaked-image": ["valid/c.tif"]}


def test_one_file_in_two_splits_is_a_leak_and_twice_in_one_is_no_copy():
    tables = {
        "train": table_of(["a.jpg", "a.jpg"], relative=True),
        "valid": table_of(["a.jpg"], name="valid", relative=True),
    }
    tables["valid"].images.keys[:] = ["train/a.jpg"]
    findings = Findings()
    store = Remote({"train": {"a.jpg": A}}, md5)
    find_duplicates(store, tables, {info.key: info for info in store.list()}, findings)
    assert examples({finding.code: finding for finding in findings.to_list()}) == {"leaked-image": ["train/a.jpg"]}


def test_valid_and_test_may_share_images():
    splits = {"train": {"a.jpg": A}, "valid": {"b.jpg": B}, "test": {"b.jpg": B}}
    assert find(Remote(splits, md5), splits) == {}


def test_empty_and_missing_images_are_no_copies(tmp_path):
    splits = {"train": {"a.jpg": b"", "gone.jpg?": b""}, "valid": {"b.jpg": b"", "gone too.jpg?": b""}}
    for split in splits:
        put(tmp_path / split / "a.jpg", b"")
        put(tmp_path / split / "b.jpg", b"")
    assert find(open_store(str(tmp_path)), splits) == {}


def test_image_that_goes_away_meanwhile_is_no_copy(tmp_path):
    store = open_store(str(write(tmp_path, {"train": {"a.jpg": A}, "valid": {"a.jpg": A}})))
    listing = {info.key: info for info in store.list()}
    (tmp_path / "valid/a.jpg").unlink()
    assert find(store, {"train": {"a.jpg": A}, "valid": {"a.jpg": A}}, listing) == {}


def test_images_that_go_away_before_they_are_hashed_are_no_copies():
    class Going(Remote):
        def read_range(self, key, start, count):
            if start == 0:
                raise FileNotFoundError(key)
            return super().read_range(key, start, count)

    splits = {"train": {"a.jpg": A}, "valid": {"a.jpg": A, "gone.jpg?": A}}
    assert find(Going(splits, lambda key, data: ""), splits) == {}


def test_leaked_images_are_left_out_under_the_policy_drop(tmp_path):
    from rfdetr_train.datasets.findings import Policy

    findings = Findings()
    store = open_store(str(write(tmp_path)))
    tables = {split: table_of(list(files), name=split, relative=True) for split, files in SPLITS.items()}
    find_duplicates(store, tables, {info.key: info for info in store.list()}, findings)
    images, _ = findings.dropped(tables["test"], Policy("drop"))
    assert images.tolist() == [False, False, True, True]
