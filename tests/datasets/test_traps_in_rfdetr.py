"""What RF-DETR itself trains on after each of the fifty cases: its own readers of both formats give what is right."""

import numpy as np
import pytest
from traps.coco_cases import COCO_CASES
from traps.truth import Box, colour_of
from traps.yolo_cases import YOLO_CASES

from rfdetr_train.datasets import convert, stage
from rfdetr_train.datasets.findings import Policy

FIFTY = {**COCO_CASES, **YOLO_CASES}
# Pixels; RF-DETR keeps boxes as float32, of which two neighbours at 8,000 are 0.0005 apart.
TOLERANCE = 0.002


@pytest.fixture(scope="module")
def coco_split():
    coco = pytest.importorskip("rfdetr.datasets.coco")

    def read(folder, split):
        mapping = coco._train_split_cat2label(folder)
        file = folder / split / "_annotations.coco.json"
        dataset = coco.CocoDetection(folder / split, file, None, remap_category_ids=True, cat2label=mapping)
        names = {mapping[id_]: category["name"] for id_, category in dataset.coco.cats.items() if id_ in mapping}
        return dataset, [names[label] for label in range(len(names))]

    return read


@pytest.fixture(scope="module")
def yolo_split():
    yolo = pytest.importorskip("rfdetr.datasets.yolo")

    def read(folder, split):
        places = (folder / split / "images", folder / split / "labels", folder / "data.yaml")
        dataset = yolo.YoloDetection(*map(str, places))
        return dataset, dataset.classes

    return read


def assert_right(dataset, classes, right, pictures):
    assert classes == right.classes
    expected = {picture.colour: picture for picture in pictures}
    assert len(dataset) == len(expected)
    for image, target in (dataset[row] for row in range(len(dataset))):
        picture = expected.pop(colour_of(image))
        assert image.size == picture.size
        names = [classes[label] for label in target["labels"].tolist()]
        seen = sorted(Box(name, *box) for name, box in zip(names, target["boxes"].tolist(), strict=True))
        wanted = sorted(Box(name, x, y, x + w, y + h) for name, x, y, w, h in picture.boxes)
        assert [box.name for box in seen] == [box.name for box in wanted], picture.name
        moved = np.subtract([box[1:] for box in seen], [box[1:] for box in wanted])
        assert np.abs(moved).max(initial=0) <= TOLERANCE, picture.name


def policy_of(right):
    return Policy(on_error="drop" if right.refused else "fail")


@pytest.mark.parametrize("name", FIFTY)
def test_rfdetr_reads_what_was_staged(tmp_path, coco_split, name):
    right = FIFTY[name](tmp_path / "animals")
    convert(str(tmp_path / "animals"), tmp_path / "prepared", target="coco", policy=policy_of(right))
    folder = stage(tmp_path / "prepared", tmp_path / "staged")
    for split, pictures in right.splits.items():
        assert_right(*coco_split(folder, split), right, pictures)


@pytest.mark.parametrize("name", FIFTY)
def test_rfdetr_reads_what_was_converted_to_yolo(tmp_path, yolo_split, name):
    right = FIFTY[name](tmp_path / "animals")
    folder = tmp_path / "yolo"
    convert(str(tmp_path / "animals"), folder, target="yolo", images="link", policy=policy_of(right))
    for split, pictures in right.splits.items():
        assert_right(*yolo_split(folder, split), right, pictures)
