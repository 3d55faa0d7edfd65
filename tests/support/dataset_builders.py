"""Small datasets for the tests: real images, a few boxes, every part replaceable."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from rfdetr_train.datasets import DatasetReport, Finding
from rfdetr_train.datasets.reading import Dataset

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def image_bytes(width: int, height: int, kind: str = "PNG", shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), shade).save(buffer, kind)
    return buffer.getvalue()


def own_image(split: str, number: int) -> bytes:
    """An image of 100 x 50 that no other split has: one that is in two is an error."""
    return image_bytes(100, 50, shade=sum(split.encode()) % 100 + 100 * number)


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def coco_split(prefix: str) -> dict[str, Any]:
    """Two images of 100 x 50, two boxes on the first, one on the second; classes cat (3) and dog (7)."""
    boxes = [(1, 3, [10, 10, 20, 20]), (1, 7, [0, 0, 50.5, 25.25]), (2, 7, [30, 20, 70, 30])]
    return {
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "images": [{"id": n, "file_name": f"{prefix}{n}.png", "width": 100, "height": 50} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
            for n, (i, c, b) in enumerate(boxes, 1)
        ],
    }


def write_coco(
    root: Path,
    splits: tuple[str, ...] = ("train", "valid", "test"),
    place: str = "{}/_annotations.coco.json",
    images: str = "{}",
) -> Path:
    for split in splits:
        put(root / place.format(split), json.dumps(coco_split(split)))
        for n in (1, 2):
            put(root / images.format(split) / f"{split}{n}.png", own_image(split, n))
    return root


def edit(root: Path, change: Callable[[dict[str, Any]], Any], split: str = "train") -> Path:
    """Change the annotation file of a split."""
    path = root / split / "_annotations.coco.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return root


ROWS = "0 0.2 0.4 0.2 0.4\n1 0.25 0.25 0.5 0.5\n"
DATA_YAML = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\n"


def write_yolo(
    root: Path,
    data_yaml: str | None = DATA_YAML,
    folders: Mapping[str, str] | None = None,
) -> Path:
    """Two images of 100 x 50 per split, the second one with one box."""
    if data_yaml is not None:
        put(root / "data.yaml", data_yaml)
    for split, folder in (folders or {name: f"{name}/images" for name in ("train", "valid", "test")}).items():
        labels = "labels".join(folder.rsplit("images", 1))
        for number, rows in ((1, ROWS), (2, "1 0.5 0.5 0.1 0.1\n")):
            put(root / folder / f"{split}{number}.png", own_image(split, number))
            put(root / labels / f"{split}{number}.txt", rows)
    return root


def only(report: DatasetReport, code: str) -> Finding:
    """Return the finding of a code; there must be exactly one."""
    found = [finding for finding in report.findings if finding.code == code]
    assert len(found) == 1, report.findings
    return found[0]


def codes(report: DatasetReport) -> list[str]:
    return [finding.code for finding in report.findings]


def finding(dataset: Dataset, code: str) -> Finding:
    """Return the finding of a code in a dataset that was read; there must be exactly one."""
    found = [found for found in dataset.findings.to_list() if found.code == code]
    assert len(found) == 1, dataset.findings.to_list()
    return found[0]


def codes_of(dataset: Dataset) -> list[str]:
    return [found.code for found in dataset.findings.to_list()]


def upload(folder: Path, uri: str) -> None:
    """Copy a folder to a store."""
    from rfdetr_train.storage import open_store

    store = open_store(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.write(path.relative_to(folder).as_posix(), path.read_bytes())


def everything(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder with their bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
