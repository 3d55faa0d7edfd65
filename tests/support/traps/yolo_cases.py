"""Thirty YOLO datasets with a trap each. Every function writes one and returns what is right of it."""

from __future__ import annotations

from pathlib import Path

from traps.truth import Box, Case, Picture, Right, functions, put
from traps.writing import DATA_YAML, Yolo

_FOUR_POINTS = ["0 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7", "1 0.5 0.5 0.9 0.5 0.9 0.8 0.5 0.8"]
_AROUND_FOUR_POINTS = [Box("cat", 10, 6, 40, 36), Box("dog", 50, 30, 40, 18)]


def y01_plain(root: Path) -> Right:
    return Yolo(root).write()


def y02_missing_label(root: Path) -> Right:
    data = Yolo(root, rows={"none.jpg": None})
    data.right.splits["train"].append(Picture("none.jpg", 10))
    data.right.findings = {"missing-label": 1}
    return data.write()


def y03_empty_label(root: Path) -> Right:
    data = Yolo(root, rows={"empty.jpg": []})
    data.right.splits["train"].append(Picture("empty.jpg", 10))
    data.right.findings = {"unlabelled-images": 1}
    return data.write()


def y04_bom(root: Path) -> Right:
    data = Yolo(root, mark="\ufeff")
    data.right.findings = {"byte-order-mark": 3}
    return data.write()


def y05_crlf(root: Path) -> Right:
    return Yolo(root, data_yaml=DATA_YAML.replace("\n", "\r\n"), newline="\r\n").write()


def y06_sci_floatcls(root: Path) -> Right:
    data = Yolo(
        root, rows={"a.jpg": ["0.0 2E-1 3.3333333333333333e-01 2e-1 .3333333333333333", "1.00 .2525 5e-1 .505 1e0"]}
    )
    data.right.picture("a.jpg").boxes[1] = Box("dog", 0, 0, 50.5, 60)
    data.right.findings = {"float-class-id": 2}
    return data.write()


def y07_spaces_tabs_blank(root: Path) -> Right:
    data = Yolo(root)
    first, second = data.plain_rows("a.jpg")
    data.rows["a.jpg"] = ["", "  " + first.replace(" ", "\t") + "  ", "   ", second.replace(" ", "   ") + "\t", ""]
    return data.write()


def y08_upper_ext(root: Path) -> Right:
    data = Yolo(root)
    for number, picture in enumerate(data.right.splits["train"]):
        picture.name = f"IMG_{number}.JPG"
    return data.write()


def y09_unicode(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("[cat, dog]", "[Kätzchen, 犬]"), ids={"Kätzchen": 0, "犬": 1})
    data.right.classes = ["Kätzchen", "犬"]
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.name = f"Grüße 日本 {picture.name}"
            picture.boxes = [box._replace(name={"cat": "Kätzchen", "dog": "犬"}[box.name]) for box in picture.boxes]
    return data.write()


def y10_seg_rows(root: Path) -> Right:
    """Polygons of four points: byte for byte what oriented boxes are (y26), so that only a hint could tell."""
    return _four_points(root, DATA_YAML).write()


def y11_mixed_box_seg(root: Path) -> Right:
    """A box and a polygon in one file; neither is dropped."""
    data = Yolo(root)
    data.add_rows("a.jpg", "0 0.5 0.5 0.75 0.5 0.7 0.9", right=(Box("cat", 50, 30, 25, 24),))
    data.right.findings, data.right.task = {"mixed-rows": 1, "polygon-row": 1}, ""
    return data.write()


def y12_class_oob(root: Path) -> Right:
    data = Yolo(root)
    data.add_rows("a.jpg", "2 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1")
    data.right.refuse({"class-id-out-of-range": 2})
    return data.write()


def y13_track_id(root: Path) -> Right:
    """Ultralytics writes the id of a track after the box; six columns are no polygon."""
    data = Yolo(root)
    data.rows["a.jpg"] = [f"{row} {number}" for number, row in enumerate(data.plain_rows("a.jpg"), 7)]
    data.right.findings = {"track-id": 2}
    return data.write()


def y14_nested(root: Path) -> Right:
    """Labels lie in the same folders below labels/ as images below images/, also under the same name."""
    data = Yolo(root)
    data.right.splits["train"] += [
        Picture("cam1/0001.jpg", 10, boxes=[Box("cat", 1, 2, 30, 40)]),
        Picture("cam2/night/0001.jpg", 11, boxes=[Box("dog", 50, 20, 30, 40)]),
        Picture("cam2/night/0002.jpg", 12, boxes=[Box("cat", 5, 5, 5, 5)]),
    ]
    data.right.findings = {"duplicate-stem": 1}
    return data.write()


def y15_exif6(root: Path) -> Right:
    """YOLO is drawn in a viewer, and read by a loader, that turn the image: the boxes are of what is shown."""
    data = Yolo(root)
    boxes = [Box("cat", 5, 10, 20, 20), Box("dog", 30, 60, 20, 30)]
    data.right.splits["train"].append(Picture("turned.jpg", 10, (60, 100), boxes, orientation=6))
    data.right.findings = {"exif-orientation": 1}
    return data.write()


def y16_names_dict(root: Path) -> Right:
    return Yolo(root, data_yaml=DATA_YAML.replace("[cat, dog]", "\n  0: cat\n  1: dog")).write()


