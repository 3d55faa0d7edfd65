"""Every finding: its severity, its count, the place that it names."""

import shutil

import pytest
from dataset_builders import DATA_YAML, codes, codes_of, edit, only, put, write_coco, write_yolo

from rfdetr_train.datasets import detect
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.datasets.reading import open_dataset
from rfdetr_train.errors import DatasetError

TRAIN = "train/_annotations.coco.json"


def annotation(number, **values):
    return lambda data: data["annotations"][number - 1].update(values)


COCO_CASES = {
    "degenerate-box": (annotation(2, bbox=[5, 5, 0, 3]), "warning", f"{TRAIN}: annotation 2"),
    "box-outside-image": (annotation(3, bbox=[90, 40, 20, 5]), "warning", f"{TRAIN}: annotation 3"),
    "missing-area": (lambda data: data["annotations"][1].pop("area"), "warning", f"{TRAIN}: annotation 2"),
    "missing-bbox": (annotation(1, bbox=[]), "error", f"{TRAIN}: annotation 1"),
    "unknown-category": (annotation(3, category_id=5), "error", f"{TRAIN}: annotation 3, category_id 5"),
    "unknown-image": (annotation(3, image_id=9), "error", f"{TRAIN}: annotation 3, image_id 9"),
    "duplicate-annotation-id": (annotation(2, id=1), "error", f"{TRAIN}: annotation 1"),
    "duplicate-image-id": (
        lambda data: data["images"][1].update(id=1),
        "error",
        f"{TRAIN}: image 1 'train2.png'",
    ),
    "duplicate-category-id": (
        lambda data: data["categories"].append({"id": 7, "name": "dog"}),
        "error",
        f"{TRAIN}: category 7",
    ),
    "missing-image": (lambda data: data["images"][0].update(file_name="x.png"), "error", f"{TRAIN}: image 1 'x.png'"),
    "unsafe-file-name": (
        lambda data: data["images"][0].update(file_name="../valid/valid1.png"),
        "error",
        f"{TRAIN}: image 1 '../valid/valid1.png'",
    ),
    "unlabelled-images": (lambda data: data["annotations"].pop(), "info", f"{TRAIN}: image 2 'train2.png'"),
    "unused-parent-category": (
        lambda data: data["categories"].extend(
            [{"id": 0, "name": "animal"}, {"id": 9, "name": "cow", "supercategory": "animal"}]
        ),
        "info",
        f"{TRAIN}: category 0 'animal'",
    ),
    "duplicate-class-name": (
        lambda data: data["categories"].append({"id": 9, "name": "cat"}),
        "warning",
        f"categories of {TRAIN}: 'cat'",
    ),
}


@pytest.mark.parametrize("code", COCO_CASES)
def test_coco_finding_has_its_severity_and_place(tmp_path, code):
    change, severity, place = COCO_CASES[code]
    finding = only(detect(str(edit(write_coco(tmp_path), change))), code)
    assert (finding.severity, finding.count, finding.examples) == (severity, 1, [place])


YOLO_CASES = {
    "degenerate-box": ("0 0.5 0.5 0 0.1", "warning", ":3"),
    "box-outside-image": ("0 0.95 0.5 0.2 0.1", "warning", ":3"),
    "class-id-out-of-range": ("2 0.5 0.5 0.1 0.1", "error", ":3, class 2 of 0 to 1"),
    "malformed-row": ("0 0.5 0.5 0.1", "error", ":3, 4 columns"),
    "duplicate-box": ("1 0.5 0.5 0.1 0.1", "info", ":3"),
}


@pytest.mark.parametrize("code", YOLO_CASES)
def test_yolo_finding_has_its_severity_and_line(tmp_path, code):
    row, severity, place = YOLO_CASES[code]
    # A blank line counts as a line; an editor shows the same number.
    put(write_yolo(tmp_path) / "train/labels/train2.txt", f"1 0.5 0.5 0.1 0.1\n\n{row}\n")
    report = detect(str(tmp_path))
    finding = only(report, code)
    assert codes(report) == [code]
    assert (finding.severity, finding.count) == (severity, 1)
    assert finding.examples == [f"train/labels/train2.txt{place}"]


@pytest.mark.parametrize(
    "row",
    ["0 nan 0.5 0.1 0.1", "0 0.5 0.5 inf 0.1", "0 0.5 0.5 -0.1 0.1", "0 1.5 0.5 0.1 0.1", "0 nan nan nan nan"],
)
def test_row_without_area_in_its_image_is_degenerate(tmp_path, row):
    put(write_yolo(tmp_path) / "train/labels/train2.txt", f"1 0.5 0.5 0.1 0.1\n{row}")
    assert codes(detect(str(tmp_path))) == ["degenerate-box"]


@pytest.mark.parametrize("row", ["0\t0.5  0.5 1e-1 .1\r", "0 0.0000004 0.5 1e-6 1"])
def test_harmless_variants_of_a_row_are_no_findings(tmp_path, row):
    put(write_yolo(tmp_path) / "train/labels/train2.txt", row + "\n")
    report = detect(str(tmp_path))
    assert codes(report) == []
    assert report.splits["train"].boxes_per_class == {"cat": 2, "dog": 1}


