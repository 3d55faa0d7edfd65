"""Bytes that a whole run of the pipeline moves out of and into S3, counted at the server, for a dataset of size D.

    .venv/bin/python benchmarks/datasets/bytes_moved.py [--dataset FOLDER]...

Ours is what the components call, in their order: detect_dataset, convert_dataset, the staging of the training and that
of the evaluation, each with nothing on its disk but what the step before handed on. The peer is a pipeline that hands
on the dataset itself as an artifact, which is what KFP does with the folder of a component: the import downloads it
and uploads the artifact, which conversion, training and evaluation download. The server is moto with a counter
around it: all bodies count, listings and errors too. The datasets are one that is generated (300 JPEGs of 640 x 480
pixels, COCO, 50 MB) and those of --dataset. Goal: at most 1.05 D.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from counting_s3 import BUCKET, Counter, client, counting_server
from setting import print_machine

GOAL = 1.05
SPLITS = {"train": 210, "valid": 60, "test": 30}
EVAL_SPLIT = "test"
BOXES = 7  # of an image, as in COCO


def draw(folder: Path) -> Path:
    """Write a dataset whose images have the size of photographs: noise does not compress."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(2017)
    for split, count in SPLITS.items():
        (folder / split).mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = rng.integers(0, 256, (480, 640, 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number:06d}.jpg", quality=70)
        images = [{"id": n, "file_name": f"{n:06d}.jpg", "width": 640, "height": 480} for n in range(1, count + 1)]
        boxes = rng.integers(10, 200, (count * BOXES, 4)).tolist()
        annotations = [
            {
                "id": n,
                "image_id": (n - 1) // BOXES + 1,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for n, box in enumerate(boxes, 1)
        ]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


def upload(folder: Path, prefix: str) -> int:
    """Copy a folder to the bucket, and return how many bytes it has."""
    s3 = client()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        for path in files:
            pool.submit(s3.upload_file, str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")
    return sum(path.stat().st_size for path in files)


def download(prefix: str, folder: Path) -> Path:
    """Copy everything under a prefix of the bucket to a folder, and return the folder."""
    s3 = client()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    with ThreadPoolExecutor(8) as pool:
        for key in keys:
            path = folder / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            pool.submit(s3.download_file, BUCKET, key, str(path))
    return folder


def ours(prefix: str, work: Path) -> dict[str, Callable[[], object]]:
    """The steps of our pipeline."""
    from rfdetr_train import steps
    from rfdetr_train.datasets import stage

    uri, prepared, options = f"s3://{BUCKET}/{prefix}", work / "prepared", steps.DataOptions("", "", "fail", "warn")
    files = {"markdown": str(work / "report.md")}
    return {
        "detect": lambda: steps.detect_dataset(uri, EVAL_SPLIT, options, json_report=str(work / "r.json"), **files),
        "convert": lambda: steps.convert_dataset(uri, str(prepared), options, fingerprint="", **files),
        "train": lambda: stage(prepared, work / "training"),
        "evaluate": lambda: stage(prepared, work / "evaluation", image_splits=[EVAL_SPLIT]),
    }


def naive(prefix: str, work: Path) -> dict[str, Callable[[], object]]:
    """The steps of a pipeline that hands on the images."""
    return {
        "import": lambda: upload(download(prefix, work / "in"), f"{prefix}-artifact"),
        "convert": lambda: download(f"{prefix}-artifact", work / "convert"),
        "train": lambda: download(f"{prefix}-artifact", work / "train"),
        "evaluate": lambda: download(f"{prefix}-artifact", work / "evaluate"),
    }


def run(who: str, stages: dict[str, Callable[[], object]], size: int, counter: Counter) -> float:
    """Run the steps, print a row for each and one for all, and return how many times D was moved."""
    moved = requests = 0
    counter.take()
    for name, call in stages.items():
        with contextlib.redirect_stdout(io.StringIO()):
            call()
        passed = counter.take()
        moved, requests = moved + passed.sent + passed.received, requests + passed.requests
        print(f"  {who:8}{name:10}{passed.sent / 1e6:10.3f}{passed.received / 1e6:10.3f}{passed.requests:10}")
    print(f"  {who:8}{'together':10}{moved / 1e6:10.3f} MB in {requests} requests: {moved / size:.3f} D", flush=True)
    return moved / size


def measure(dataset: Path, counter: Counter) -> None:
    """Run both pipelines on a dataset and print the rows."""
    with tempfile.TemporaryDirectory() as work:
        size = upload(dataset, dataset.name)
        count = sum(1 for path in dataset.rglob("*") if path.is_file())
        print(f"{dataset.name}: D = {size / 1e6:.3f} MB in {count} objects")
        print(f"  {'':8}{'step':10}{'MB out':>10}{'MB in':>10}{'requests':>10}")
        peer = run("naive", naive(dataset.name, Path(work) / "naive"), size, counter)
        own = run("ours", ours(dataset.name, Path(work)), size, counter)
    print(f"  naive {peer:.2f} D, ours {own:.3f} D (goal {GOAL:g}: {'met' if own <= GOAL else 'MISSED'})", flush=True)


def main() -> None:
    """Measure all datasets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, action="append", default=[], help="folder with train, valid and test")
    datasets = parser.parse_args().dataset
    logging.disable(logging.INFO)
    print_machine()
    with counting_server() as counter, tempfile.TemporaryDirectory() as scratch:
        measure(draw(Path(scratch) / "generated"), counter)
        for dataset in datasets:
            if dataset.is_dir():
                measure(dataset.resolve(), counter)
            else:
                print(f"{dataset}: skipped, it is not there")


if __name__ == "__main__":
    main()
