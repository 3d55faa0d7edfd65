"""COCO as programs export it: fourteen layouts, and what is right of each."""

from __future__ import annotations

import json
from pathlib import Path

from traps.truth import Case, Right, functions, one_split, plain, put
from traps.writing import coco_json


def _coco(root: Path, annotations: str, images: str, folder: str = "", names: dict[str, str] | None = None) -> Right:
    """Write COCO files and images where a program does.

    Args:
        root: The dataset.
        annotations: Place of the annotation file of ``{split}``.
        images: Folder of the images of ``{split}``.
        folder: What the file gives before the names of the images.
        names: What the program calls the splits; train and val by default.
    """
    names = names or {"train": "train", "valid": "val"}
    right = Right("coco", {split: pictures for split, pictures in plain().items() if split in names})
    for split, pictures in right.splits.items():
        data = coco_json(pictures, folder=folder.format(split=names[split]))
        put(root / annotations.format(split=names[split]), json.dumps(data))
        for picture in pictures:
            picture.put(root / images.format(split=names[split]) / picture.name)
    return right


def l01_roboflow_coco(root: Path) -> Right:
    right = _coco(root, "{split}/_annotations.coco.json", "{split}", names={"train": "train", "valid": "valid"})
    for split in right.splits:
        path = root / split / "_annotations.coco.json"
        data = json.loads(path.read_text())
        for category in data["categories"]:
            category["supercategory"] = "animals-Tz3k"
        data["categories"].insert(0, {"id": 0, "name": "animals-Tz3k", "supercategory": "none"})
        for image in data["images"]:
            image |= {"license": 1, "date_captured": "2026-01-01T00:00:00+00:00", "extra": {"name": "x.jpg"}}
        path.write_text(json.dumps(data))
    put(root / "README.roboflow.txt", "animals - v1\n")
    right.findings = {"unused-parent-category": 1}
    return right


def l02_roboflow_coco_segmentation(root: Path) -> Right:
    right = _coco(root, "{split}/_annotations.coco.json", "{split}", names={"train": "train", "valid": "valid"})
    for split in right.splits:
        path = root / split / "_annotations.coco.json"
        data = json.loads(path.read_text())
        for annotation in data["annotations"]:
            x, y, w, h = annotation["bbox"]
            annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h, x, y + h / 2]]
        path.write_text(json.dumps(data))
    right.task = "segment"
    return right


def l03_coco_2017(root: Path) -> Right:
    """The original: task files beside one another, of which one has the boxes."""
    names = {"train": "train2017", "valid": "val2017"}
    right = _coco(root, "annotations/instances_{split}.json", "{split}", names=names)
    for other in ("captions_train2017", "captions_val2017"):
        put(root / f"annotations/{other}.json", json.dumps({"images": [], "annotations": [{"id": 1, "caption": "x"}]}))
    for split in ("train", "val"):
        data = json.loads((root / f"annotations/instances_{split}2017.json").read_text())
        data["categories"] = [{"id": 1, "name": "person", "supercategory": "person", "keypoints": ["nose"]}]
        data["annotations"] = []
        put(root / f"annotations/person_keypoints_{split}2017.json", json.dumps(data))
    return right


def l04_coco_images_below_images(root: Path) -> Right:
    """Datumaro writes like this, and many scripts."""
    return _coco(root, "annotations/instances_{split}.json", "images/{split}")


def l05_mmdetection_annotations_by_split(root: Path) -> Right:
    return _coco(root, "annotations/{split}.json", "{split}")


def l06_mmdetection_beside_the_images(root: Path) -> Right:
    """As in the tutorial with balloons."""
    return _coco(root, "{split}/annotation_coco.json", "{split}")


def l07_cvat_coco(root: Path) -> Right:
    names = {"train": "Train", "valid": "Validation"}
    return _coco(root, "annotations/instances_{split}.json", "images/{split}", names=names)


def l08_cvat_coco_default(root: Path) -> Right:
    """A task without subsets: one split, called default."""
    return one_split(_coco(root, "annotations/instances_default.json", "images", names={"train": "default"}))


def l09_label_studio_coco(root: Path) -> Right:
    return one_split(_coco(root, "result.json", "images", "images/", names={"train": "train"}))


def l10_label_studio_coco_windows(root: Path) -> Right:
    """On Windows the names of its images have backslashes."""
    right = one_split(_coco(root, "result.json", "images", "images\\", names={"train": "train"}))
    right.findings["backslash-in-name"] = 2
    return right


def l11_bare_json_and_folder(root: Path) -> Right:
    return _coco(root, "{split}.json", "images")


def l12_bare_json_and_folders(root: Path) -> Right:
    """The file of a split gives the names below the root."""
    return _coco(root, "{split}.json", "{split}", "{split}/")


def l13_kaggle_one_json(root: Path) -> Right:
    return one_split(_coco(root, "annotations.json", "images", names={"train": "train"}))


def l14_coco_annotations_json_in_each_split(root: Path) -> Right:
    return _coco(root, "{split}/annotations.json", "{split}/images")


COCO_LAYOUTS: dict[str, Case] = functions(globals())