def test_label_file_that_is_not_text_is_reported(tmp_path):
    put(write_yolo(tmp_path) / "train/labels/train2.txt", b"\xff\xfe\x00")
    assert only(detect(str(tmp_path)), "malformed-row").examples == ["train/labels/train2.txt: not UTF-8"]


@pytest.mark.parametrize("content", [None, ""])
def test_yolo_image_without_rows_is_background(tmp_path, content):
    write_yolo(tmp_path)
    path = tmp_path / "train/labels/train2.txt"
    path.unlink() if content is None else path.write_text(content)
    report = detect(str(tmp_path))
    code = "missing-label" if content is None else "unlabelled-images"
    assert only(report, code).examples == ["train/images/train2.png"]
    assert codes(report) == [code]
    report.raise_for_errors()


def test_label_file_without_its_image_is_an_orphan(tmp_path):
    (write_yolo(tmp_path) / "valid/images/valid1.png").unlink()
    finding = only(detect(str(tmp_path)), "orphan-label")
    assert finding.severity == "error"
    assert finding.examples == ["valid/labels/valid1.txt"]


def test_missing_coco_image_file_is_found_at_start(tmp_path):
    (write_coco(tmp_path) / "valid/valid2.png").unlink()
    with pytest.raises(
        DatasetError, match=r"missing-image \(1\).*\n.*valid/_annotations.coco.json: image 2 'valid2.png'"
    ):
        detect(str(tmp_path)).raise_for_errors()


@pytest.mark.parametrize("write", [write_coco, write_yolo])
@pytest.mark.parametrize("split", ["train", "valid"])
def test_missing_required_split_is_an_error_that_names_the_others(tmp_path, write, split):
    shutil.rmtree(write(tmp_path) / split)
    finding = only(detect(str(tmp_path)), "missing-split")
    there = ", ".join(name for name in ("train", "valid", "test") if name != split)
    key = "val" if split == "valid" else split
    place = f" (data.yaml: {key}: ../{split}/images does not exist)" if write is write_yolo else ""
    assert (finding.severity, finding.examples) == ("error", [f"'{split}'{place}; there are: {there}"])


def test_test_split_is_optional_unless_it_is_required(tmp_path):
    write_coco(tmp_path, ("train", "valid"))
    assert codes(detect(str(tmp_path))) == []
    assert codes(detect(str(tmp_path), required_splits=("train", "val", "test"))) == ["missing-split"]


def test_test_split_that_is_declared_and_not_there_is_a_warning(tmp_path):
    shutil.rmtree(write_yolo(tmp_path) / "test")
    finding = only(detect(str(tmp_path)), "missing-split")
    assert finding.severity == "warning"
    assert finding.examples == ["'test' (data.yaml: test: ../test/images does not exist); there are: train, valid"]


def test_split_without_images_is_an_error_where_it_is_needed_and_left_out_elsewhere(tmp_path):
    write_coco(tmp_path)
    for split, severity in (("valid", "error"), ("test", "warning")):
        edit(tmp_path, lambda data: data.update(images=[], annotations=[]), split)
        report = detect(str(tmp_path))
        severities = [finding.severity for finding in report.findings if finding.code == "empty-split"]
        assert severity in severities
        assert split not in report.splits


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_train_split_without_a_box_is_an_error(tmp_path, write):
    write(tmp_path)
    if write is write_coco:
        edit(tmp_path, lambda data: data.update(annotations=[]))
    else:
        for path in (tmp_path / "train/labels").iterdir():
            path.unlink()
    finding = only(detect(str(tmp_path)), "empty-split")
    assert finding.severity == "error"
    assert finding.examples[0].endswith("'train' has no boxes")


def test_coco_class_only_in_valid_is_an_error(tmp_path):
    def add(data):
        data["categories"].append({"id": 9, "name": "fox"})
        data["annotations"][0]["category_id"] = 9

    report = detect(str(edit(write_coco(tmp_path), add, "valid")))
    finding = only(report, "class-only-in-valid")
    assert (finding.severity, finding.examples) == ("error", ["valid/_annotations.coco.json: annotation 1, 'fox'"])


def test_coco_class_that_train_declares_and_never_shows_is_an_error(tmp_path):
    edit(write_coco(tmp_path), lambda data: data["annotations"].pop(0))
    finding = only(detect(str(tmp_path)), "class-only-in-valid")
    assert finding.examples[0] == "valid/_annotations.coco.json: annotation 1, 'cat'"


def test_parent_that_only_valid_annotates_is_an_error(tmp_path):
    parents = [
        {"id": 0, "name": "animal"},
        {"id": 3, "name": "cat", "supercategory": "animal"},
        {"id": 7, "name": "dog"},
    ]
    write_coco(tmp_path)
    for split in ("train", "valid", "test"):
        edit(tmp_path, lambda data: data.update(categories=parents), split)
    assert codes(detect(str(tmp_path))) == ["unused-parent-category"]
    edit(tmp_path, annotation(1, category_id=0), "valid")
    assert only(detect(str(tmp_path)), "class-only-in-valid").examples == [
        "valid/_annotations.coco.json: annotation 1, 'animal'"
    ]


