"""The way from COCO to YOLO and back: everything comes back; and label rows move no box."""

import json
from collections import Counter

import numpy as np
import pytest
from dataset_builders import REAL_DATA, everything, image_bytes, put, write_coco, write_yolo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfdetr_train.datasets import convert
from rfdetr_train.datasets.boxes import fit_boxes
from rfdetr_train.datasets.table import Boxes, Images, Table
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.rows import label_rows

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")


@st.composite
def boxes_in_images(draw):
    """A box of at least a hundredth of a pixel inside an image of up to 30,000 px."""
    size = (draw(st.integers(1, 30_000)), draw(st.integers(1, 30_000)))
    sides = []
    for side in size:
        low = draw(st.floats(0, side - 0.01))
        sides.append((low, draw(st.floats(0.01, side - low)) if side - low > 0.01 else side - low))
    return size, (sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def content_of(size, box):
    """A split of one image with one box."""
    one = np.zeros(1, np.int64)
    images = Images(["a.png"], ["a.png"], [1], np.array([size]))
    boxes = Boxes(one, one, np.array([box]), np.zeros(1, bool), one + 1)
    table = Table("train", "train", "x.json", "", False, images, boxes, str)
    return Content(table, one, ["a.png"], images.sizes, [""], one, np.ones(1, bool))


@given(boxes_in_images())
@settings(max_examples=500, deadline=None)
def test_any_box_survives_the_way_through_a_label_row(case):
    size, box = case
    changes = Counter()
    rows = label_rows(content_of(size, box), outlines=False, changes=changes)
    assert not +changes
    label, *values = rows.text(0, 1).decode().split()
    x, y, w, h = map(float, values)
    back = ((x - w / 2) * size[0], (y - h / 2) * size[1], w * size[0], h * size[1])
    assert label == "0"
    # As many digits as it takes, so that what is lost is lost in the arithmetic alone.
    assert max(abs(a - b) for a, b in zip(back, box, strict=True)) <= 1e-10


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 4), st.integers(1, 10_000), st.integers(1, 10_000))
@settings(max_examples=500, deadline=None)
def test_fitted_box_lies_in_the_image_and_is_never_larger(box, width, height):
    fitted = fit_boxes(np.array([box]), np.array([[width, height]]))
    if fitted.degenerate[0]:
        return
    x, y, w, h = fitted.xywh[0].tolist()
    slack = 1e-6 * max(width, height) + 1e-9
    assert w > 0 and h > 0
    assert x >= -slack and y >= -slack and x + w <= width + slack and y + h <= height + slack
    assert w <= box[2] + 1e-9 and h <= box[3] + 1e-9


# Odd, and allowed: folders, spaces, letters that others fold, names that differ in extension or case alone.
NAMES = st.lists(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "a/", "a/b/", "a__", "ä ö/", ".hidden/"]),
            st.sampled_from(["x", "X", "x_1", "1", "straße", "日本", "x.y", "-", "p 1", ".x", "classes"]),
            st.sampled_from([".png", ".PNG", ".jpg", ".jpeg"]),
        ),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
