"""No box moves by more than 1e-6 px, whichever way and back."""

import json

import pytest
from dataset_builders import REAL_DATA, write_coco, write_yolo
from hypothesis import given, settings
from hypothesis import strategies as st

from rfdetr_train.datasets import convert
from rfdetr_train.datasets.boxes import fit
from rfdetr_train.datasets.headers import ImageSize
from rfdetr_train.datasets.inspect import Findings
from rfdetr_train.datasets.source import LabelledBox
from rfdetr_train.datasets.targets import fitted_boxes, relative_box
from rfdetr_train.datasets.yolo import parse_rows

LIMIT = 1e-6
needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")


@st.composite
def boxes_in_images(draw):
    """A box of at least a hundredth of a pixel inside an image of up to 30,000 px."""
    size = ImageSize(draw(st.integers(1, 30_000)), draw(st.integers(1, 30_000)))
    sides = []
    for side in size:
        low = draw(st.floats(0, side - 0.01))
        sides.append((low, draw(st.floats(0.01, side - low)) if side - low > 0.01 else side - low))
    return size, (sides[0][0], sides[1][0], sides[0][1], sides[1][1])


@given(boxes_in_images())
@settings(max_examples=500, deadline=None)
def test_any_box_survives_the_way_through_a_yolo_row(case):
    size, box = case
    findings = Findings()
    row = "0 " + " ".join(map(repr, relative_box(box, size)))
    (parsed,) = parse_rows(row.encode(), "x", 1, findings)
    assert findings.to_list() == []
    x, y, w, h = parsed.box
    back = (x * size.width, y * size.height, w * size.width, h * size.height)
    assert max(abs(a - b) for a, b in zip(back, box, strict=True)) <= LIMIT


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 4), st.integers(1, 10_000), st.integers(1, 10_000))
@settings(max_examples=500, deadline=None)
def test_fitted_box_lies_in_the_image_and_is_never_larger(box, width, height):
    fitted = fit(box, width, height)
    if fitted is None:
        return
    x, y, w, h = fitted
    slack = 1e-6 * max(width, height) + 1e-9
    assert w > 0 and h > 0
    assert x >= -slack and y >= -slack and x + w <= width + slack and y + h <= height + slack
    assert w <= box[2] + 1e-9 and h <= box[3] + 1e-9


def coco_boxes(folder):
    """Return all boxes by split, image and class name; those without area are left out as in every conversion."""
    result = {}
    for path in folder.glob("*/_annotations.coco.json"):
        data = json.loads(path.read_text())
        names = {category["id"]: category["name"] for category in data["categories"]}
        images = {image["id"]: image for image in data["images"]}
        for annotation in data["annotations"]:
            image = images[annotation["image_id"]]
            key = (path.parent.name, image["file_name"])
            rows = [LabelledBox(names[annotation["category_id"]], tuple(annotation["bbox"]))]
            result.setdefault(key, []).extend(fitted_boxes(rows, ImageSize(image["width"], image["height"]), Count()))
    return result


class Count(dict):
    def __missing__(self, key):
        return 0


def yolo_boxes(folder):
    """Return all rows by split and image, in pixels of a 640 x 480 image."""
    result = {}
    for path in folder.glob("*/labels/*.txt"):
        rows = parse_rows(path.read_bytes(), "x", 99, Findings())
        kept = list(fitted_boxes(rows, ImageSize(1, 1), Count()))
        result[path.parts[-3], path.stem] = [
            LabelledBox(row.label, (row.box[0] * 640, row.box[1] * 480, row.box[2] * 640, row.box[3] * 480))
            for row in kept
        ]
    return result


def assert_same(first, second):
    assert first.keys() == second.keys()
    moved = 0.0
    for key, rows in first.items():
        assert [row.label for row in rows] == [row.label for row in second[key]]
        for a, b in zip(rows, second[key], strict=True):
            moved = max(moved, *(abs(p - q) for p, q in zip(a.box, b.box, strict=True)))
    assert moved <= LIMIT


def there_and_back(source, tmp_path, formats):
    previous = source
    for number, target in enumerate(formats):
        convert(str(previous), tmp_path / str(number), target=target, images="link")
        previous = tmp_path / str(number)
    return previous


def test_coco_to_yolo_and_back_moves_no_box(tmp_path):
    source = write_coco(tmp_path / "in")
    assert_same(coco_boxes(source), coco_boxes(there_and_back(source, tmp_path, ("yolo", "coco"))))


def test_yolo_to_coco_and_back_moves_no_box(tmp_path):
    source = write_yolo(tmp_path / "in")
    assert_same(yolo_boxes(source), yolo_boxes(there_and_back(source, tmp_path, ("coco", "yolo"))))


@needs_real_data
def test_real_coco_to_yolo_and_back_moves_no_box(tmp_path):
    source = REAL_DATA / "bccd-coco"
    back = coco_boxes(there_and_back(source, tmp_path, ("yolo", "coco")))
    assert_same(coco_boxes(source), back)
    assert sum(map(len, back.values())) == 2804 + 1137 + 945


@needs_real_data
def test_real_yolo_to_coco_and_back_moves_no_box(tmp_path):
    source = REAL_DATA / "bccd-yolo"
    back = yolo_boxes(there_and_back(source, tmp_path, ("coco", "yolo")))
    assert_same(yolo_boxes(source), back)
    assert sum(map(len, back.values())) == 2804 + 1137 + 945
