"""A real MLflow server on the loopback interface, and a wire to it that can be cut."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import run_wide

_METHODS = (b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")


@dataclass(frozen=True)
class Server:
    """A running server: its address, and the root folder or URI of its artifacts."""

    uri: str
    artifacts: str


def start(mode: str = "proxied", root: str = "") -> Server:
    """Start one server of each kind; it takes 10 to 40 s.

    Args:
        mode: ``proxied``: artifacts go through the server; ``direct``: clients go to the artifact root themselves.
        root: Artifact root, such as ``s3://bucket/mlflow`` (with the AWS_* environment of now), for this test process
            alone; "" for a folder, and for all of them.
    """
    name = f"mlflow-{mode}-{hashlib.sha256(root.encode()).hexdigest()[:8]}-{os.getpid()}" if root else f"mlflow-{mode}"
    return Server(**run_wide.once(name, functools.partial(_start, mode, root)))


def _start(mode: str, root: str, folder: Path) -> dict[str, str]:
    root = root or str(folder / "artifacts")
    where = {
        "proxied": ["--serve-artifacts", "--artifacts-destination", root],
        "direct": ["--no-serve-artifacts", "--default-artifact-root", root],
    }[mode]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", new_store(folder), *where]
    # Its job consumers are three more processes that no test needs.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "server.log").open("wb") as log:
        # A process group of its own: ending the parent alone leaves its workers behind.
        process = subprocess.Popen(
            command, cwd=folder, env=environment, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
        )
    run_wide.end_with_run(process.pid)
    wait_until_healthy(f"http://127.0.0.1:{port}", process, folder / "server.log")
    return {"uri": f"http://127.0.0.1:{port}", "artifacts": root}


def wait_until_healthy(uri: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the MLflow server did not start:\n{log.read_text()[-2000:]}")


def new_store(folder: Path) -> str:
    """Make an empty MLflow database, ``mlflow.db`` of a folder, by a copy: making its tables takes MLflow seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run_wide.once("mlflow-store", _empty_store), folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


def _empty_store(folder: Path) -> str:
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()
    return f"{folder}/mlflow.db"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Wire:
    """Forwards TCP connections to a server until it is cut; the address stays the same."""

    def __init__(self, uri: str) -> None:
        host, _, port = uri.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._port = free_port()
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._silent = False
        self._lost, self._losses = b"", 0
        self.uri = f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Let connections through."""
        self._silent, self._losses = False, 0
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Cut every connection and refuse new ones, as when a server is gone."""
        listener, self._listener = self._listener, None
        for each in [*([listener] if listener else []), *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def silent(self) -> None:
        """Pass on what is asked, and hold back every answer."""
        self._silent = True

    def lose_answers(self, to: bytes = b"", times: int = 1 << 30) -> None:
        """Pass on what is asked, and cut the connection in place of the answer to a request that holds ``to``."""
        self._lost, self._losses = to, times

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                asked = bytearray()
                threading.Thread(target=self._ask, args=(near, far, asked), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, asked), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, asked: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                asked[:] = data if data.startswith(_METHODS) else asked + data
                far.sendall(data)
        self._cut(near, far)

    def _answer(self, far: socket.socket, near: socket.socket, asked: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if self._losses and self._lost in asked:
                    self._losses -= 1
                    break
                if not self._silent:
                    near.sendall(data)
        self._cut(near, far)

    def _cut(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
