"""Twenty COCO datasets with a trap each. Every function writes one and returns what is right of it."""

from __future__ import annotations

import copy
from pathlib import Path

from traps.truth import Box, Case, Picture, Right, functions, put
from traps.writing import Coco


def c01_plain_1based(root: Path) -> Right:
    return Coco(root).write()


def c02_zero_based(root: Path) -> Right:
    """Ids of categories, images and annotations begin with 0, which some readers take for none."""
    return Coco(root, {"cat": 0, "dog": 1}, first=0).write()


def c03_roboflow_dummy0(root: Path) -> Right:
    """Roboflow writes the name of the project as category 0, the parent of the others, and never uses it."""
    data = Coco(root)
    for file in data.files.values():
        for category in file["categories"]:
            category["supercategory"] = "animals"
        file["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})
    data.right.findings = {"unused-parent-category": 1}
    return data.write()


def c04_noncontiguous_unsorted(root: Path) -> Right:
    """Labels follow the ids and not the order of the list, as in RF-DETR."""
    data = Coco(root, {"dog": 90, "cat": 7, "bird": 17})
    data.add("b.jpg", "bird", [1, 2, 30, 40], right=Box("bird", 1, 2, 30, 40))
    return data.write()


def c05_iscrowd_rle(root: Path) -> Right:
    """A crowd region is no object to learn: YOLO cannot hold it, COCO keeps it."""
    data = Coco(root)
    mask = {"counts": [600, 1200, 4200], "size": [60, 100]}
    data.add("a.jpg", "cat", [10, 0, 20, 60], iscrowd=1, segmentation=mask)
    data.right.picture("a.jpg").crowds = [Box("cat", 10, 0, 20, 60)]
    data.right.findings = {"crowd-region": 1}
    return data.write()


def c06_bbox_out_of_image(root: Path) -> Right:
    data = Coco(root)
    data.add("a.jpg", "cat", [90, 50, 30, 30], right=Box("cat", 90, 50, 10, 10))
    data.add("a.jpg", "dog", [-5, -7, 20, 20], right=Box("dog", 0, 0, 15, 13))
    data.add("b.jpg", "dog", [-10, -10, 500, 500], right=Box("dog", 0, 0, 80, 120))
    data.right.findings = {"box-outside-image": 3}
    return data.write()


def c07_zero_negative_boxes(root: Path) -> Right:
    data = Coco(root)
    for bbox in ([10, 10, 0, 5], [10, 10, 5, 0], [30, 30, -10, 5], [200, 10, 20, 20]):
        data.add("a.jpg", "cat", bbox)
    data.right.findings = {"degenerate-box": 4}
    return data.write()


def c08_string_image_ids(root: Path) -> Right:
    data = Coco(root)
    for split, file in data.files.items():
        for image in file["images"]:
            image["id"] = f"{split}-{image['id']:04}"
        for annotation in file["annotations"]:
            annotation["image_id"] = f"{split}-{annotation['image_id']:04}"
    data.right.findings = {"string-id": 8}
    return data.write()


def c09_same_name_in_subdirs(root: Path) -> Right:
    data = Coco(root)
    data.add_image(Picture("cam1/0001.jpg", 10, boxes=[Box("cat", 1, 2, 30, 40)]))
    data.add_image(Picture("cam2/0001.jpg", 11, boxes=[Box("dog", 50, 20, 30, 40)]))
    data.right.findings = {"duplicate-stem": 1}
    return data.write()


def c10_same_stem_diff_ext(root: Path) -> Right:
    """In YOLO both would have one label file; they are kept apart."""
    data = Coco(root)
    data.add_image(Picture("a.png", 10, boxes=[Box("cat", 1, 2, 30, 40)]))
    data.right.findings = {"duplicate-stem": 1}
    return data.write()


def c11_orphans(root: Path) -> Right:
    """An annotation of no image, one of no class, and an image that the annotations do not name."""
    data = Coco(root)
    data.add("a.jpg", "cat", [1, 1, 5, 5], image_id=999)
    data.add("a.jpg", "cat", [1, 1, 5, 5], category_id=77)
    put(root / "train/stray.jpg", Picture("stray.jpg", 10).data())
    data.right.refuse({"unknown-image": 1, "unknown-category": 1})
    return data.write()


def c12_missing_image_file(root: Path) -> Right:
    """No policy can keep an image that is not there; the others are right without it."""
    data = Coco(root)
    data.add_image(Picture("gone.jpg", 10, boxes=[Box("cat", 1, 2, 30, 40)]))
    data.right.splits["train"].pop()
    data.right.refuse({"missing-image": 1})
    return data.write()


def c13_background(root: Path) -> Right:
    data = Coco(root)
    data.add_image(Picture("empty.jpg", 10))
    data.right.findings = {"unlabelled-images": 1}
    return data.write()


def c14_json_size_wrong(root: Path) -> Right:
    """The pixels count: a size that is too small must not clip, and one that is too large must not scale."""
    data = Coco(root)
    data.image("a.jpg").update(width=200, height=120)
    data.image("b.jpg").update(width=40, height=60)
    data.right.findings = {"size-mismatch": 2}
    return data.write()


def c15_exif6_raw_coords(root: Path) -> Right:
    """Size and boxes are of the pixels as stored; a viewer shows the image turned. The pixels stay, the tag goes."""
    data = Coco(root)
    boxes = [Box("cat", 10, 10, 20, 20), Box("dog", 60, 40, 30, 10)]
    data.add_image(Picture("turned.jpg", 10, (100, 60), boxes, orientation=6, frame="stored"))
    data.right.findings = {"exif-orientation": 1}
    return data.write()


def c16_min_fields(root: Path) -> Right:
    """Ids, file_name, name and bbox are all that COCO cannot do without."""
    data = Coco(root)
    for split, file in data.files.items():
        data.files[split] = {
            "categories": [{"id": c["id"], "name": c["name"]} for c in file["categories"]],
            "images": [{"id": i["id"], "file_name": i["file_name"]} for i in file["images"]],
            "annotations": [{k: a[k] for k in ("id", "image_id", "category_id", "bbox")} for a in file["annotations"]],
        }
    data.right.findings = {"missing-area": 5, "missing-size": 3}
    return data.write()


def c17_dup_file_name(root: Path) -> Right:
    """Two people labelled one image; it has the boxes of both."""
    data = Coco(root)
    data.train["images"].append({**data.image("a.jpg"), "id": 50})
    data.add("a.jpg", "cat", [60, 30, 10, 20], image_id=50, right=Box("cat", 60, 30, 10, 20))
    data.right.findings = {"duplicate-file-name": 1}
    return data.write()


def c18_dup_cat_name(root: Path) -> Right:
    """Refused, since only their owner knows whether they are one class; merged where that is asked for."""
    data = Coco(root)
    data.ids["cat again"] = 3
    for file in data.files.values():
        file["categories"].append({"id": 3, "name": "cat", "supercategory": "none"})
    data.add("b.jpg", "cat again", [1, 2, 30, 40], right=Box("cat", 1, 2, 30, 40))
    data.right.refuse({"duplicate-class-name": 1})
    return data.write()


def c19_dup_boxes(root: Path) -> Right:
    data = Coco(root)
    first = copy.deepcopy(data.right.picture("a.jpg").boxes[0])
    data.add("a.jpg", "cat", list(first[1:]), right=first)
    data.right.findings = {"duplicate-box": 1}
    return data.write()


def c20_big_image_precision(root: Path) -> Right:
    """Six digits of a part of 8,000 pixels are not enough."""
    data = Coco(root)
    boxes = [Box("cat", 1234.5678, 3.25, 0.37, 11.11), Box("dog", 7999.123456789, 39.000001, 0.5, 0.999)]
    data.add_image(Picture("wide.png", 10, (8000, 40), boxes))
    return data.write()


COCO_CASES: dict[str, Case] = functions(globals())
