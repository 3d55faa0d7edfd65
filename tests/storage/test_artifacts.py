"""The artifact folder of a run, in the three ways in which MLflow can keep it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import pytest
import s3server
from mlflow import MlflowClient

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.storage import Conflict, Wanted, is_transient
from rfdetr_train.storage.local import LocalStore
from rfdetr_train.storage.s3 import S3Store
from rfdetr_train.tracking.artifacts import ProxiedStore, open_artifacts


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow server that keeps its artifacts in S3 and hands them through."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bucket = s3server.make_bucket("mlflow-artifacts")
    environment = {**os.environ, **s3server.environment(), "MLFLOW_S3_ENDPOINT_URL": s3server.start_server()}
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", f"s3://{bucket}/root"]
    with subprocess.Popen(command, cwd=folder, start_new_session=True, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGKILL)


def wait_for(url):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(url)


def run_of(tracking_uri, artifact_location=None):
    client = MlflowClient(tracking_uri=tracking_uri)
    experiment = client.create_experiment(os.urandom(4).hex(), artifact_location=artifact_location)
    return client.create_run(experiment).info.run_id


@pytest.fixture
def proxied(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return open_artifacts(server, run_of(server))


def test_artifacts_in_s3_and_on_a_disk_are_reached_without_the_server(s3_bucket, tmp_path):
    database = f"sqlite:///{tmp_path}/m.db"
    direct = open_artifacts(database, run_of(database, f"s3://{s3_bucket}/root"))
    local = open_artifacts(database, run_of(database, (tmp_path / "artifacts").as_uri()))
    assert isinstance(direct, S3Store)
    assert isinstance(local, LocalStore)
    for store in (direct, local):
        store.write("a/b", b"1")
        assert store.uri.endswith("/artifacts/checkpoints")
        assert [found.key for found in store.list()] == ["a/b"]


def test_run_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InfrastructureError, match=r"not found.*MLFLOW_TRACKING_URI"):
        open_artifacts(f"sqlite:///{tmp_path}/m.db", "0" * 32)


def test_proxied_artifacts_are_a_store(proxied, tmp_path):
    assert isinstance(proxied, ProxiedStore)
    assert proxied.list() == []
    proxied.write("objects/abc/x.bin", b"0123456789")
    proxied.write("lease.json", b"{}")
    assert [(found.key, found.size) for found in proxied.list()] == [("lease.json", 2), ("objects/abc/x.bin", 10)]
    assert [found.key for found in proxied.list("objects")] == ["objects/abc/x.bin"]
    assert proxied.names("objects") == ["objects/abc/x.bin"]
    assert proxied.read_range("objects/abc/x.bin", 2, 4) == b"2345"
    proxied.fetch("objects/abc/x.bin", tmp_path / "deep" / "y.bin")
    assert (tmp_path / "deep" / "y.bin").read_bytes() == b"0123456789"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["y.bin"]
    wanted = Wanted("objects/abc/x.bin", 10, tmp_path / "many" / "z.bin")
    assert list(proxied.fetch_all([wanted], link=True)) == [wanted]
    assert wanted.destination.read_bytes() == b"0123456789"
    with pytest.raises(Conflict, match="has 10 bytes, 11 wanted"):
        list(proxied.fetch_all([wanted._replace(size=11, destination=tmp_path / "other")], link=True))
    assert not (tmp_path / "other").exists()
    assert proxied.copy("lease.json", "x") is False
    proxied.delete("lease.json")
    proxied.delete("lease.json")
    assert not proxied.exists("lease.json")
    assert not proxied.exists("objects")
    for call in (proxied.read, lambda key: proxied.fetch(key, tmp_path / "out")):
        with pytest.raises(FileNotFoundError):
            call("lease.json")


def test_proxied_conditional_write_refuses_another_version(proxied):
    first = proxied.write_if("lease.json", b"1", None)
    assert proxied.read_versioned("lease.json") == (b"1", first)
    second = proxied.write_if("lease.json", b"2", first)
    for version in (None, first):
        with pytest.raises(Conflict):
            proxied.write_if("lease.json", b"3", version)
    assert proxied.read_versioned("lease.json") == (b"2", second)


def test_big_proxied_file_goes_to_s3_in_parts_and_under_its_key(proxied, s3_bucket, tmp_path):
    content = os.urandom(1 << 20) * 33
    (tmp_path / "local-name").write_bytes(content)
    proxied.put_file("objects/abc/checkpoint.pth", tmp_path / "local-name")
    client = boto3.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="mlflow-artifacts")["Contents"]]
    (key,) = [key for key in keys if key.endswith("/checkpoints/objects/abc/checkpoint.pth")]
    # The tag of an object that was put in parts counts them: 33 MiB in parts of 10.
    assert client.head_object(Bucket="mlflow-artifacts", Key=key)["ETag"].strip('"').endswith("-4")
    proxied.fetch("objects/abc/checkpoint.pth", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_server_that_is_away_is_a_passing_failure_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InfrastructureError, match=r"http://127\.0\.0\.1:9") as caught:
        open_artifacts("http://user:hunter2@127.0.0.1:9", "0" * 32)
    assert is_transient(caught.value)
    assert "hunter2" not in str(caught.value)