def y17_names_dict_str_gap(root: Path) -> Right:
    """Ids of text with a gap: rows say 0 and 2, training has the labels 0 and 1."""
    data = Yolo(root, data_yaml=DATA_YAML.replace("[cat, dog]", "{'0': cat, '2': dog}"), ids={"cat": 0, "dog": 2})
    data.right.findings = {"class-id-gap": 1}
    return data.write()


def y18_txt_list(root: Path) -> Right:
    """What a list does not name is not in the split, though it lies in the same folder."""
    data = Yolo(root, data_yaml=DATA_YAML.replace("train/images", "train.txt").replace("valid/images", "val.txt"))
    for name, split in (("train.txt", "train"), ("val.txt", "valid")):
        lines = [f"./{split}/images/{picture.name}" for picture in data.right.splits[split]]
        put(root / name, "\r\n".join(lines) + "\r\n")
    put(root / "train/images/unlisted.jpg", Picture("unlisted.jpg", 10).data())
    put(root / "train/labels/unlisted.txt", "0 0.5 0.5 0.1 0.1\n")
    return data.write()


def y19_roboflow_dotdot(root: Path) -> Right:
    """Roboflow writes ../train/images and means the folder beside data.yaml."""
    return Yolo(root, data_yaml=DATA_YAML.replace(": train", ": ../train").replace(": valid", ": ../valid")).write()


def y20_path_foreign_abs(root: Path) -> Right:
    data = Yolo(root, data_yaml="path: /content/datasets/animals\n" + DATA_YAML)
    data.right.findings = {"foreign-path": 1}
    return data.write()


def y21_path_ds_name(root: Path) -> Right:
    """Ultralytics takes path from its folder of datasets; here it is the name of this folder."""
    data = Yolo(root, data_yaml=f"path: {root.name}\n" + DATA_YAML)
    data.right.findings = {"foreign-path": 1}
    return data.write()


def y22_train_list_of_dirs(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("train/images", "[part1/images, part2/images]"))
    for number, picture in enumerate(data.right.splits["train"], 1):
        picture.put(root / f"part{number}/images/{picture.name}")
        put(root / f"part{number}/labels/{picture.stem}.txt", "\n".join(data.plain_rows(picture.name)))
    train = data.right.splits.pop("train")
    right = data.write()
    right.splits["train"] = train
    return right


def y23_labels_beside(root: Path) -> Right:
    yaml = DATA_YAML.replace("/images", "")
    return Yolo(root, data_yaml=yaml, images="{split}/{name}", labels="{split}/{stem}.txt").write()


def y24_out_of_range(root: Path) -> Right:
    data = Yolo(root)
    right = Box("cat", 85, 24, 15, 12), Box("dog", 95, 24, 5, 12), Box("cat", 0, 24, 8, 12)
    data.add_rows("a.jpg", "0 0.95 0.5 0.2 0.2", "1 1.05 0.5 0.2 0.2", "0 -0.02 0.5 0.2 0.2", right=right)
    data.right.findings = {"box-outside-image": 3}
    return data.write()


def y25_bad_row(root: Path) -> Right:
    """Nobody knows what was labelled there; the other rows of the file are right."""
    data = Yolo(root)
    data.add_rows("a.jpg", "0 0.5 0.5 0.1", "cat 0.5 0.5 0.1 0.1")
    data.right.refuse({"malformed-row": 2})
    return data.write()


def y26_obb_rows(root: Path) -> Right:
    """Oriented boxes without a hint are the bytes of y10: the boxes around them, and a finding that says so."""
    return y10_seg_rows(root)


def y27_pose_rows(root: Path) -> Right:
    """A box and two keypoints of three values; as points of a polygon they would make another box."""
    data = Yolo(root, data_yaml=DATA_YAML + "kpt_shape: [2, 3]\n")
    for pictures in data.right.splits.values():
        for picture in pictures:
            data.rows[picture.name] = [row + " 0.01 0.99 2 0.98 0.02 1" for row in data.plain_rows(picture.name)]
    data.right.findings, data.right.task = {"keypoint-row": 5}, "pose"
    return data.write()


def y28_png_jpeg_mix(root: Path) -> Right:
    data = Yolo(root)
    for picture, name in zip(data.right.splits["train"], ("one.png", "two.jpeg"), strict=True):
        picture.name = name
    data.right.splits["train"].append(Picture("three.bmp", 10, boxes=[Box("cat", 1, 2, 3, 4)]))
    return data.write()


def y29_dup_rows(root: Path) -> Right:
    data = Yolo(root)
    data.add_rows("b.jpg", data.plain_rows("b.jpg")[0], right=(data.right.picture("b.jpg").boxes[0],))
    data.right.findings = {"duplicate-box": 1}
    return data.write()


def y30_nan_row(root: Path) -> Right:
    """A box without numbers has no area: left out like any other such box, and reported."""
    data = Yolo(root)
    data.add_rows("a.jpg", "0 nan 0.5 0.1 0.1", "1 0.5 0.5 NaN 0.1")
    data.right.findings = {"degenerate-box": 2}
    return data.write()


def _four_points(root: Path, data_yaml: str) -> Yolo:
    """Make a dataset all of whose rows have nine columns."""
    data = Yolo(root, data_yaml=data_yaml)
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.size, picture.boxes = (100, 60), list(_AROUND_FOUR_POINTS)
            data.rows[picture.name] = _FOUR_POINTS
    data.right.findings, data.right.task = {"ambiguous-task": 6, "polygon-row": 6}, ""
    return data


YOLO_CASES: dict[str, Case] = functions(globals())
