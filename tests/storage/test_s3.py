import sys

import boto3
import pytest
from obstore.exceptions import BaseError

from rfdetr_train.errors import DatasetError, InfrastructureError
from rfdetr_train.storage import TransientError, map_parallel, open_store, parse_location
from rfdetr_train.storage.s3 import S3Store
from rfdetr_train.storage.s3_client import Limits
from rfdetr_train.storage.s3_errors import explain


def test_listing_of_more_than_a_page_is_complete(s3_bucket):
    store = open_store(f"s3://{s3_bucket}/many")
    list(map_parallel(lambda number: store.write(f"{number:04}", b"x"), range(1005), 32))
    assert [found.key for found in store.list()] == [f"{number:04}" for number in range(1005)]


def test_listing_carries_the_content_tag(s3_bucket):
    store = open_store(f"s3://{s3_bucket}")
    store.write("a", b"1")
    store.write("b", b"1")
    store.write("c", b"2")
    a, b, c = store.list()
    assert a.etag == b.etag != c.etag


def test_prefix_is_a_folder_and_not_a_beginning_of_names(s3_bucket):
    open_store(f"s3://{s3_bucket}/set").write("x", b"")
    open_store(f"s3://{s3_bucket}/set2").write("y", b"")
    assert [found.key for found in open_store(f"s3://{s3_bucket}/set").list()] == ["x"]


def test_missing_bucket_is_named(s3_bucket):
    store = open_store("s3://no-such-bucket/x")
    for call in (store.list, lambda: store.read("a")):
        with pytest.raises(DatasetError, match=r"bucket of s3://no-such-bucket/x.* does not exist"):
            call()


def test_unreachable_server_is_an_infrastructure_error(s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(TransientError, match="AWS_ENDPOINT_URL"):
        S3Store(parse_location(f"s3://{s3_bucket}"), Limits(retries=0)).list()


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_refused_access_names_the_environment_and_not_the_answer(s3_bucket, code):
    answer = BaseError(f"Generic S3 error: <Error><Code>{code}</Code><StringToSign>very-secret-value</StringToSign>")
    error = explain(answer, "s3://bucket/x")
    assert isinstance(error, InfrastructureError)
    assert "AWS_ACCESS_KEY_ID" in str(error)
    assert code in str(error)
    assert "very-secret-value" not in str(error)


def test_first_error_of_parallel_calls_is_raised():
    def half(number: int) -> float:
        return 1 / (number - 3)

    with pytest.raises(ZeroDivisionError):
        list(map_parallel(half, range(10), 4))
    assert list(map_parallel(abs, [-2, 1, -3], 4)) == [2, 1, 3]


def test_orphaned_uploads_under_the_prefix_are_aborted_and_no_others(s3_bucket):
    client = boto3.client("s3")
    for key in ("run/a/x", "run/a/y", "run/ab", "run2/x"):
        client.create_multipart_upload(Bucket=s3_bucket, Key=key)
    assert open_store(f"s3://{s3_bucket}/run").abort_uploads("a") == 2
    left = [upload["Key"] for upload in client.list_multipart_uploads(Bucket=s3_bucket)["Uploads"]]
    assert left == ["run/ab", "run2/x"]
    assert open_store(f"s3://{s3_bucket}/run").abort_uploads() == 1


def test_orphaned_uploads_are_named_where_boto3_is_missing(s3_bucket, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert open_store(f"s3://{s3_bucket}/run").abort_uploads() == 0
    assert f"Unfinished uploads to s3://{s3_bucket}/run stay there: boto3 is not installed." in caplog.text
