from pathlib import Path

import pytest

from rfdetr_train.errors import ParameterError
from rfdetr_train.storage import parse_location


def test_folder_becomes_absolute_and_normal(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_location("data/../data").uri == str(tmp_path.resolve() / "data")


def test_file_uri_is_the_same_location_as_the_folder(tmp_path):
    (tmp_path / "a b").mkdir()
    assert parse_location(f"file://{tmp_path}/a%20b") == parse_location(str(tmp_path / "a b"))


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket/", "my-bucket", ""),
        ("s3://my-bucket/a b/ü/", "my-bucket", "a b/ü"),
        ("S3://my.bucket/x", "my.bucket", "x"),
    ],
)
def test_s3_location_has_bucket_and_prefix(text, bucket, prefix):
    location = parse_location(text)
    assert (location.scheme, location.root, location.prefix) == ("s3", bucket, prefix)
    assert not location.uri.endswith("/")


@pytest.mark.parametrize("text", ["gs://bucket/x", "https://host/x.zip", "ftp://host/x"])
def test_other_scheme_is_refused_and_the_allowed_ones_are_named(text):
    with pytest.raises(ParameterError, match=r"is not supported. Give a folder, file:///folder or s3://bucket/prefix"):
        parse_location(text)


@pytest.mark.parametrize(
    "text", ["https://user:hunter2@host/x?X-Amz-Signature=hunter2", "s3://key:hunter2@bucket/x", "s3://b/x?s=hunter2"]
)
def test_secret_in_a_location_is_not_repeated(text):
    with pytest.raises(ParameterError) as caught:
        parse_location(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "s3://", "s3://B/x", "s3://bucket/../x", "file://host/x"])
def test_impossible_location_is_refused(text):
    with pytest.raises(ParameterError):
        parse_location(text)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(parse_location("~/data").root) == tmp_path.resolve() / "data"
