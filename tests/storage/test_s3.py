import pytest

from rfdetr_train.errors import DatasetError, InfrastructureError
from rfdetr_train.storage import map_parallel, open_store, s3


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
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:very-secret-value@127.0.0.1:1")
    original = s3.obstore.store.S3Store
    quick = {"max_retries": 0}
    monkeypatch.setattr(s3.obstore.store, "S3Store", lambda *a, **k: original(*a, **{**k, "retry_config": quick}))
    with pytest.raises(InfrastructureError, match="AWS_ENDPOINT_URL") as caught:
        open_store(f"s3://{s3_bucket}").list()
    assert "very-secret-value" not in str(caught.value)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_refused_access_names_the_environment_and_not_the_answer(code):
    answer = s3.BaseError(f"Generic S3 error: <Error><Code>{code}</Code><StringToSign>very-secret-value</StringToSign>")
    error = s3._explain(answer, "s3://bucket/x")
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
