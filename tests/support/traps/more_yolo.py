"""More YOLO datasets with a trap each."""

from __future__ import annotations

from pathlib import Path

from traps.truth import Box, Case, Picture, Right, functions, put
from traps.writing import DATA_YAML, Yolo, yolo_row


def m30_polygons(root: Path) -> Right:
    data = Yolo(root)
    data.right.task, data.right.findings = "segment", {"polygon-row": 6}
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.size, picture.boxes = (100, 60), [Box("cat", 10, 6, 40, 36), Box("dog", 50, 30, 40, 18)]
            five = "0 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7 0.15 0.5"
            data.rows[picture.name] = [five, "1 0.5 0.5 0.9 0.5 0.9 0.8"]
    return data.write()


def m31_decimal_commas(root: Path) -> Right:
    data = Yolo(root)
    for picture in data.right.splits["train"]:
        data.rows[picture.name] = [row.replace(".", ",") for row in data.plain_rows(picture.name)]
    data.right.findings = {"decimal-comma": 3}
    return data.write()


def m32_mark_before_data_yaml(root: Path) -> Right:
    return Yolo(root, data_yaml="\ufeff" + DATA_YAML).write()


def m33_splits_of_another_machine(root: Path) -> Right:
    yaml = DATA_YAML.replace("train/images", "/home/me/set/train/images")
    data = Yolo(root, data_yaml=yaml.replace("valid/images", "D:\\\\data\\\\set\\\\valid\\\\images"))
    data.right.findings = {"foreign-path": 2}
    return data.write()


def m34_same_names_in_two_folders(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("train/images", "[part1/images, part2/images]"))
    train = [Picture("1.jpg", 1, boxes=[Box("cat", 1, 2, 3, 4)]), Picture("1.jpg", 2, boxes=[Box("dog", 5, 6, 7, 8)])]
    for number, picture in enumerate(train, 1):
        row = yolo_row(picture.boxes[0], picture.size, data.ids[picture.boxes[0].name])
        picture.put(root / f"part{number}/images/1.jpg")
        put(root / f"part{number}/labels/1.txt", row)
    del data.right.splits["train"]
    right = data.write()
    right.splits["train"] = train
    right.findings = {"duplicate-stem": 1}
    return right


def m35_two_images_one_label(root: Path) -> Right:
    """Every reader of YOLO finds the same label file for both."""
    data = Yolo(root)
    data.right.splits["train"].append(Picture("a.png", 10, boxes=list(data.right.picture("a.jpg").boxes)))
    data.right.findings = {"duplicate-stem": 1}
    return data.write()


def m36_label_without_image(root: Path) -> Right:
    data = Yolo(root)
    right = data.write()
    put(root / "train/labels/gone.txt", "0 0.5 0.5 0.1 0.1\n")
    right.refuse({"orphan-label": 1})
    return right


def m37_names_missing(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("names: [cat, dog]\n", ""))
    data.right.classes, data.right.findings = ["0", "1"], {"missing-class-names": 1}
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.boxes = [box._replace(name={"cat": "0", "dog": "1"}[box.name]) for box in picture.boxes]
    data.ids = {"0": 0, "1": 1}
    return data.write()


def m38_same_name_twice(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("nc: 2", "nc: 3").replace("[cat, dog]", "[cat, dog, cat]"))
    data.add_rows("b.jpg", "2 0.5 0.5 0.5 0.5", right=(Box("cat", 20, 30, 40, 60),))
    data.right.refuse({"duplicate-class-name": 1})
    return data.write()


def m39_class_count_differs(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("nc: 2", "nc: 3"))
    data.right.refuse({"class-count": 1}, on_error="fix")
    return data.write()


def m40_class_only_in_valid(root: Path) -> Right:
    data = Yolo(root, data_yaml=DATA_YAML.replace("nc: 2", "nc: 3").replace("[cat, dog]", "[cat, dog, bird]"))
    data.add_rows("v.jpg", "2 0.5 0.5 0.5 0.5")
    data.right.classes = ["cat", "dog", "bird"]
    data.right.refuse({"class-only-in-valid": 1})
    return data.write()


def m41_names_of_yes_and_numbers(root: Path) -> Right:
    """YAML makes a truth value of a bare ``yes``; as a name it can only be refused or be what was written."""
    data = Yolo(root, data_yaml=DATA_YAML.replace("[cat, dog]", "['yes', '7']"))
    data.right.classes = ["yes", "7"]
    for pictures in data.right.splits.values():
        for picture in pictures:
            picture.boxes = [box._replace(name={"cat": "yes", "dog": "7"}[box.name]) for box in picture.boxes]
    data.ids = {"yes": 0, "7": 1}
    return data.write()


def m42_confidence_after_the_box(root: Path) -> Right:
    """Predictions end with a confidence, which is not the id of a track: no labels to learn from."""
    data = Yolo(root)
    data.add_rows("a.jpg", "0 0.5 0.5 0.1 0.1 0.87")
    data.right.refuse({"malformed-row": 1})
    return data.write()


MORE_YOLO: dict[str, Case] = functions(globals())
