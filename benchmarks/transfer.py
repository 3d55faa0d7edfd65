"""Upload and download of a checkpoint with verification: MLflow's and boto3's own ways against ours, in one run.

    .venv/bin/python benchmarks/transfer.py [MEGABYTES]

Each transfer is a process of its own: it moves one file between a disk and S3 and compares its SHA-256 with the wanted
one. MLflow's way is ``log_artifact`` and ``download_artifacts`` of a run whose artifacts lie directly in S3; boto3's is
``upload_file`` and ``download_file`` with the defaults. Shown are the medians of interleaved repeats, without the
start of the process and the imports: rate, CPU seconds of the client, growth of the memory, CPU seconds of everything
else on the machine in that time, and how many times ours is as fast. Two servers: Ceph's gateway, where its packages
are installed, which needs the same cores as its client, and a stand-in that waits instead of working, so that only the
use of connections counts. What Ceph needs itself bounds every client beside it: the ratio in brackets is what one that
needs no CPU at all would reach.
Goals: 1.5 times either peer, and memory growth of at most 128 MB.
"""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3
GOAL = 1.5
GOAL_MB = 128
CORES = os.cpu_count() or 1
FIRST_BYTE, RATE = 0.030, 10e6  # of the stand-in: seconds, bytes per second on each connection
BUCKET = "bench"
# What runs in the child: imports and clients first, then the measured part. argv: file, run id, digest.
FRAME = """
import hashlib, os, re, sys, tempfile, time
from pathlib import Path
source, run, wanted = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
{setup}
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
def busy():
    user, nice, system, _, _, *others = map(int, Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
with tempfile.TemporaryDirectory(dir=source.parent) as folder:
    before, all_cpu, cpu, started = peak(), busy(), time.process_time(), time.perf_counter()
    path = {call}
    with open(path, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == wanted, "the file is damaged"
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(seconds, cpu, peak() - before, busy() - all_cpu - cpu)
"""
MLFLOW = """
import boto3, mlflow
client = mlflow.MlflowClient()
uri = client.get_run(run).info.artifact_uri
"""
BOTO3 = 'import boto3\nclient = boto3.client("s3")'
OURS = f"""
from rfdetr_train.storage import open_store
store = open_store("s3://{BUCKET}/ours")
"""
CASES = {
    ("upload", "mlflow"): (MLFLOW, "client.log_artifact(run, str(source), 'checkpoints') or source"),
    ("upload", "boto3"): (BOTO3, f"client.upload_file(str(source), '{BUCKET}', 'boto3/x') or source"),
    ("upload", "ours"): (OURS, "store.put_file('x', source) or source"),
    ("download", "mlflow"): (
        MLFLOW,
        "mlflow.artifacts.download_artifacts(f'{uri}/checkpoints/{source.name}', dst_path=folder)",
    ),
    ("download", "boto3"): (
        BOTO3,
        f"client.download_file('{BUCKET}', 'boto3/x', f'{{folder}}/x') or Path(folder, 'x')",
    ),
    ("download", "ours"): (OURS, "store.fetch('x', Path(folder, 'x')) or Path(folder, 'x')"),
}


def measure(case: tuple[str, str], source: Path, run: str, wanted: str) -> tuple[float, ...]:
    """Of one transfer: seconds, CPU seconds, growth of the memory in MB, CPU seconds of all other processes."""
    setup, call = CASES[case]
    command = [sys.executable, "-W", "ignore", "-c", FRAME.format(setup=setup, call=call), str(source), run, wanted]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return tuple(float(number) for number in done.stdout.split()[-4:])


def make_run(folder: Path) -> str:
    """An MLflow run with its artifacts directly in S3."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    from mlflow import MlflowClient

    client = MlflowClient()
    name = os.environ["AWS_ENDPOINT_URL"]
    return client.create_run(client.create_experiment(name, artifact_location=f"s3://{BUCKET}/mlflow")).info.run_id


def compare(server: str, source: Path, wanted: str) -> None:
    """Run all, interleaved, and print the rows of one server."""
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    run = make_run(source.parent)
    runs = [{case: measure(case, source, run, wanted) for case in CASES} for _ in range(REPEATS)]
    medians = {case: [statistics.median(r[case][i] for r in runs) for i in range(4)] for case in CASES}
    size = source.stat().st_size / 1e6
    for (what, who), (seconds, cpu, memory, others) in medians.items():
        ours = medians[what, "ours"]
        ratio = f"{seconds / ours[0]:8.2f}" if who != "ours" else ""
        if ratio and server == "radosgw":
            # The cores that all other processes need together, whatever the client does.
            ratio += f" ({seconds / (ours[3] / CORES):.2f})"
        row = f"{size / seconds:8.0f}{cpu:8.2f}{memory:8.0f}{others:8.2f}{ratio}"
        print(f"{server:10}{what:10}{who:8}{row}", flush=True)


def use(endpoint: str) -> None:
    """Point the environment, and so every child, to a server."""
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-value",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RFDETR_ALLOWED_ENDPOINTS": "127.0.0.1",
    }


def main() -> None:
    """Run against both servers."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 480
    print(f"machine: {platform.machine()}, {CORES} cores, Python {platform.python_version()}")
    print(f"mlflow {version('mlflow')}, boto3 {version('boto3')}, obstore {version('obstore')}")
    print(f"file: {megabytes} MB of random bytes; {REPEATS} repeats, median; goals: ratio {GOAL}, {GOAL_MB} MB")
    print(f"stand-in: first byte after {FIRST_BYTE * 1000:.0f} ms, {RATE / 1e6:.0f} MB/s on each connection")
    print(f"{'server':10}{'':10}{'':8}{'MB/s':>8}{'CPU s':>8}{'+MB':>8}{'others':>8}{'ours is':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "checkpoint.pth"
        with source.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(10**6))
        wanted = hashlib.sha256(source.read_bytes()).hexdigest()
        sys.path.insert(0, str(ROOT / "tests" / "support"))
        import radosgw

        if radosgw.missing():
            print(f"radosgw: not installed (apt-get install {radosgw.PACKAGES})")
        else:
            use(radosgw.start_server("test-key", "test-secret-value"))
            compare("radosgw", source, wanted)
        command = [sys.executable, str(ROOT / "benchmarks" / "s3_standin.py"), str(FIRST_BYTE), str(RATE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            use(server.stdout.readline().strip())  # type: ignore[union-attr]
            compare("stand-in", source, wanted)
            server.kill()


if __name__ == "__main__":
    main()
