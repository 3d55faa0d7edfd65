"""A real MLflow server that goes away in mid-run."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.launch.training import _upload
from rfdetr_train.tracking.run import open_run


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An MLflow server in a process group of its own; ending its parent alone leaves its workers behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "a"),
    ]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        wait_for(f"http://127.0.0.1:{port}/health")
        yield process
        end(process)


def wait_for(url):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise TimeoutError(url)


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_metrics_cost_a_warning_and_checkpoints_are_said_to_be_kept(server, tmp_path, caplog):
    run = open_run(experiment="e", name="n", output_dir=tmp_path)
    run.log_metrics({"val/mAP_50": 0.5}, step=1)
    (tmp_path / "checkpoint.pth").write_bytes(b"x")
    _upload(run, tmp_path)
    assert caplog.text == ""

    end(server)

    run.log_metrics({"val/mAP_50": 0.6}, step=2)
    run.finish("FAILED")
    assert "MLflow did not take the metrics of step 2" in caplog.text
    with pytest.raises(InfrastructureError, match=rf"could not be uploaded .* They are in {tmp_path}"):
        _upload(run, tmp_path)
    assert (tmp_path / "checkpoint.pth").is_file()
