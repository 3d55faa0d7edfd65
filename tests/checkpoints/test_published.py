"""One published checkpoint, by its address."""

import hashlib

import pytest

from rfdetr_train.checkpoints.published import fetch_published, parse_address
from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage import open_store

SHA = hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("runs:/ab12/checkpoints/checkpoint_best_total.pth", ("ab12", "", "checkpoint_best_total.pth")),
        (f"runs:/ab12/checkpoints/objects/{SHA}/checkpoint.pth", ("ab12", SHA, "checkpoint.pth")),
        ("runs:/ab12/checkpoints/../../other/checkpoint.pth", None),
        ("runs:/ab12/checkpoints/evil.pth", None),
        ("s3://bucket/checkpoints/checkpoint.pth", None),
    ],
)
def test_address_names_run_digest_and_file(uri, parts):
    assert parse_address(uri) == parts


def test_file_is_verified_against_the_digest_in_its_address(tmp_path):
    store = open_store(str(tmp_path / "run"))
    store.write(f"objects/{SHA}/checkpoint.pth", b"weights")
    path = fetch_published(store, "checkpoint.pth", SHA, tmp_path, parameter="checkpoint")
    assert path.read_bytes() == b"weights"
    store.write(f"objects/{SHA}/checkpoint.pth", b"other weights")
    with pytest.raises(CheckpointError, match=f"sha256 {hashlib.sha256(b'other weights').hexdigest()}, {SHA} wanted"):
        fetch_published(store, "checkpoint.pth", SHA, tmp_path, parameter="checkpoint")


def test_name_without_a_manifest_is_not_there_even_when_a_plain_file_is(tmp_path):
    store = open_store(str(tmp_path / "run"))
    store.write("checkpoint.pth", b"left by a broken copy")
    with pytest.raises(CheckpointError, match=r"has no checkpoint\.pth"):
        fetch_published(store, "checkpoint.pth", "", tmp_path, parameter="checkpoint")