NUMBERS = st.one_of(st.integers(-20, 120), st.floats(-20, 120, allow_subnormal=False))
POLYGONS = st.lists(st.lists(NUMBERS, min_size=6, max_size=12).map(lambda p: p[: len(p) // 2 * 2]), max_size=3)
RLES = st.builds(lambda n: {"size": [64, 64], "counts": [n, 64 * 64 - n]}, st.integers(0, 4096))
EXTRA = st.dictionaries(st.sampled_from(["note", "attributes", "score"]), st.sampled_from([1, 0.5, "é", None, [1]]))


@st.composite
def annotations(draw, image_ids, category_ids, strings):
    """An annotation: any box, also beyond its image or without area; polygons, a mask, or nothing."""
    crowd = draw(st.booleans())
    return {
        "image_id": draw(st.sampled_from(image_ids)),
        "category_id": draw(st.sampled_from(category_ids)),
        "bbox": [draw(NUMBERS) for _ in range(4)],
        "area": draw(NUMBERS),
        **draw(st.sampled_from([{}, {"iscrowd": int(crowd)}])),
        **({"segmentation": draw(RLES if crowd else POLYGONS)} if draw(st.booleans()) else {}),
        **draw(EXTRA),
    }


@st.composite
def coco_files(draw):
    """Files of two splits with the same categories."""
    strings = draw(st.booleans())
    as_id = str if strings else int
    ids = draw(st.lists(st.integers(0, 90), min_size=2, max_size=4, unique=True))
    categories = [
        {"id": as_id(id_), "name": f"class {n}", **draw(st.sampled_from([{}, {"supercategory": "thing"}]))}
        for n, id_ in enumerate(ids)
    ]
    parent = [{"id": as_id(99), "name": "thing", "supercategory": "none"}] if draw(st.booleans()) else []
    files = {}
    for split in ("train", "valid"):
        names = draw(NAMES)
        image_ids = [as_id(id_) for id_ in draw(st.permutations(range(10)))[: len(names)]]
        # One good box of every class in train: without it, the class would be an error in valid.
        good = [
            {"image_id": image_ids[0], "category_id": c["id"], "bbox": [1, 2, 3.5, 4], "area": 14.0}
            for c in (categories if split == "train" else [])
        ]
        others = draw(st.lists(annotations(image_ids, [c["id"] for c in categories], strings), max_size=8))
        numbers = draw(st.permutations(range(1, len(good) + len(others) + 1)))
        files[split] = {
            **draw(st.sampled_from([{}, {"info": {"year": 2026}, "licenses": [{"id": 1, "name": "CC"}]}])),
            "images": [
                {"id": id_, "file_name": name, "width": 100, "height": 64, **draw(EXTRA)}
                for id_, name in zip(image_ids, names, strict=True)
            ],
            "annotations": [{"id": as_id(n), **a} for n, a in zip(numbers, [*good, *others], strict=True)],
            "categories": [*parent, *categories],
        }
    return files


def write(root, files):
    for shade, (split, data) in enumerate(files.items()):
        put(root / split / "_annotations.coco.json", json.dumps(data))
        for image in data["images"]:
            kind = "PNG" if image["file_name"].lower().endswith("png") else "JPEG"
            put(root / split / image["file_name"], image_bytes(100, 64, kind, 99 * shade))
    return root


def coco_of(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/_annotations.coco.json")}


def with_their_own_ids(files):
    """Undo the numbering of string ids by what is kept beside them."""
    for data in files.values():
        categories = {c["id"]: c.pop("source_id", c["id"]) for c in data["categories"]}
        images = {i["id"]: i.pop("source_id", i["id"]) for i in data["images"]}
        for annotation in data["annotations"]:
            annotation["image_id"] = images[annotation["image_id"]]
            annotation["category_id"] = categories[annotation["category_id"]]
            annotation["id"] = annotation.pop("source_id", annotation["id"])
        for image in data["images"]:
            image["id"] = images[image["id"]]
        for category in data["categories"]:
            category["id"] = categories[category["id"]]
    return files


@given(coco_files(), st.sampled_from(["", "segment"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_coco_dataset_comes_back_from_yolo_as_it_was(tmp_path_factory, files, task):
    folder = tmp_path_factory.mktemp("trip")
    source = write(folder / "in", files)
    convert(str(source), folder / "yolo", target="yolo", images="link", task=task)
    convert(str(folder / "yolo"), folder / "back", images="link")
    back = with_their_own_ids(coco_of(folder / "back"))
    for split, data in files.items():
        assert back[split] == data
        for image in data["images"]:
            assert (folder / "back" / split / image["file_name"]).is_file()


@needs_real_data
def test_real_coco_dataset_comes_back_from_yolo_byte_for_byte(tmp_path):
    source = REAL_DATA / "bccd-coco"
    there = convert(str(source), tmp_path / "yolo", target="yolo", images="link")
    back = convert(str(tmp_path / "yolo"), tmp_path / "back", images="link")
    assert everything(tmp_path / "back").keys() - {"dataset.json"} == everything(source).keys()
    assert all(data == (source / name).read_bytes() for name, data in everything(tmp_path / "back").items()
               if name != "dataset.json")  # fmt: skip
    # The parent category and the boxes without area come back too, though label files have neither.
    assert there.changes == {"degenerate-box": 2}
    assert [(c.id, c.name) for c in back.categories] == [(1, "Platelets"), (2, "RBC"), (3, "WBC")]


def yolo_rows(folder):
    """Return all rows by split and image."""
    return {
        (path.parts[-3], path.stem): [[float(value) for value in row.split()] for row in path.read_text().splitlines()]
        for path in folder.glob("*/labels/*.txt")
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key, rows in first.items():
        assert [row[0] for row in rows] == [row[0] for row in second[key]]
        for row, other in zip(rows, second[key], strict=True):
            assert row == pytest.approx(other, abs=1e-9)


def test_yolo_to_coco_and_back_moves_no_box(tmp_path):
    source = write_yolo(tmp_path / "in")
    convert(str(source), tmp_path / "coco", images="link")
    convert(str(tmp_path / "coco"), tmp_path / "back", target="yolo", images="link")
    assert_same(yolo_rows(source), yolo_rows(tmp_path / "back"))


@needs_real_data
def test_real_yolo_to_coco_and_back_moves_no_box(tmp_path):
    source = REAL_DATA / "bccd-yolo"
    convert(str(source), tmp_path / "coco", images="link")
    convert(str(tmp_path / "coco"), tmp_path / "back", target="yolo", images="link")
    back = yolo_rows(tmp_path / "back")
    # Two rows have no area; nobody can train on them.
    there = {key: [row for row in rows if row[3] > 0 < row[4]] for key, rows in yolo_rows(source).items()}
    assert_same(there, back)
    assert sum(map(len, back.values())) == 2804 + 1137 + 945


def test_polygons_of_yolo_come_back_from_coco(tmp_path):
    rows = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5 0.05 0.3\n1 0.25 0.5 0.75 0.5 0.5 0.875\n"
    source = write_yolo(tmp_path / "in")
    for path in source.rglob("*.txt"):
        path.write_text(rows)
    convert(str(source), tmp_path / "coco", images="link")
    data = coco_of(tmp_path / "coco")["train"]
    assert data["annotations"][1]["segmentation"] == [[25, 25, 75, 25, 50, 43.75]]
    assert data["annotations"][1]["bbox"] == [25, 25, 50, 18.75]
    convert(str(tmp_path / "coco"), tmp_path / "back", target="yolo", images="link", task="segment")
    assert_same(yolo_rows(source), yolo_rows(tmp_path / "back"))


def test_coco_to_yolo_twice_is_the_same_as_once(tmp_path):
    source = write_coco(tmp_path / "in")
    convert(str(source), tmp_path / "yolo", target="yolo", images="link")
    convert(str(tmp_path / "yolo"), tmp_path / "again", target="yolo", images="link")
    first, second = everything(tmp_path / "yolo"), everything(tmp_path / "again")
    first.pop("dataset.json"), second.pop("dataset.json")
    assert first == second
