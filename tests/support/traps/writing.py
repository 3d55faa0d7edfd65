"""Writes datasets in the commonest layout of each format, with room for what a case gets wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traps.truth import Box, Picture, Right, plain, put

IDS = {"cat": 1, "dog": 2}
DATA_YAML = "train: train/images\nval: valid/images\nnc: 2\nnames: [cat, dog]\n"


def coco_json(
    pictures: list[Picture], ids: Mapping[str, int] = IDS, first: int = 1, folder: str = ""
) -> dict[str, Any]:
    """Return images as a complete COCO file; ids of images and annotations begin with ``first``."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        width, height = picture.size
        images.append({"id": first + len(images), "file_name": folder + picture.name, "width": width, "height": height})
        for name, x, y, w, h in picture.boxes:
            annotations.append(
                {
                    "id": first + len(annotations),
                    "image_id": images[-1]["id"],
                    "category_id": ids[name],
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    categories = [{"id": id_, "name": name, "supercategory": "none"} for name, id_ in ids.items()]
    return {
        "info": {"description": "trap"},
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def yolo_row(box: Box, size: tuple[int, int], label: int) -> str:
    """Return a box as ``class x y width height``."""
    width, height = size
    x, y = (box.x + box.w / 2) / width, (box.y + box.h / 2) / height
    return f"{label} {x!r} {y!r} {box.w / width!r} {box.h / height!r}"


class Coco:
    """A COCO dataset in the Roboflow layout: the plain images, which a case changes in the files and in what is right.

    Attributes:
        root: Its folder.
        right: What is right of it.
        files: The annotation files by split.
    """

    def __init__(self, root: Path, ids: Mapping[str, int] = IDS, first: int = 1) -> None:
        """Make the plain dataset with some category ids."""
        self.root = root
        self.ids = dict(ids)
        self.right = Right("coco", plain(), [name for name, _ in sorted(ids.items(), key=lambda item: item[1])])
        self.files = {split: coco_json(pictures, ids, first) for split, pictures in self.right.splits.items()}

    @property
    def train(self) -> dict[str, Any]:
        """The annotation file of the train split."""
        return self.files["train"]

    def image(self, name: str, split: str = "train") -> dict[str, Any]:
        """Return the entry of an image."""
        return next(image for image in self.files[split]["images"] if image["file_name"] == name)

    def add_image(self, picture: Picture, split: str = "train") -> Picture:
        """Add an image with its boxes, to the file and to what is right."""
        self.right.splits[split].append(picture)
        width, height = picture.size
        ids = [image["id"] for image in self.files[split]["images"]]
        self.files[split]["images"].append(
            {"id": max(ids) + 1, "file_name": picture.name, "width": width, "height": height}
        )
        for box in picture.boxes:
            self.add(picture.name, box.name, list(box[1:]), split=split)
        return picture

    def add(
        self, image: str, name: str, bbox: Any, *, right: Box | None = None, split: str = "train", **values: Any
    ) -> None:
        """Add an annotation to a file, and to what is right where that is given."""
        annotations = self.files[split]["annotations"]
        area = abs(bbox[2] * bbox[3]) if right else 1
        annotations.append(
            {
                "id": max((a["id"] for a in annotations), default=0) + 1,
                "image_id": self.image(image, split)["id"],
                "category_id": self.ids[name],
                "bbox": bbox,
                "area": area,
                "iscrowd": 0,
                "segmentation": [],
                **values,
            }
        )
        if right:
            self.right.picture(image).boxes.append(right)

    def write(self) -> Right:
        """Write the files and the images, and return what is right."""
        for split, data in self.files.items():
            put(self.root / split / "_annotations.coco.json", json.dumps(data))
            for picture in self.right.splits[split]:
                picture.put(self.root / split / picture.name)
        return self.right


@dataclass
class Yolo:
    """A YOLO dataset: the plain images, which a case changes in the files and in what is right.

    Attributes:
        root: Its folder.
        right: What is right of it.
        data_yaml: Its data file.
        ids: Class ids by name, of the rows that are written for the boxes.
        rows: Image -> lines of its label file instead of those of its boxes; None for no file.
        images: Place of an image.
        labels: Place of a label file.
        newline: What ends a line.
        mark: What a label file begins with.
    """

    root: Path
    right: Right = field(default_factory=lambda: Right("yolo", plain()))
    data_yaml: str | None = DATA_YAML
    ids: dict[str, int] = field(default_factory=lambda: {"cat": 0, "dog": 1})
    rows: dict[str, list[str] | None] = field(default_factory=dict)
    images: str = "{split}/images/{name}"
    labels: str = "{split}/labels/{stem}.txt"
    newline: str = "\n"
    mark: str = ""

    def plain_rows(self, name: str) -> list[str]:
        """Return the rows of the boxes of an image."""
        picture = self.right.picture(name)
        return [yolo_row(box, picture.size, self.ids[box.name]) for box in picture.boxes]

    def add_rows(self, name: str, *rows: str, right: tuple[Box, ...] = ()) -> None:
        """Add rows to a label file, and boxes to what is right."""
        before = self.rows.get(name)
        self.rows[name] = [*(self.plain_rows(name) if before is None else before), *rows]
        self.right.picture(name).boxes.extend(right)

    def write(self) -> Right:
        """Write the files and the images, and return what is right."""
        if self.data_yaml is not None:
            put(self.root / "data.yaml", self.data_yaml)
        for split, pictures in self.right.splits.items():
            for picture in pictures:
                places = {"split": split, "name": picture.name, "stem": picture.stem}
                picture.put(self.root / self.images.format(**places))
                rows = self.rows.get(picture.name, self.plain_rows(picture.name))
                if rows is not None:
                    text = self.mark + "".join(row + self.newline for row in rows)
                    put(self.root / self.labels.format(**places), text)
        return self.right
