"""Fault 24 on the way of the data: an object that is swapped between the listing and the download."""

import pytest
from dataset_builders import own_image, upload, write_coco

from rfdetr_train.datasets import convert, stage
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import open_store


def test_fault_24_image_of_the_same_size_swapped_after_the_listing_is_refused(tmp_path, s3_bucket):
    uri = f"s3://{s3_bucket}/set"
    upload(write_coco(tmp_path / "source"), uri)
    convert(uri, tmp_path / "prepared", target="coco", images="reference")
    data = bytearray(own_image("train", 1))
    data[-1] ^= 1
    open_store(uri).write("train/train1.png", bytes(data))
    with pytest.raises(DatasetError, match=r"is not the one that was listed: .*/train/train1\.png "):
        stage(tmp_path / "prepared", tmp_path / "staged")
