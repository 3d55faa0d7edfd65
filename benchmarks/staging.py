"""Images from S3 to the disk of the training node: boto3, s3fs and plain obstore against ours, in one run.

    .venv/bin/python benchmarks/staging.py [--repeats N] [--rate MB_PER_SECOND] [--peers VENV] [--folder FOLDER]

Two sets: 2,000 images of 71 kB, and one of 300 MB. Each way is a process of its own that knows the keys and writes the
files; shown are the medians of interleaved repeats, without the start of the process and the imports: files or MB per
second, CPU seconds of the client, its peak memory, and how many times ours is as fast and needs as little CPU. Ours is
``stage`` with all that it does: the manifest, sizes and content tags checked, each file put in place in one step, an
index to continue from. boto3 has 16 threads, with ``get_object`` and with ``download_file``, which asks for the size
first; plain obstore is the shortest loop that brings the same bytes, with as many threads as ours, or ranges as many
and as large, and checks nothing. s3fs and the CRT client of boto3 run where they are installed, here or in the
environment of --peers. The server is a stand-in on the same machine that waits instead of working: a first byte after
20 ms, and a rate for each connection. The files go to memory (/dev/shm), or 142 MB of small files at a time would
measure the disk of the machine and whoever else writes to it.
Goals: 3 times as many small files per second as boto3 with threads, for a third of its CPU; at least 0.9 of plain
obstore in both, for small files and for the big one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FIRST_BYTE = 0.020  # seconds
BUCKET = "bench"
THREADS = 16  # of boto3
FILES, FILE_BYTES = 2000, 71_000
BIG_BYTES = 300_000_000
# What runs in the child: imports and clients first, then the measured part. argv: manifest, folder, digest.
FRAME = """
import hashlib, json, os, re, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
prepared, folder, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
splits = json.loads((prepared / "dataset.json").read_bytes())["splits"]
images = [
    (folder / name / image["file_name"], split["image_root"][len("s3://bench/"):] + "/" + image["key"], image["size"])
    for name, split in splits.items()
    for image in split["images"]
]
def make_folders():
    for name in splits:
        (folder / name).mkdir(parents=True)
{setup}
def main():
{call}
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
cpu, started = time.process_time(), time.perf_counter()
main()
print(time.perf_counter() - started, time.process_time() - cpu, peak())
found = hashlib.sha256()
for path, _, _ in sorted(images):
    found.update(path.read_bytes())
assert found.hexdigest() == wanted, "the files are not those of the server"
"""
BOTO3 = f"""
import boto3
from botocore.config import Config
client = boto3.client("s3", config=Config(max_pool_connections={THREADS}))
"""
EACH = """
make_folders()
with ThreadPoolExecutor({threads}) as pool:
    for _ in pool.map(one, images): pass
"""
OBSTORE = """
import obstore
endpoint = os.environ["AWS_ENDPOINT_URL"]
client = obstore.store.S3Store("bench", config={"endpoint": endpoint}, client_options={"allow_http": True})
"""
RANGES = """
make_folders()
for path, key, size in images:
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    def part(start):
        os.pwrite(file, obstore.get_range(client, key, start=start, end=min(start + {range_bytes}, size)), start)
    with ThreadPoolExecutor({ranges}) as pool:
        for _ in pool.map(part, range(0, size, {range_bytes})): pass
"""
GET_OBJECT = f"""
def one(image): image[0].write_bytes(client.get_object(Bucket="{BUCKET}", Key=image[1])["Body"].read())
"""
DOWNLOAD = f"""
from boto3.s3.transfer import TransferConfig
settings = TransferConfig(max_concurrency={THREADS})
def one(image): client.download_file("{BUCKET}", image[1], str(image[0]), Config=settings)
"""
CRT = """
import botocore.session
from s3transfer import crt
session = botocore.session.get_session()
region, endpoint = os.environ["AWS_REGION"], os.environ["AWS_ENDPOINT_URL"]
provider = crt.BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
client = crt.create_s3_crt_client(region=region, use_ssl=False, crt_credentials_provider=provider)
serializer = crt.BotocoreCRTRequestSerializer(session, {"endpoint_url": endpoint, "region_name": region})
"""
CRT_GET = f"""
make_folders()
with crt.CRTTransferManager(client, serializer) as manager:
    waiting = [manager.download("{BUCKET}", key, str(path)) for path, key, _ in images]
    for transfer in waiting: transfer.result()
