"""Folders that no detector can be trained on, and what the refusal must say of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from traps import layouts_coco, layouts_yolo
from traps.truth import functions, image_bytes, plain, put
from traps.writing import DATA_YAML, Yolo, coco_json

Words = tuple[str, ...]
"""What the message of a refusal must have."""


def r01_roboflow_dota(root: Path) -> Words:
    """What Roboflow calls YOLOv5 Oriented Bounding Boxes: the label files of DOTA."""
    data = Yolo(root, labels="{split}/labelTxt/{stem}.txt")
    layouts_yolo.write_rows(data, ["10.0 12.0 50.0 6.0 50.0 42.0 12.0 44.0 cat 0"]).write()
    return ("DOTA", "orient")


def r02_yolo_obb_by_hint(root: Path) -> Words:
    data = Yolo(root, data_yaml=DATA_YAML + "task: obb\n")
    layouts_yolo.write_rows(data, ["0 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7"]).write()
    return ("orient",)


def r03_dota(root: Path) -> Words:
    for split in ("train", "val"):
        put(root / split / "images/P0001.png", image_bytes(1, kind="PNG"))
        rows = "imagesource:GoogleEarth\ngsd:0.5\n10.0 12.0 50.0 6.0 50.0 42.0 12.0 44.0 plane 0\n"
        put(root / split / "labelTxt/P0001.txt", rows)
    return ("DOTA", "orient")


def r04_captions_only(root: Path) -> Words:
    data = coco_json(plain()["train"])
    data["annotations"] = [{"id": 1, "image_id": 1, "caption": "A cat."}]
    del data["categories"]
    put(root / "annotations/captions_train2017.json", json.dumps(data))
    put(root / "train2017/a.jpg", image_bytes(1))
    return ("no dataset",)


def r05_pascal_voc(root: Path) -> Words:
    put(root / "VOC2012/JPEGImages/a.jpg", image_bytes(1))
    put(root / "VOC2012/Annotations/a.xml", "<annotation><object><name>cat</name></object></annotation>")
    return ("COCO", "YOLO", ".xml")


def r06_kaggle_csv(root: Path) -> Words:
    put(root / "train.csv", "image,x,y,w,h,class\na.jpg,1,2,3,4,cat\n")
    put(root / "train/a.jpg", image_bytes(1))
    return ("COCO", "YOLO", ".csv")


def r07_keypoints_without_boxes(root: Path) -> Words:
    for split in ("train", "val"):
        data = coco_json(plain()["train"])
        for annotation in data["annotations"]:
            del annotation["bbox"], annotation["area"], annotation["segmentation"]
            annotation |= {"keypoints": [1, 2, 2, 3, 4, 2], "num_keypoints": 2}
        for category in data["categories"]:
            category |= {"keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
        put(root / f"annotations/person_keypoints_{split}2017.json", json.dumps(data))
        put(root / f"{split}2017/a.jpg", image_bytes(1))
        put(root / f"{split}2017/b.jpg", image_bytes(2))
    return ("keypoint", "box")


def r08_both_formats(root: Path) -> Words:
    layouts_coco.l01_roboflow_coco(root)
    Yolo(root).write()
    return ("COCO", "YOLO", "format")


def r09_images_only(root: Path) -> Words:
    put(root / "images/a.jpg", image_bytes(1))
    return ("COCO", "YOLO", ".jpg")


def r10_classification_folders(root: Path) -> Words:
    for split in ("train", "valid"):
        for number, name in enumerate(("cat", "dog")):
            put(root / split / name / "1.jpg", image_bytes(number + 1))
    return ("COCO", "YOLO", ".jpg")


REFUSED_LAYOUTS: dict[str, Callable[[Path], Words]] = functions(globals())
