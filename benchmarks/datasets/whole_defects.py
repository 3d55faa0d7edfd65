"""The defects of a dataset as a whole, each in a small dataset of its own."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT = 64, 48
_DATA_YAML = "train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n"
_BOX = "0.5 0.5 0.25 0.25"


def write_coco(folder: Path, dice: random.Random) -> Path:
    """Write three images for each of two splits, each with a cat (3) and a dog (7)."""
    for split in ("train", "val"):
        _draw(folder / split, split, dice)
        content = {
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
            "images": [
                {"id": n, "file_name": f"{split}{n}.png", "width": _WIDTH, "height": _HEIGHT} for n in (1, 2, 3)
            ],
            "annotations": [_annotation(n, k) for n in (1, 2, 3) for k in (0, 1)],
        }
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def _annotation(image: int, position: int) -> dict[str, object]:
    """Return one of the two annotations of an image."""
    ids = {"id": 2 * image + position, "image_id": image, "category_id": (3, 7)[position]}
    return {**ids, "bbox": [9, 9, 20, 9 + image], "area": 180 + 20 * image, "iscrowd": 0}


def write_yolo(folder: Path, dice: random.Random) -> Path:
    """Write three images for each of two splits, each with a cat (0) and a dog (1)."""
    for split in ("train", "val"):
        _draw(folder / "images" / split, split, dice)
        (folder / "labels" / split).mkdir(parents=True)
        for number in (1, 2, 3):
            (folder / "labels" / split / f"{split}{number}.txt").write_text(f"0 {_BOX}\n1 {_BOX}\n")
    (folder / "data.yaml").write_text(_DATA_YAML)
    return folder


def _draw(folder: Path, split: str, dice: random.Random) -> None:
    """Draw three images of one colour each."""
    from PIL import Image

    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        colour = tuple(dice.randbytes(3))
        Image.new("RGB", (_WIDTH, _HEIGHT), colour).save(folder / f"{split}{number}.png")


def _edit(change: Callable[[dict[str, Any]], object], *splits: str) -> Callable[[Path], object]:
    """Return what changes the annotation files of some splits."""

    def edit(folder: Path) -> None:
        for split in splits:
            path = folder / "annotations" / f"instances_{split}.json"
            content = json.loads(path.read_bytes())
            change(content)
            path.write_text(json.dumps(content))

    return edit


def _only_dogs_in_valid(content: dict[str, Any]) -> None:
    content["annotations"] = [found for found in content["annotations"] if found["category_id"] == 3]


def _renumber(content: dict[str, Any]) -> None:
    for entry in (*content["categories"], *content["annotations"]):
        key = "id" if "name" in entry else "category_id"
        entry[key] = 8 if entry[key] == 7 else entry[key]


def _add_parent(content: dict[str, Any]) -> None:
    for category in content["categories"]:
        category["supercategory"] = "animals"
    content["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})


def _string_ids(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["id"] = f"a{image['id']}"
    for annotation in content["annotations"]:
        annotation["image_id"] = f"a{annotation['image_id']}"


def _yaml(change: Callable[[str], str]) -> Callable[[Path], object]:
    """Return what changes the data file."""
    return lambda folder: (folder / "data.yaml").write_text(change(_DATA_YAML))


def _remove_valid(folder: Path) -> None:
    shutil.rmtree(folder / "images" / "val")
    shutil.rmtree(folder / "labels" / "val")


def _gap(folder: Path) -> None:
    _yaml(lambda text: text.replace("[cat, dog]", "{0: cat, 5: dog}").replace("nc: 2\n", ""))(folder)
    for path in (folder / "labels").rglob("*.txt"):
        path.write_text(f"0 {_BOX}\n5 {_BOX}\n")


def _four_points(folder: Path) -> None:
    for path in (folder / "labels").rglob("*.txt"):
        path.write_text("1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4\n")


def _keypoints(folder: Path) -> None:
    _yaml(lambda text: f"{text}kpt_shape: [1, 3]\n")(folder)
    for path in (folder / "labels").rglob("*.txt"):
        path.write_text(f"0 {_BOX} 0.5 0.5 2\n1 {_BOX} 0.5 0.5 2\n")


WHOLE_COCO: dict[str, tuple[int, Callable[[Path], object]]] = {
    "missing-split": (1, lambda folder: (folder / "annotations" / "instances_val.json").unlink()),
    "empty-split": (1, _edit(lambda content: content.update(images=[], annotations=[]), "val")),
    "string-id": (9, _edit(_string_ids, "train")),
    "duplicate-category-id": (
        1,
        _edit(lambda content: content["categories"].append({"id": 3, "name": "cow"}), "train"),
    ),
    "category-mismatch": (
        2,
        _edit(lambda content: content.update(categories=[{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]), "val"),
    ),
    "category-renumbered": (1, _edit(_renumber, "val")),
    "class-only-in-valid": (3, _edit(_only_dogs_in_valid, "train")),
    "duplicate-class-name": (
        1,
        _edit(lambda content: content["categories"][1].update(name="cat"), "train", "val"),
    ),
    "unused-parent-category": (1, _edit(_add_parent, "train", "val")),
    "nan-in-json": (
        1,
        _edit(lambda content: content["annotations"][0].update(bbox=[9, 9, float("nan"), 9]), "train"),
    ),
    "unused-file": (1, lambda folder: (folder / "annotations" / "instances_extra.json").write_text('{"images": []}')),
}
"""Code -> how many findings are right, and what changes the small COCO dataset."""
WHOLE_YOLO: dict[str, tuple[int, Callable[[Path], object]]] = {
    "missing-split": (1, _remove_valid),
    "class-id-gap": (1, _gap),
    "class-count": (1, _yaml(lambda text: text.replace("nc: 2", "nc: 3"))),
    "missing-class-names": (1, _yaml(lambda text: text.replace("names: [cat, dog]\n", ""))),
    "duplicate-class-name": (1, _yaml(lambda text: text.replace("dog", "cat"))),
    "ambiguous-task": (12, _four_points),
    "keypoint-row": (12, _keypoints),
    "foreign-path": (1, _yaml(lambda text: f"path: /content/datasets/pets\n{text}")),
    "download-ignored": (1, _yaml(lambda text: f"{text}download: https://example.org/pets.zip\n")),
}
"""The same for the small YOLO dataset."""
