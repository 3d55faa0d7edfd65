"""A real Ceph (one monitor, one OSD) with its S3 gateway on the loopback interface, for the integration tests."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

_numbers = itertools.count()
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "ceph-mon ceph-osd ceph-mgr radosgw ceph-common"
_CONFIG = """[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd pool default pg num = 8
mon max pg per osd = 1000
ms bind ipv4 = true
ms bind ipv6 = false
ms mon client mode = crc
mon warn on pool no redundancy = false
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
[mon]
mon data = {folder}/mon
mon data avail crit = 1
[osd]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 10737418240
osd memory target = 1073741824
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw thread pool size = 32
ms mon client mode = crc
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@pytest.fixture
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a new bucket; the AWS_* environment points to the gateway."""
    for variable, value in environment().items():
        monkeypatch.setenv(variable, value)
    name = f"bucket-{next(_numbers)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def environment() -> dict[str, str]:
    """The variables that point a client to the gateway."""
    key, secret = "test-key", "very-secret-value"
    return {
        "AWS_ENDPOINT_URL": start_server(key, secret),
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RFDETR_ALLOWED_ENDPOINTS": "127.0.0.1",
    }


@functools.cache
def start_server(access_key: str, secret_key: str) -> str:
    """Start the gateway once per process and return its endpoint; all of it ends with the process.

    Raises:
        RuntimeError: A part did not come up.
    """
    folder = Path(tempfile.mkdtemp(prefix="radosgw-"))
    port, mon, mon_v1 = _free_ports(3)
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    config = folder / "ceph.conf"
    fsid = uuid.uuid4()
    config.write_text(_CONFIG.format(fsid=fsid, folder=folder, port=port, mon=mon, mon_v1=mon_v1))
    cluster = _Cluster(folder, config)
    atexit.register(cluster.stop)
    cluster.start_monitor(f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]", str(fsid))
    cluster.start_storage()
    endpoint = f"http://127.0.0.1:{port}"
    cluster.start("radosgw", "-n", "client.rgw.a", "-f")
    _wait(lambda: _answers(endpoint), "radosgw")
    cluster.run("radosgw-admin", "user", "create", "--uid=t", "--display-name=t", f"--access-key={access_key}",
                f"--secret-key={secret_key}")  # fmt: skip
    return endpoint


class _Cluster:
    """The processes in one folder."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "CEPH_CONF": str(config)}
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-500:]}")
        return done.stdout

    def start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as log:
            process = subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=log, stderr=log)
        self._processes.append(process)

    def start_monitor(self, address: str, fsid: str) -> None:
        self.run("monmaptool", "--create", "--clobber", "--addv", "a", address, "--fsid", fsid, "monmap")
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap")
        self.start("ceph-mon", "-i", "a", "-f")
        _wait(lambda: bool(self.run("ceph", "--connect-timeout", "5", "-s")), "ceph-mon")

    def start_storage(self) -> None:
        number = self.run("ceph", "osd", "create").strip()
        self.run("ceph-osd", "-i", number, "--mkfs")
        self.run("ceph", "osd", "crush", "add", f"osd.{number}", "1.0", "root=default", "host=localhost")
        self.start("ceph-osd", "-i", number, "-f")
        _wait(lambda: "1 up" in self.run("ceph", "osd", "stat"), "ceph-osd")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    return True


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            pass
        time.sleep(0.3)
    raise RuntimeError(f"{what} did not come up")