"""
GET = """
def one(image): image[0].write_bytes(obstore.get(client, image[1]).bytes())
"""
STREAM = """
def one(image):
    with image[0].open("wb") as file:
        for chunk in obstore.get(client, image[1]).stream(1 << 20): file.write(chunk)
"""
S3FS = """
import s3fs
client = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
"""
S3FS_GET = f"""
make_folders()
client.get([f"{BUCKET}/{{key}}" for _, key, _ in images], [str(path) for path, _, _ in images])
"""


class Way(NamedTuple):
    """A way to bring files.

    Attributes:
        needs: Package that must be installed.
        setup: Lines before the measured part.
        call: The measured part.
    """

    needs: str
    setup: str
    call: str


def ways(big: bool) -> dict[str, Way]:
    """Return all ways for small files, or for a big one."""
    from rfdetr_train.storage.s3_client import Limits
    from rfdetr_train.storage.s3_fetch import AT_ONCE

    limits = Limits()
    threads = EACH.format(threads=1 if big else THREADS)
    found = {
        "boto3 download_file": Way("boto3", BOTO3 + DOWNLOAD, threads),
        "boto3's CRT": Way("awscrt", CRT, CRT_GET),
        "s3fs": Way("s3fs", S3FS, S3FS_GET),
    }
    if big:
        found["obstore, one stream"] = Way("obstore", OBSTORE + STREAM, EACH.format(threads=1))
        ranges = RANGES.format(ranges=limits.ranges, range_bytes=limits.range_bytes)
        found["obstore, ranges"] = Way("obstore", OBSTORE, ranges)
    else:
        found = {"boto3 get_object": Way("boto3", BOTO3 + GET_OBJECT, threads), **found}
        found["obstore"] = Way("obstore", OBSTORE + GET, EACH.format(threads=AT_ONCE))
    return {**found, "ours": Way("obstore", "from rfdetr_train.datasets import stage", "stage(prepared, folder)")}


def interpreter(needs: str, peers: Path) -> str:
    """Return a Python that has a package, "" where none has."""
    for python in (sys.executable, str(peers / "bin" / "python")):
        probe = [python, "-c", f"import {needs}"]
        if Path(python).exists() and subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return ""


def measure(python: str, way: Way, prepared: Path, wanted: str) -> tuple[float, ...]:
    """Of one way: seconds, CPU seconds, peak memory in MB."""
    call = "\n".join(f"    {line}" for line in way.call.strip().splitlines())
    code = FRAME.format(setup=way.setup, call=call)
    with tempfile.TemporaryDirectory(dir=prepared.parent) as folder:
        command = [python, "-W", "ignore", "-c", code, str(prepared), f"{folder}/staged", wanted]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    return tuple(float(number) for number in done.stdout.split()[-3:])


def compare(what: str, prepared: Path, wanted: str, repeats: int, peers: Path) -> None:
    """Run all, interleaved, and print the rows of one set."""
    big = what == "big"
    pythons = {who: interpreter(way.needs, peers) for who, way in ways(big).items()}
    runs = [
        {who: measure(pythons[who], way, prepared, wanted) for who, way in ways(big).items() if pythons[who]}
        for _ in range(repeats)
    ]
    amount = BIG_BYTES / 1e6 if big else FILES
    medians = {who: [statistics.median(run[who][i] for run in runs) for i in range(3)] for who in runs[0]}
    ours = medians["ours"]
    for who, python in pythons.items():
        if not python:
            print(f"{what:7}{who:22}not installed")
            continue
        seconds, cpu, memory = medians[who]
        ratio = f"{seconds / ours[0]:10.2f}{cpu / ours[1]:10.2f}{goal(who, big)}" if who != "ours" else ""
        print(f"{what:7}{who:22}{amount / seconds:10.0f}{cpu:8.2f}{memory:8.0f}{ratio}", flush=True)


def goal(who: str, big: bool) -> str:
    """Return the wanted ratios to a way; "" where nothing is promised."""
    if who.startswith("obstore"):
        return f"{0.9:8.1f}"
    return f"{3.0:8.1f}" if who in ("boto3 get_object", "boto3 download_file") and not big else ""


def image(size: int) -> bytes:
    """A PNG of so many bytes, nearly all of them noise in a chunk of no known kind."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes.fromhex("00000280000001e00800000000"))
    pixels, end = chunk(b"IDAT", zlib.compress(bytes(641 * 480))), chunk(b"IEND", b"")
    noise = chunk(b"noIs", os.urandom(size - len(header + pixels + end) - 12))
    return header + noise + pixels + end


