import itertools
import os
import sys
import threading
import time

import boto3
import pytest
from fault_proxy import FaultProxy
from obstore.exceptions import BaseError

from rfdetr_train.errors import DatasetError, InfrastructureError
from rfdetr_train.storage import Conflict, TransientError, Wanted, map_parallel, open_store, parse_location, retry
from rfdetr_train.storage.parallel import map_unordered
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


def test_threads_take_items_as_they_get_free_and_give_results_as_they_are_ready():
    slow = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert slow.wait(10)
        return number

    results = map_unordered(work, range(5), 2)
    assert [next(results) for _ in range(4)] == [1, 2, 3, 4]
    slow.set()
    assert list(results) == [0]


@pytest.mark.parametrize("end", ["an error", "the caller"])
def test_nothing_is_begun_after_an_error_or_when_the_caller_has_enough(end):
    begun, closed = [], []

    def numbers():
        try:
            for number in itertools.count():
                begun.append(number)
                yield number
        finally:
            closed.append(True)

    def work(number: int) -> float:
        time.sleep(0.001)
        return 1 / (number - 10 if end == "an error" else 1)

    if end == "an error":
        with pytest.raises(ZeroDivisionError):
            list(map_unordered(work, numbers(), 4))
    else:
        results = map_unordered(work, numbers(), 4)
        assert [next(results) for _ in range(10)]
        results.close()
    count = len(begun)
    assert 10 <= count < 200
    assert closed == [True]
    time.sleep(0.01)
    assert len(begun) == count


@pytest.fixture
def proxy(s3_bucket, monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.02)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def bring(store, tmp_path, contents):
    """Write objects, list them and fetch all."""
    for key, content in contents.items():
        store.write(key, content)
    wanted = [Wanted(found.key, found.size, tmp_path / found.key, found.etag) for found in store.list()]
    return list(store.fetch_all(wanted, link=True))


def test_small_object_among_many_is_one_request_that_only_the_listed_version_may_answer(proxy, s3_bucket, tmp_path):
    store = open_store(f"s3://{s3_bucket}/set")
    assert len(bring(store, tmp_path, {f"{n}.jpg": b"x" * (n << 20) for n in range(4)})) == 4
    gets = [request for request in proxy.requests if request.method == "GET" and "/set/" in request.path]
    assert len(gets) == 4
    assert {request.headers["if-match"] for request in gets} == {found.etag for found in store.list()}


def test_big_object_among_many_comes_in_ranges_after_the_small_ones(proxy, s3_bucket, tmp_path):
    limits = Limits(whole_bytes=2 << 20, range_bytes=1 << 20, ranges=2)
    content = os.urandom(3 << 20)
    store = S3Store(parse_location(f"s3://{s3_bucket}/set"), limits)
    done = bring(store, tmp_path, {"big.jpg": content, "small.jpg": b"1"})
    assert [item.key for item in done] == ["small.jpg", "big.jpg"]
    assert (tmp_path / "big.jpg").read_bytes() == content
    assert sum("big.jpg" in request.path for request in proxy.requests if request.method == "GET") == 3


def test_object_whose_answer_breaks_off_is_asked_for_again(proxy, s3_bucket, tmp_path):
    proxy.reset(2, after=1 << 19, when=lambda request: request.method == "GET" and "/set/" in request.path)
    contents = {f"{n}.jpg": os.urandom((2 << 20) + n) for n in range(3)}
    store = S3Store(parse_location(f"s3://{s3_bucket}/set"), Limits(retries=0))
    assert len(bring(store, tmp_path, contents)) == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_object_swapped_while_many_are_fetched_is_refused(proxy, s3_bucket, tmp_path):
    store = open_store(f"s3://{s3_bucket}/set")

    def swap(handler, body):
        store.write("7.jpg", b"swapped!!!")
        handler.forward(body)

    proxy.add(1, swap, lambda request: request.method == "GET" and request.path.endswith("/set/7.jpg"))
    with pytest.raises(Conflict, match=r"/set/7\.jpg "):
        bring(store, tmp_path, {f"{n}.jpg": b"0123456789" for n in range(9)})
    assert "7.jpg" not in {path.name for path in tmp_path.iterdir()}
    assert {path.read_bytes() for path in tmp_path.iterdir()} <= {b"0123456789"}


def test_answer_of_a_server_that_knows_no_conditions_is_refused_by_its_tag(proxy, s3_bucket, tmp_path):
    def without_condition(handler, body):
        del handler.headers["if-match"]
        handler.forward(body)

    store = open_store(f"s3://{s3_bucket}/set")
    store.write("x.jpg", b"as listed")
    (listed,) = store.list()
    store.write("x.jpg", b"swapped!!")
    proxy.add(9, without_condition, lambda request: request.method == "GET")
    for limits in (Limits(), Limits(whole_bytes=0)):
        store = S3Store(parse_location(f"s3://{s3_bucket}/set"), limits)
        with pytest.raises(Conflict, match=r"x\.jpg has changed: it has version .*, .* was expected"):
            list(store.fetch_all([Wanted("x.jpg", 9, tmp_path / "out" / "x.jpg", listed.etag)], link=True))
    assert list((tmp_path / "out").iterdir()) == []


def test_object_that_cannot_be_brought_leaves_no_half_file(proxy, s3_bucket, tmp_path):
    store = S3Store(parse_location(f"s3://{s3_bucket}/set"), Limits(retries=0, file_seconds=0.2))
    store.write("x.jpg", bytes(2 << 20))
    proxy.reset(10**6, after=3 << 19, when=lambda request: request.method == "GET")
    with pytest.raises(TransientError, match=r"/set/x\.jpg"):
        list(store.fetch_all([Wanted("x.jpg", 2 << 20, tmp_path / "out" / "x.jpg")], link=True))
    assert list((tmp_path / "out").iterdir()) == []
