"""YOLO as programs export it: fourteen layouts, and what is right of each."""

from __future__ import annotations

import json
from pathlib import Path

from traps.truth import Box, Case, Picture, Right, functions, one_split, plain, put
from traps.writing import DATA_YAML, Yolo, yolo_row


def l15_roboflow_yolo(root: Path) -> Right:
    block = "\nroboflow:\n  workspace: me\n  project: animals\n  version: 1\n  license: CC BY 4.0\n"
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['cat', 'dog']\n"
    data = Yolo(root, data_yaml=yaml + block)
    data.right.splits["test"] = [Picture("t.jpg", 30, boxes=[Box("cat", 1, 2, 3, 4)])]
    put(root / "README.dataset.txt", "animals\n")
    return data.write()


def l16_roboflow_yolo_segmentation(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace(": train", ": ../train").replace(": valid", ": ../valid"))
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.size, picture.boxes = (100, 60), [Box("cat", 10, 6, 40, 36)]
    write_rows(data, ["0 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7 0.15 0.5"])
    data.right.task, data.right.findings = "segment", {"polygon-row": 3}
    return data.write()


def l17_yolo_pose(root: Path) -> Right:
    """As coco8-pose: seventeen keypoints of three values."""
    data = Yolo(root, data_yaml=DATA_YAML + "kpt_shape: [17, 3]\nflip_idx: [0]\n")
    for pictures in data.right.splits.values():
        for picture in pictures:
            data.rows[picture.name] = [row + " 0.5 0.5 2" * 17 for row in data.plain_rows(picture.name)]
    data.right.task, data.right.findings = "pose", {"keypoint-row": 5}
    return data.write()


def l18_ultralytics_coco8(root: Path) -> Right:
    """images/train beside labels/train, and path the name of the folder."""
    splits = f"path: {root.name} # dataset root dir\ntrain: images/train\nval: images/val\ntest: # test images\n"
    names = "\n# Classes\nnames:\n  0: cat\n  1: dog\n\n# Download script/URL (optional)\ndownload: coco8.zip\n"
    put(root / "LICENSE", "AGPL")
    data = Yolo(root, data_yaml=splits + names)
    _images_first(data)
    data.right.findings = {"download-ignored": 1, "foreign-path": 1}
    return data.right