def make_set(folder: Path, prefix: str, contents: list[bytes]) -> tuple[Path, str]:
    """Put images into the bucket and convert them, all but one for training; return the result and their digest."""
    from rfdetr_train.datasets import convert
    from rfdetr_train.storage import map_parallel, open_store

    store = open_store(f"s3://{BUCKET}/{prefix}")
    names = [f"{'train' if number else 'valid'}/{number:06}.png" for number in range(len(contents))]
    list(map_parallel(lambda pair: store.write(*pair), zip(names, contents, strict=True), 32))
    for split in ("train", "valid"):
        images = [
            {"id": number, "file_name": name.partition("/")[2], "width": 640, "height": 480}
            for number, name in enumerate(names, 1)
            if name.startswith(split)
        ]
        boxes = [
            {"id": item["id"], "image_id": item["id"], "category_id": 1, "bbox": [10, 10, 50, 50], "area": 2500}
            for item in images
        ]
        coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
        store.write(f"{split}/_annotations.coco.json", json.dumps(coco).encode())
    convert(store.uri, folder / prefix, target="coco", images="reference")
    by_name = sorted(zip(names, contents, strict=True))
    return folder / prefix, hashlib.sha256(b"".join(content for _, content in by_name)).hexdigest()


def use(endpoint: str) -> None:
    """Point the environment, and so every child, to the server."""
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-value",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RFDETR_ALLOWED_ENDPOINTS": "127.0.0.1",
    }


def main() -> None:
    """Run both sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=float, default=90.0, help="MB/s on each connection")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-peers", help="environment of s3fs and boto3[crt]")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the files go")
    arguments = parser.parse_args()
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"boto3 {version('boto3')}, obstore {version('obstore')}; {arguments.repeats} repeats, median")
    print(f"stand-in: first byte after {FIRST_BYTE * 1000:.0f} ms, {arguments.rate:.0f} MB/s on each connection")
    print(f"the files go to {arguments.folder}")
    print(f"small: {FILES:,} x {FILE_BYTES / 1000:.0f} kB, files/s; big: 1 x {BIG_BYTES / 1e6:.0f} MB, MB/s")
    print(f"{'':29}{'rate':>10}{'CPU s':>8}{'MB':>8}{'ours is':>10}{'of CPU':>10}{'goal':>8}")
    sys.path.insert(0, str(ROOT))
    command = [sys.executable, str(ROOT / "benchmarks" / "s3_standin.py"), str(FIRST_BYTE), str(arguments.rate * 1e6)]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        use(server.stdout.readline().strip())  # type: ignore[union-attr]
        small = [image(FILE_BYTES) for _ in range(FILES)]
        sets = {"small": small, "big": [small[0], image(BIG_BYTES)]}
        for what, contents in sets.items():
            prepared, wanted = make_set(Path(scratch), what, contents)
            compare(what, prepared, wanted, arguments.repeats, arguments.peers)
        server.kill()


if __name__ == "__main__":
    main()
