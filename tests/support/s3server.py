"""A real S3 server on the loopback interface, for the tests of storage and datasets."""

from __future__ import annotations

import atexit
import functools
import itertools
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

_numbers = itertools.count()


@functools.cache
def start_server() -> str:
    """Start moto once per test process and return its endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return f"http://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not start")


def environment() -> dict[str, str]:
    """The variables that point a client to the server."""
    return {
        "AWS_ENDPOINT_URL": start_server(),
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "very-secret-value",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RFDETR_ALLOWED_ENDPOINTS": "127.0.0.1",
    }


def make_bucket(name: str | None = None) -> str:
    """Make a bucket, a new one unless named, and return its name."""
    name = name or f"bucket-{next(_numbers)}"
    urllib.request.urlopen(urllib.request.Request(f"{start_server()}/{name}", method="PUT")).close()
    return name


@pytest.fixture
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a new bucket; the AWS_* environment points to its server."""
    for variable, value in environment().items():
        monkeypatch.setenv(variable, value)
    return make_bucket()
