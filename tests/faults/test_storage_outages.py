"""Faults 19 and 24: an S3 server that throttles, breaks off, hangs or goes away, and objects that change."""

import os
import threading
import time

import boto3
import pytest
from fault_proxy import FaultProxy
from s3server import s3_bucket  # noqa: F401

from rfdetr_train.storage import Conflict, TransientError, open_store, parse_location, retry
from rfdetr_train.storage.s3 import S3Store
from rfdetr_train.storage.s3_client import Limits

MB = 1 << 20
PART = 5 * MB  # the smallest that S3 takes
QUICK = Limits(part_bytes=PART, parts=2, range_bytes=PART, ranges=2, silence=5.0, retries=0, file_seconds=30)


@pytest.fixture
def proxy(s3_bucket, monkeypatch):  # noqa: F811
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.02)
    with FaultProxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def store(proxy, s3_bucket):  # noqa: F811
    return S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK)


@pytest.fixture
def big(tmp_path):
    """A file of four parts, the last one short."""
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(os.urandom(MB) * 16)
    return path


def unfinished(bucket):
    return boto3.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def is_part(request):
    return request.method == "PUT" and "partNumber" in request.path


def is_object(request):
    return request.method == "GET" and "/run/" in request.path


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_fault_19_throttled_upload_is_tried_again_until_it_passes(proxy, store, tmp_path, status, code):
    (tmp_path / "x").write_bytes(b"content")
    proxy.fail(4, status=status, code=code, when=lambda request: request.method == "PUT")
    store.put_file("x", tmp_path / "x")
    assert proxy.count("PUT") == 5
    assert store.read("x") == b"content"


def test_fault_19_throttled_part_is_sent_again_and_not_the_whole_file(proxy, s3_bucket, big):  # noqa: F811
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK._replace(retries=3))
    proxy.fail(2, status=503, code="SlowDown", when=is_part)
    store.put_file("x", big)
    assert proxy.count("PUT", "partNumber") == 4 + 2
    assert store.read("x") == big.read_bytes()


def test_fault_19_connection_reset_in_the_middle_of_a_part_is_survived(proxy, store, s3_bucket, big):  # noqa: F811
    proxy.add(1, lambda handler, _: handler.cut(), is_part)
    store.put_file("x", big)
    assert store.read("x") == big.read_bytes()
    assert unfinished(s3_bucket) == []


def test_fault_19_server_that_hangs_is_given_up_and_asked_again(proxy, s3_bucket, tmp_path):  # noqa: F811
    (tmp_path / "x").write_bytes(b"content")
    proxy.hang(1, when=lambda request: request.method == "PUT")
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK._replace(silence=0.3))
    store.put_file("x", tmp_path / "x")
    assert store.read("x") == b"content"


def test_fault_19_slow_part_is_waited_for_and_not_sent_again(proxy, store, big):
    proxy.slow(1, seconds=0.4, when=is_part)
    store.put_file("x", big)
    assert proxy.count("PUT", "partNumber") == 4
    assert store.read("x") == big.read_bytes()


def test_fault_19_outage_in_mid_upload_is_outlived_and_leaves_no_orphan(proxy, store, s3_bucket, big):  # noqa: F811
    def go_down(handler, _):
        proxy.down()
        threading.Timer(0.5, proxy.up).start()
        handler.cut()

    proxy.add(1, go_down, lambda request: is_part(request) and "partNumber=3" in request.path)
    store.put_file("x", big)
    assert store.read("x") == big.read_bytes()
    assert unfinished(s3_bucket) == []


def test_fault_19_upload_that_cannot_succeed_ends_at_its_deadline_and_leaves_no_orphan(
    proxy,
    store,
    s3_bucket,  # noqa: F811
    big,
):
    proxy.fail(10**6, status=503, code="SlowDown", when=is_part)
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"SlowDown|deadline") as caught:
        store.put_file("x", big, deadline=started + 0.7)
    assert time.monotonic() - started < 3
    assert "canary-of-the-answer" not in str(caught.value)
    assert not store.exists("x")
    assert unfinished(s3_bucket) == []
    assert big.is_file()


def test_fault_19_hanging_upload_is_cut_off_at_its_deadline(proxy, store, tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    proxy.hang(10, when=lambda request: request.method == "PUT")
    started = time.monotonic()
    with pytest.raises(TransientError, match="did not end before its deadline"):
        store.put_file("x", tmp_path / "x", deadline=started + 0.5)
    assert time.monotonic() - started < 2


def test_fault_19_download_that_breaks_off_goes_on_and_asks_for_broken_ranges_only(proxy, store, big, tmp_path):
    store.put_file("x", big)
    proxy.reset(2, after=MB // 2, when=is_object)
    store.fetch("x", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert sum(map(is_object, proxy.requests)) == 4 + 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_fault_19_failed_download_leaves_the_old_file(proxy, s3_bucket, big, tmp_path):  # noqa: F811
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK._replace(file_seconds=0.5))
    open_store(f"s3://{s3_bucket}/run").put_file("x", big)
    (tmp_path / "back").write_bytes(b"old")
    proxy.reset(10**6, after=MB, when=lambda request: is_object(request) and "bytes=0-" not in str(request.headers))
    with pytest.raises(TransientError):
        store.fetch("x", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "checkpoint.pth"]
    assert (tmp_path / "back").read_bytes() == b"old"


def test_fault_19_lost_answer_of_a_conditional_write_is_not_a_conflict(proxy, s3_bucket):  # noqa: F811
    store = S3Store(parse_location(f"s3://{s3_bucket}/run"), QUICK._replace(retries=2))
    proxy.lose(1, when=lambda request: request.method == "PUT")
    version = store.write_if("lease.json", b"mine", None)
    assert proxy.count("PUT") == 2
    assert store.read_versioned("lease.json") == (b"mine", version)


def test_fault_19_answer_that_breaks_off_is_asked_for_again(proxy, store):
    store.write("manifest.json", b"0123456789")
    proxy.reset(2, after=4, when=is_object)
    assert store.read("manifest.json") == b"0123456789"
    assert sum(map(is_object, proxy.requests)) == 3


def test_fault_24_object_swapped_between_list_and_get_is_refused(store, tmp_path):
    store.write("x", b"as listed")
    (listed,) = store.list()
    store.write("x", b"swapped!!")
    with pytest.raises(Conflict, match=r"/run/x "):
        store.fetch("x", tmp_path / "back", version=listed.etag)
    assert list(tmp_path.iterdir()) == []
    store.fetch("x", tmp_path / "back", version=store.list()[0].etag)
    assert (tmp_path / "back").read_bytes() == b"swapped!!"


def test_fault_24_object_swapped_in_mid_download_is_refused(proxy, store, big, tmp_path):
    store.put_file("x", big)

    def swap(handler, body):
        store.write("x", os.urandom(16 * MB))
        handler.forward(body)

    proxy.add(1, swap, lambda request: is_object(request) and "bytes=0-" not in str(request.headers))
    with pytest.raises(Conflict, match=r"/run/x "):
        store.fetch("x", tmp_path / "back")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]