def test_yolo_class_only_in_valid_is_an_error(tmp_path):
    write_yolo(tmp_path, DATA_YAML.replace("nc: 2", "nc: 3").replace("'dog'", "'dog', 'fox'"))
    put(tmp_path / "valid/labels/valid2.txt", "2 0.5 0.5 0.1 0.1\n")
    finding = only(detect(str(tmp_path)), "class-only-in-valid")
    assert (finding.severity, finding.examples) == ("error", ["valid/labels/valid2.txt:1, 'fox'"])


def test_same_id_with_another_name_is_a_category_mismatch(tmp_path):
    names = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]
    report = detect(str(edit(write_coco(tmp_path), lambda data: data.update(categories=names), "valid")))
    finding = only(report, "category-mismatch")
    assert (finding.severity, finding.count) == ("error", 2)
    assert finding.examples[0] == "valid/_annotations.coco.json: category 3 'dog', 'cat' in train"


def test_many_findings_are_all_counted_and_five_are_named(tmp_path):
    put(write_yolo(tmp_path) / "train/labels/train2.txt", "0 1\n" * 1234)
    finding = only(detect(str(tmp_path)), "malformed-row")
    assert finding.count == 1234
    assert finding.examples == [f"train/labels/train2.txt:{line}, 2 columns" for line in range(1, 6)]


def test_class_that_train_shows_only_in_what_is_left_out_is_only_in_valid(tmp_path):
    put(write_yolo(tmp_path) / "train/labels/train1.txt", "0 0.5 0.5 0 0.1\n")
    report = detect(str(tmp_path))
    assert only(report, "class-only-in-valid").examples[0].endswith(", 'cat'")


def test_policy_that_drops_an_image_drops_it_as_an_example_of_a_class(tmp_path):
    (write_coco(tmp_path) / "train/train1.png").unlink()
    assert codes_of(open_dataset(str(tmp_path))) == ["missing-image"]
    dropping = open_dataset(str(tmp_path), policy=Policy("drop"))
    assert codes_of(dropping) == ["missing-image", "class-only-in-valid"]


def test_stem_in_two_places_is_a_duplicate_stem(tmp_path):
    root = write_yolo(tmp_path)
    for name in ("TRAIN1.jpg", "deep/train2.png", "bare1", "bare2"):
        put(root / "train/images" / name, b"")
    finding = only(detect(str(tmp_path)), "duplicate-stem")
    assert (finding.severity, finding.count) == ("warning", 2)


def test_same_box_with_another_class_or_on_another_image_is_no_duplicate(tmp_path):
    def change(data):
        bbox = data["annotations"][0]["bbox"]
        data["annotations"] += [
            {"id": 4, "image_id": 1, "category_id": 7, "bbox": bbox, "area": 1},
            {"id": 5, "image_id": 2, "category_id": 3, "bbox": bbox, "area": 1},
            {"id": 6, "image_id": 1, "category_id": 3, "bbox": [*bbox[:3], bbox[3] + 1e-9], "area": 1},
            {"id": 7, "image_id": 1, "category_id": 3, "bbox": bbox, "area": 1},
            {"id": 8, "image_id": 1, "category_id": 3, "bbox": bbox, "area": 1},
        ]

    finding = only(detect(str(edit(write_coco(tmp_path), change))), "duplicate-box")
    assert finding.examples == [f"{TRAIN}: annotation 7", f"{TRAIN}: annotation 8"]


def test_all_errors_come_in_one_message_with_fixes_and_without_warnings(tmp_path):
    def spoil(data):
        data["annotations"].append({**data["annotations"][0], "id": 4, "image_id": 99})
        data["annotations"][1].pop("bbox")
        data["annotations"].append({**data["annotations"][0], "id": 5, "bbox": [0, 0, 0, 0]})

    with pytest.raises(DatasetError) as caught:
        detect(str(edit(write_coco(tmp_path), spoil))).raise_for_errors()
    message = str(caught.value)
    assert "has 2 kinds of errors; nothing was started" in message
    assert message.index("missing-bbox (1)") < message.index("unknown-image (1)")
    assert message.count("Fix: ") == 2
    assert "degenerate-box" not in message


def test_errors_refuse_by_default_and_a_policy_decides_otherwise(tmp_path):
    write_yolo(tmp_path)
    put(tmp_path / "train/labels/train2.txt", "1 0.5 0.5 0.1 0.1\n0 1\n0 0.5 0.5 0 0\n")
    report = detect(str(tmp_path))
    with pytest.raises(DatasetError, match=r"has 1 kind of error; nothing was started.\n  malformed-row \(1\)"):
        report.raise_for_errors()
    report.raise_for_errors(Policy("warn"))
    report.raise_for_errors(Policy("drop", "drop"))
    with pytest.raises(DatasetError, match=r"has 1 kind of warning; nothing was started.\n  degenerate-box \(1\)"):
        report.raise_for_errors(Policy("warn", "fail"))