def l19_yolo_without_data_yaml(root: Path) -> Right:
    """Label Studio: names in classes.txt, no splits."""
    data = Yolo(root, data_yaml=None, images="images/{name}", labels="labels/{stem}.txt")
    put(root / "classes.txt", "cat\ndog\n")
    put(root / "notes.json", json.dumps({"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}))
    data.right.splits.pop("valid")
    return one_split(data.write())


def l20_classes_txt_with_splits(root: Path) -> Right:
    """Kaggle: images and labels with folders for the splits, names in classes.txt."""
    data = Yolo(root, data_yaml=None)
    put(root / "classes.txt", "cat\ndog\n")
    return data.write()


def l21_flat_split_folders(root: Path) -> Right:
    """Kaggle: images and label files in one folder for each split, and no names at all."""
    data = Yolo(root, data_yaml=None, images="{split}/{name}", labels="{split}/{stem}.txt", ids={"0": 0, "1": 1})
    data.right.classes, data.right.findings = ["0", "1"], {"missing-class-names": 1}
    _rename_classes(data)
    return data.write()


def l22_cvat_yolo(root: Path) -> Right:
    """CVAT YOLO 1.1, and Datumaro: every path begins with data/, which is not in the archive."""
    return _darknet(root, {"train": ("obj_train_data", "train.txt"), "valid": ("obj_valid_data", "valid.txt")})


def l23_cvat_yolo_one_subset(root: Path) -> Right:
    return one_split(_darknet(root, {"train": ("obj_train_data", "train.txt")}))


def l24_darknet(root: Path) -> Right:
    """As in the fork of AlexeyAB: everything below data/, images and label files in obj/."""
    right = Right("yolo", plain())
    places = {"train": "train.txt", "valid": "test.txt"}
    put(root / "data/obj.names", "cat\ndog\n")
    text = "classes = 2\ntrain  = data/train.txt\nvalid  = data/test.txt\nnames = data/obj.names\nbackup = backup/\n"
    put(root / "data/obj.data", text)
    for split, pictures in right.splits.items():
        put(root / "data" / places[split], "".join(f"data/obj/{picture.name}\n" for picture in pictures))
        for picture in pictures:
            picture.put(root / "data/obj" / picture.name)
            put(root / "data/obj" / f"{picture.stem}.txt", _rows(picture))
    return right


def l25_cvat_ultralytics(root: Path) -> Right:
    """CVAT Ultralytics YOLO: lists, whose paths begin with data/ and mean the root."""
    yaml = "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\nval: val.txt\n"
    data = Yolo(root, data_yaml=yaml)
    for split, name in (("train", "train"), ("valid", "val")):
        lines = [f"data/images/{name}/{picture.name}\n" for picture in data.right.splits[split]]
        put(root / f"{name}.txt", "".join(lines))
    _images_first(data)
    return data.right


def l26_datumaro_yolo_ultralytics(root: Path) -> Right:
    """Datumaro: images/train and names as a dict."""
    data = Yolo(root, data_yaml="train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")
    _images_first(data)
    return data.right


def l27_yolo_yaml_of_another_name(root: Path) -> Right:
    """Ultralytics calls the data file after the dataset."""
    data = Yolo(root, data_yaml=None)
    put(root / "animals.yaml", DATA_YAML)
    return data.write()


def l28_yolo_absolute_split_paths(root: Path) -> Right:
    """Written by a notebook on Kaggle."""
    yaml = DATA_YAML.replace("train/images", "/kaggle/working/set/train/images")
    data = Yolo(root, data_yaml=yaml.replace("valid/images", "/kaggle/working/set/valid/images"))
    data.right.findings = {"foreign-path": 2}
    return data.write()


def l29_export_in_a_folder_of_its_own(root: Path) -> Right:
    """What unpacking a .zip often gives."""
    return l15_roboflow_yolo(root / "animals.v1i.yolov8")


_LABELS = {"cat": 0, "dog": 1}


def _rows(picture: Picture) -> str:
    return "".join(yolo_row(box, picture.size, _LABELS[box.name]) + "\n" for box in picture.boxes)


def _images_first(data: Yolo) -> None:
    """Write images/train and labels/train instead of train/images and train/labels."""
    for split, name in (("train", "train"), ("valid", "val")):
        for picture in data.right.splits[split]:
            picture.put(data.root / "images" / name / picture.name)
            put(data.root / "labels" / name / f"{picture.stem}.txt", _rows(picture))
    put(data.root / "data.yaml", data.data_yaml or "")


def _rename_classes(data: Yolo) -> None:
    """Call classes by their ids."""
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.boxes = [box._replace(name=str(_LABELS[box.name])) for box in picture.boxes]


def _darknet(root: Path, places: dict[str, tuple[str, str]]) -> Right:
    """Write obj.data, obj.names, a list and a folder for every split."""
    right = Right("yolo", {split: pictures for split, pictures in plain().items() if split in places})
    lines = [f"{split} = data/{name}" for split, (_, name) in places.items()]
    text = "\n".join(["classes = 2", *lines, "names = data/obj.names", "backup = backup/"])
    put(root / "obj.data", text + "\n")
    put(root / "obj.names", "cat\ndog\n")
    for split, (folder, name) in places.items():
        pictures = right.splits[split]
        put(root / name, "".join(f"data/{folder}/{picture.name}\n" for picture in pictures))
        for picture in pictures:
            picture.put(root / folder / picture.name)
            put(root / folder / f"{picture.stem}.txt", _rows(picture))
    return right


def write_rows(data: Yolo, rows: list[str]) -> Yolo:
    """Give every image the same rows."""
    for pictures in data.right.splits.values():
        for picture in pictures:
            data.rows[picture.name] = list(rows)
    return data


YOLO_LAYOUTS: dict[str, Case] = functions(globals())
