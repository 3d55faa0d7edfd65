"""Writes a drawn split as COCO and as YOLO, with the same images in both."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
from drawn import CATEGORY_IDS, NAMES, Drawn, draw_polygons
from jpegs import PADDING, SHAPES, VARIANTS, number_jpeg
from numpy.typing import NDArray

_CHUNK = 20_000  # annotations that are in memory as Python objects at once
_SHAPE_OF = {size: number for number, size in enumerate(SHAPES)}


def names_of(split: Drawn) -> list[str]:
    """Name the images as COCO does: the id with twelve digits."""
    return [f"{number:012d}.jpg" for number in _ids_of(split).tolist()]


def write_images(split: Drawn, bases: list[list[bytes]], folder: Path, rng: np.random.Generator) -> None:
    """Write an image file of the right shape for every image; its bytes hold its number."""
    folder.mkdir(parents=True)
    paddings = rng.integers(PADDING, size=len(split.sizes)).tolist()
    columns = zip(names_of(split), split.sizes.tolist(), paddings, strict=True)
    for number, (name, size, padding) in enumerate(columns, split.first):
        base = bases[_SHAPE_OF[tuple(size)]][number % VARIANTS]
        (folder / name).write_bytes(number_jpeg(base, number, padding))


def link_images(split: Drawn, source: Path, folder: Path) -> None:
    """Give the images a second name."""
    folder.mkdir(parents=True)
    for name in names_of(split):
        os.link(source / name, folder / name)


def write_coco(split: Drawn, path: Path, rng: np.random.Generator, *, polygons: bool) -> None:
    """Write an annotation file with the fields of COCO's, in no order of the images, as COCO's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(split.image))
    with path.open("wb") as file:
        file.write(b'{"info":{"description":"generated","year":2026},"licenses":[{"id":1,"name":"none"}],"images":')
        file.write(msgspec.json.encode(_images(split)))
        file.write(b',"categories":')
        ids = zip(CATEGORY_IDS, NAMES, strict=True)
        file.write(msgspec.json.encode([{"supercategory": "thing", "id": n, "name": name} for n, name in ids]))
        file.write(b',"annotations":[')
        for start in range(0, len(order), _CHUNK):
            chunk = _annotations(split, order[start : start + _CHUNK], start + 1, rng, polygons=polygons)
            file.write((b"," if start else b"") + msgspec.json.encode(chunk)[1:-1])
        file.write(b"]}")


def write_yolo(split: Drawn, folder: Path) -> None:
    """Write the label files; an image without boxes has none, as in Ultralytics' copy of COCO."""
    folder.mkdir(parents=True)
    kept = ~split.crowd
    image, sides = split.image[kept], split.sizes[split.image[kept]]
    xywh = split.xywh[kept]
    rows = np.hstack([split.label[kept, None], (xywh[:, :2] + xywh[:, 2:] / 2) / sides, xywh[:, 2:] / sides])
    lines = ["{:.0f} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(*row) for row in rows.tolist()]
    ends = np.searchsorted(image, np.arange(len(split.sizes)), side="right").tolist()
    start = 0
    for name, end in zip(names_of(split), ends, strict=True):
        if end > start:
            (folder / name).with_suffix(".txt").write_text("".join(lines[start:end]))
        start = end


def write_data_yaml(folder: Path) -> None:
    """Write the data file of YOLO."""
    names = "".join(f"  - {name}\n" for name in NAMES)
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\nnc: {len(NAMES)}\nnames:\n{names}")


def _ids_of(split: Drawn) -> NDArray[np.int64]:
    """Return the image ids, with gaps as COCO's."""
    return 9 + 5 * (split.first + np.arange(len(split.sizes)))


def _images(split: Drawn) -> list[dict[str, object]]:
    return [
        {
            "license": 1,
            "file_name": name,
            "coco_url": f"http://images.example.org/train2017/{name}",
            "height": height,
            "width": width,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": f"http://photos.example.org/8186/{name}_z.jpg",
            "id": number,
        }
        for name, number, (width, height) in zip(
            names_of(split), _ids_of(split).tolist(), split.sizes.tolist(), strict=True
        )
    ]


def _annotations(
    split: Drawn, rows: NDArray[np.int64], first_id: int, rng: np.random.Generator, *, polygons: bool
) -> list[dict[str, object]]:
    """Make some annotations."""
    xywh = split.xywh[rows]
    area = np.round(xywh[:, 2] * xywh[:, 3] * (0.55 if polygons else 1), 4).tolist()
    image_ids, sizes = _ids_of(split)[split.image[rows]].tolist(), split.sizes[split.image[rows]].tolist()
    labels, boxes, crowds = split.label[rows].tolist(), xywh.tolist(), split.crowd[rows].tolist()
    result: list[dict[str, object]] = [
        {
            "area": area[n],
            "iscrowd": int(crowds[n]),
            "image_id": image_ids[n],
            "bbox": boxes[n],
            "category_id": CATEGORY_IDS[labels[n]],
            "id": first_id + n,
        }
        for n in range(len(rows))
    ]
    if polygons:
        for n, points in enumerate(draw_polygons(xywh, rng)):
            shape = _stripe(boxes[n], sizes[n]) if crowds[n] else [points]
            result[n] = {"segmentation": shape, **result[n]}
    return result


def _stripe(box: list[float], size: list[int]) -> dict[str, object]:
    """Return the columns of a box as an uncompressed mask, which runs down the columns."""
    width, height = size
    before, inside = int(box[0]) * height, max(int(box[2]), 1) * height
    return {"counts": [before, inside, width * height - before - inside], "size": [height, width]}
