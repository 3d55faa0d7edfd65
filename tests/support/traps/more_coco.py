"""More COCO datasets with a trap each: what RF-DETR stops at or gets wrong in silence, and odd files."""

from __future__ import annotations

from pathlib import Path

from traps.truth import Box, Case, Picture, Right, functions
from traps.writing import Coco


def m01_valid_has_swapped_names(root: Path) -> Right:
    """The ids are the same and the names change places: refused, and matched by name only where a copy is asked for."""
    data = Coco(root)
    for category, name in zip(data.files["valid"]["categories"], ("dog", "cat"), strict=True):
        category["name"] = name
    right = data.write()
    right.refuse({"category-mismatch": 2}, on_error="fix")
    for picture in right.splits["valid"]:
        picture.boxes = [box._replace(name={"cat": "dog", "dog": "cat"}[box.name]) for box in picture.boxes]
    return right


def m02_valid_has_other_ids(root: Path) -> Right:
    """The names are the same and the ids are not: matched by name."""
    data = Coco(root)
    for category in data.files["valid"]["categories"]:
        category["id"] += 10
    for annotation in data.files["valid"]["annotations"]:
        annotation["category_id"] += 10
    data.right.findings = {"category-renumbered": 2}
    return data.write()


def m03_class_only_in_valid(root: Path) -> Right:
    """RF-DETR stops at it after a whole epoch."""
    data = Coco(root, {"cat": 1, "dog": 2, "bird": 3})
    data.add("v.jpg", "bird", [1, 1, 5, 5], split="valid")
    data.right.refuse({"class-only-in-valid": 1})
    return data.write()


def m04_val_for_valid(root: Path) -> Right:
    right = Coco(root).write()
    (root / "valid").rename(root / "val")
    return right


def m05_train_without_boxes(root: Path) -> Right:
    data = Coco(root)
    data.train["annotations"].clear()
    data.right.refuse({"empty-split": 1, "unlabelled-images": 2}, on_error="")
    return data.write()


def m06_missing_bbox(root: Path) -> Right:
    data = Coco(root)
    for bbox in ([], None, [1, 2, 3], [1, 2, 3, 4, 5]):
        data.add("a.jpg", "cat", bbox)
    data.add("a.jpg", "cat", [1, 1, 5, 5])
    del data.train["annotations"][-1]["bbox"]
    data.right.refuse({"missing-bbox": 5})
    return data.write()


def m07_duplicate_image_id(root: Path) -> Right:
    data = Coco(root)
    data.image("b.jpg")["id"] = data.image("a.jpg")["id"]
    data.right.refuse({"duplicate-image-id": 1, "unknown-image": 1, "unlabelled-images": 1}, on_error="")
    return data.write()


def m08_duplicate_annotation_id(root: Path) -> Right:
    """COCO tools keep one of two; a conversion numbers them anew and keeps both."""
    data = Coco(root)
    data.train["annotations"][1]["id"] = 1
    data.right.refuse({"duplicate-annotation-id": 1}, on_error="fix")
    return data.write()


def m09_duplicate_category_id(root: Path) -> Right:
    data = Coco(root)
    for file in data.files.values():
        file["categories"].append({"id": 2, "name": "bird", "supercategory": "none"})
    data.right.classes = ["cat", "dog", "bird"]
    data.right.refuse({"duplicate-category-id": 2, "category-mismatch": 1}, on_error="")
    return data.write()


def m10_nan_in_json(root: Path) -> Right:
    """Python writes NaN, which is no JSON; the other annotations can be read."""
    data = Coco(root)
    data.add("a.jpg", "cat", [float("nan"), 1, 5, 5])
    data.right.findings = {"nan-in-json": 1, "degenerate-box": 1}
    return data.write()


def m11_dot_slash_and_unsafe_names(root: Path) -> Right:
    data = Coco(root)
    data.image("b.jpg")["file_name"] = "./b.jpg"
    for number, name in enumerate(("../valid/v.jpg", "/etc/passwd", "a/../../../x.jpg"), 70):
        data.train["images"].append({"id": number, "file_name": name, "width": 64, "height": 48})
    data.right.refuse({"unsafe-file-name": 3, "unlabelled-images": 3})
    return data.write()


def m12_json_with_mark(root: Path) -> Right:
    right = Coco(root).write()
    path = root / "train/_annotations.coco.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    right.findings = {"byte-order-mark": 1}
    return right


def m13_crowd_as_boolean_and_ids_as_decimals(root: Path) -> Right:
    """Writers that go through tables of numbers write 1.0 for 1 and false for 0."""
    data = Coco(root)
    for file in data.files.values():
        for annotation in file["annotations"]:
            annotation.update(iscrowd=False, image_id=float(annotation["image_id"]), id=float(annotation["id"]))
    data.right.findings = {"string-id": 5}
    return data.write()


def m14_displayed_size_of_a_turned_image(root: Path) -> Right:
    data = Coco(root)
    data.add_image(Picture("turned.jpg", 10, (60, 100), [Box("cat", 5, 10, 20, 20)], orientation=8))
    data.right.findings = {"exif-orientation": 1}
    return data.write()


def m15_mirrored_image(root: Path) -> Right:
    """The sizes cannot tell which frame the boxes are in: that of a viewer."""
    data = Coco(root)
    data.add_image(Picture("mirrored.jpg", 10, (60, 100), [Box("cat", 5, 10, 20, 20)], orientation=4))
    data.right.findings = {"exif-orientation": 1}
    return data.write()


MORE_COCO: dict[str, Case] = functions(globals())
