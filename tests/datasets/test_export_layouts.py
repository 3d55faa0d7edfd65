"""Datasets as programs export them are named: format, task, splits, counts, classes; or refused with the reason."""

import re

import pytest
from traps.check import check
from traps.layouts_coco import COCO_LAYOUTS
from traps.layouts_refused import REFUSED_LAYOUTS
from traps.layouts_yolo import YOLO_LAYOUTS

from rfdetr_train.datasets import convert, detect, inspect
from rfdetr_train.errors import DatasetError

LAYOUTS = {**COCO_LAYOUTS, **YOLO_LAYOUTS}
OTHER = {"coco": "yolo", "yolo": "coco"}


def boxes_per_class(pictures, classes):
    names = [box.name for picture in pictures for box in picture.boxes]
    return {name: names.count(name) for name in classes}


def test_there_are_thirty_layouts():
    assert len(LAYOUTS) + len(REFUSED_LAYOUTS) >= 30


@pytest.mark.parametrize("look", [detect, inspect])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_named_with_task_splits_counts_and_classes(tmp_path, name, look):
    root = tmp_path / "animals"
    right = LAYOUTS[name](root)
    report = look(str(root))
    assert (report.format, report.task, report.classes) == (right.format, right.task, right.classes)
    assert list(report.splits) == list(right.splits)
    for split, pictures in right.splits.items():
        found = report.splits[split]
        assert found.image_count == len(pictures)
        assert found.boxes_per_class == boxes_per_class(pictures, right.classes)
    assert {finding.code: finding.count for finding in report.findings} == right.findings
    assert report.evidence
    assert (report.confidence < 0.5) == ("missing-class-names" in right.findings)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_converted_with_the_right_boxes_on_the_right_images(tmp_path, name):
    root = tmp_path / "animals"
    right = LAYOUTS[name](root)
    output = tmp_path / "output"
    if right.refused:
        with pytest.raises(DatasetError, match="missing-split"):
            convert(str(root), output, target=OTHER[right.format], images="link")
    else:
        convert(str(root), output, target=OTHER[right.format], images="link")
        check(output, OTHER[right.format], right)


@pytest.mark.parametrize("name", REFUSED_LAYOUTS)
def test_what_cannot_train_a_detector_is_refused_by_name(tmp_path, name):
    words = REFUSED_LAYOUTS[name](tmp_path / "animals")
    with pytest.raises(DatasetError) as caught:
        detect(str(tmp_path / "animals"))
    for word in words:
        assert re.search(re.escape(word), str(caught.value), re.IGNORECASE), f"no '{word}' in: {caught.value}"


@pytest.mark.parametrize("format_", ["coco", "yolo"])
def test_of_two_formats_the_named_one_is_taken(tmp_path, format_):
    root = tmp_path / "animals"
    REFUSED_LAYOUTS["r08_both_formats"](root)
    assert detect(str(root), format=format_).format == format_
