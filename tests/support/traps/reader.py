"""Reads converted datasets with nothing of ours: json or plain text, and Pillow for what an image shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from traps.truth import Box, colour_of

_EXIF_ORIENTATION = 0x0112
_SPLIT_KEYS = {"train": "train", "valid": "val", "test": "test"}


@dataclass
class Seen:
    """An image of a converted dataset, as RF-DETR sees it: without regard to EXIF.

    Attributes:
        path: The file.
        size: Width and height.
        colour: Number in the palette.
        orientation: What viewers that read EXIF would turn it by; 1 is not at all.
        boxes: In pixels.
        crowds: Crowd regions of COCO.
    """

    path: Path
    size: tuple[int, int]
    colour: int
    orientation: int
    boxes: list[Box]
    crowds: list[Box]

    def clip(self, box: Box) -> Box:
        """Return the part of a box that is in the image; one that has none has no width or height."""
        left, top = max(box.x, 0), max(box.y, 0)
        right, bottom = min(box.x + box.w, self.size[0]), min(box.y + box.h, self.size[1])
        return Box(box.name, left, top, right - left, bottom - top)


def read(folder: Path, format_: str) -> tuple[list[str], dict[str, dict[int, Seen]]]:
    """Return the class names in the order of their ids, and the images of every split by colour."""
    return read_coco(folder) if format_ == "coco" else read_yolo(folder)


def read_coco(folder: Path) -> tuple[list[str], dict[str, dict[int, Seen]]]:
    """Read the Roboflow layout, the one that RF-DETR knows."""
    names: list[str] = []
    splits = {}
    for path in sorted(folder.glob("*/_annotations.coco.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        categories = {category["id"]: category["name"] for category in data["categories"]}
        assert len(categories) == len(data["categories"]), f"{path} repeats a category id"
        # As in RF-DETR and Roboflow: a parent that nothing is labelled as is no class.
        used = {annotation["category_id"] for annotation in data["annotations"]}
        parents = {category.get("supercategory") for category in data["categories"]}
        by_id = [categories[id_] for id_ in sorted(categories) if id_ in used or categories[id_] not in parents]
        assert not names or names == by_id, f"{path} has other classes: {by_id}, not {names}"
        names = by_id
        splits[path.parent.name] = _by_colour(_coco_images(path.parent, data, categories))
    return names, splits


def _coco_images(folder: Path, data: dict[str, Any], categories: dict[int, str]) -> list[Seen]:
    ids = [image["id"] for image in data["images"]]
    assert len(set(ids)) == len(ids), f"{folder} repeats an image id"
    assert len({annotation["id"] for annotation in data["annotations"]}) == len(data["annotations"])
    assert {annotation["image_id"] for annotation in data["annotations"]} <= set(ids)
    seen = []
    for image in data["images"]:
        found = look(folder / image["file_name"])
        assert (image["width"], image["height"]) == found.size, f"{found.path}: size of {image}"
        for annotation in data["annotations"]:
            if annotation["image_id"] == image["id"]:
                assert annotation["area"] >= 0
                box = Box(categories[annotation["category_id"]], *annotation["bbox"])
                (found.crowds if annotation.get("iscrowd") else found.boxes).append(box)
        seen.append(found)
    return seen


def read_yolo(folder: Path) -> tuple[list[str], dict[str, dict[int, Seen]]]:
    """Read ``data.yaml``, and for every image of a split the label file of its stem in the folder beside."""
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    names = data["names"] if isinstance(data["names"], list) else [data["names"][n] for n in range(len(data["names"]))]
    assert data["nc"] == len(names)
    splits = {}
    for split, key in _SPLIT_KEYS.items():
        if key in data:
            images = folder / data[key]
            labels = images.with_name("labels")
            files = sorted(path for path in images.iterdir() if not path.name.startswith("."))
            assert len({path.stem.casefold() for path in files}) == len(files), "two images share a label file"
            assert {path.stem for path in labels.iterdir()} == {path.stem for path in files}
            splits[split] = _by_colour([_with_rows(look(path), labels / f"{path.stem}.txt", names) for path in files])
    return names, splits


def _with_rows(seen: Seen, labels: Path, names: list[str]) -> Seen:
    width, height = seen.size
    for line in labels.read_bytes().decode("ascii").splitlines():
        label, *numbers = line.split(" ")
        values = [float(number) for number in numbers]
        assert all(-1e-9 <= value <= 1 + 1e-9 for value in values), line
        if len(values) == 4:
            x, y, w, h = values
        else:
            assert len(values) >= 6 and len(values) % 2 == 0, line
            x, y, w, h = _box_of_points(values)
        seen.boxes.append(Box(names[int(label)], (x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    return seen


def _box_of_points(values: list[float]) -> tuple[float, float, float, float]:
    left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def look(path: Path) -> Seen:
    """Open an image."""
    with Image.open(path) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        return Seen(path, image.size, colour_of(image), orientation, [], [])


def _by_colour(images: list[Seen]) -> dict[int, Seen]:
    by_colour = {image.colour: image for image in images}
    assert len(by_colour) == len(images), f"an image is there twice: {[image.path.name for image in images]}"
    return by_colour
