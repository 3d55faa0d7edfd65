"""Which format and layout is named, and what is refused."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from dataset_builders import DATA_YAML, REAL_DATA, coco_split, codes, edit, put, write_coco, write_yolo

from rfdetr_train.datasets import detect
from rfdetr_train.errors import DatasetError, ExitCode, ParameterError

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")
COUNTS = {"train": (2, 3), "valid": (2, 3), "test": (2, 3)}


def counts(report):
    return {name: (split.image_count, split.box_count) for name, split in report.splits.items()}


@pytest.mark.parametrize("valid", ["valid", "val"])
def test_coco_in_roboflow_layout_is_named(tmp_path, valid):
    report = detect(str(write_coco(tmp_path, ("train", valid, "test"))))
    assert (report.format, report.layout, report.classes) == ("coco", "roboflow", ["cat", "dog"])
    assert counts(report) == COUNTS
    assert report.splits["valid"].source_name == valid
    assert report.splits["train"].boxes_per_class == {"cat": 1, "dog": 2}
    assert report.findings == []


@pytest.mark.parametrize("images", ["{}", "images/{}", "images", "."])
@pytest.mark.parametrize("splits", [("train", "val", "test"), ("train2017", "val2017", "test2017")])
def test_coco_in_standard_layout_is_named(tmp_path, images, splits):
    root = write_coco(tmp_path, splits, "annotations/instances_{}.json", images)
    put(root / "annotations/captions_train2017.json", "{}")
    put(root / "annotations/person_keypoints_val2017.json", "not even json")
    report = detect(str(root))
    assert (report.format, report.layout) == ("coco", "standard")
    assert counts(report) == COUNTS
    assert report.splits["valid"].source_name == splits[1]
    assert codes(report) == []


@pytest.mark.parametrize(
    ("data_yaml", "folders", "layout"),
    [
        (DATA_YAML, None, "roboflow"),
        (DATA_YAML.replace("val:", "valid:").replace("../", ""), None, "roboflow"),
        (DATA_YAML.replace("../train/images", "train"), None, "roboflow"),
        ("path: .\ntrain: train/images\nval: val/images\nnames: {0: cat, 1: dog}\n", ("train", "val"), "roboflow"),
        ("path: /content/x\ntrain: images/a\nval: images/b\nnames: {'0': cat, '1': dog}\n", ("a", "b"), "ultralytics"),
        ("path: ../datasets/x\ntrain: images/a\nval: images/b\nnames: [cat, dog]\n", ("a", "b"), "ultralytics"),
        ("names:\n- cat\n- dog\ndownload: echo hello\n", None, "roboflow"),
    ],
)
def test_yolo_is_named_with_folders_as_data_yaml_or_habit_gives_them(tmp_path, data_yaml, folders, layout):
    if folders == ("train", "val"):
        folders = {"train": "train/images", "valid": "val/images"}
    elif folders:
        folders = {"train": "images/a", "valid": "images/b"}
    report = detect(str(write_yolo(tmp_path, data_yaml, folders)))
    assert (report.format, report.layout, report.classes) == ("yolo", layout, ["cat", "dog"])
    assert counts(report) == {name: COUNTS[name] for name in folders or COUNTS}
    assert codes(report) == []


def test_yolo_below_a_relative_or_absolute_path_is_found(tmp_path):
    folders = {"train": "data/images/train", "valid": "data/images/val"}
    text = "path: {}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    for path in ("data", tmp_path / "data"):
        report = detect(str(write_yolo(tmp_path, text.format(path), folders)))
        assert report.splits["train"].image_root == "data/images/train"
        assert report.splits["train"].annotations == "data/labels/train"


def test_data_yml_is_accepted(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "data.yml")
    assert detect(str(tmp_path)).class_source == "names of data.yml"


def test_nested_images_labels_beside_images_and_hidden_files(tmp_path):
    write_yolo(tmp_path)
    for name in ("a/b/1.jpg", ".hidden/2.jpg", "._3.jpg"):
        put(tmp_path / "train/images" / name, "")
    put(tmp_path / "train/labels/a/b/1.txt", "0 0.5 0.5 0.1 0.1")
    put(tmp_path / "train/labels/classes.txt", "cat\ndog\n")
    report = detect(str(tmp_path))
    assert counts(report)["train"] == (3, 4)
    assert codes(report) == []


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_missing_or_empty_folder_is_refused_and_formats_are_explained(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"does not exist or is empty\. COCO needs .*YOLO needs data.yaml") as caught:
        detect(str(tmp_path / name))
    assert caught.value.exit_code == ExitCode.BAD_DATA == 20


def test_unknown_format_is_refused_and_what_was_found_is_named(tmp_path):
    write_yolo(tmp_path / "export", None)
    with pytest.raises(DatasetError, match=r"no dataset of a known format.*Found 12 files \(6 .png, 6 .txt\) in exp"):
        detect(str(tmp_path))
    write_yolo(tmp_path / "export")
    with pytest.raises(DatasetError, match=r"perhaps you mean the folder of export/data.yaml"):
        detect(str(tmp_path))


def test_both_formats_are_refused(tmp_path):
    write_yolo(write_coco(tmp_path))
    with pytest.raises(DatasetError, match=r"more than one dataset: COCO \(roboflow layout.*and YOLO \(data.yaml\)"):
        detect(str(tmp_path))


def test_two_annotation_files_for_a_split_are_refused(tmp_path):
    write_coco(tmp_path, ("train", "val", "valid"))
    with pytest.raises(DatasetError, match=r"2 annotation files for the split 'valid': val/_annot.* and valid/_annot"):
        detect(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nc: 2", "nc: 3", "nc is 3, but names has 2 classes"),
        ("['cat', 'dog']", "{0: cat, 2: dog}", "must be 0, 1, 2, ... without a gap"),
        ("names: ['cat', 'dog']", "", "names must list the classes"),
        ("['cat', 'dog']", "[yes, dog]", "Put the name in quotes"),
        ("['cat', 'dog']", "&a [*a, *a]", "aliases"),
        ("['cat', 'dog']", "[cat", "cannot be read as YAML"),
        ("['cat', 'dog']", "!!python/object/apply:os.system [x]", "cannot be read as YAML"),
        ("../train/images", "[train/images]", "train must be one folder"),
        ("../train/images", "train.txt", "train must be one folder"),
        ("../train/images", "../../x/images", "leaves the dataset"),
        ("../train/images", "/etc/images", "leaves the dataset"),
        ("nc: 2", "kpt_shape: [17, 3]", "pose dataset"),
        (DATA_YAML, "- a\n- b\n", "must be a mapping"),
        (DATA_YAML, "x: 1\n" * 300_000, "larger than 1,048,576 bytes"),
    ],
)
def test_bad_data_yaml_is_refused_with_the_reason(tmp_path, old, new, message):
    write_yolo(tmp_path, DATA_YAML.replace(old, new))
    with pytest.raises(DatasetError, match=message):
        detect(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ('{"images": [], "categories": [], "annotations": [{"id": NaN}]}', "hold NaN"),
        ("[]", "is not a COCO annotation file: Expected 'object', got 'array'"),
        ('{"images": []}', "missing required field 'categories'"),
        ('{"categories": [], "images": [{"id": "7", "file_name": "a"}]}', r"images\[0\].id'?. Write ids as whole"),
        ('{"categories": [], "images": [], "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "cannot be read as JSON"),
    ],
)
def test_bad_annotation_file_is_refused_with_the_place(tmp_path, content, message):
    put(write_coco(tmp_path) / "train/_annotations.coco.json", content)
    with pytest.raises(DatasetError, match=message) as caught:
        detect(str(tmp_path))
    assert "train/_annotations.coco.json" in str(caught.value)


def test_unknown_name_of_a_required_split_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"split 'dev' is unknown\. Name one of train, valid, test"):
        detect(str(write_coco(tmp_path)), required_splits=("dev",))


@pytest.mark.parametrize("write", [write_coco, write_yolo])
def test_fingerprint_is_of_the_data_and_not_of_place_or_time(tmp_path, write):
    first = detect(str(write(tmp_path / "a"))).fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").rglob("*"):
        os.utime(path, (1, 1))
    put(tmp_path / "b" / "README.txt", "not data")
    assert detect(str(tmp_path / "b")).fingerprint == first


def test_fingerprint_changes_with_annotations_images_and_names(tmp_path):
    def fingerprint(change):
        root = tmp_path / "set"
        shutil.rmtree(root, ignore_errors=True)
        write_yolo(root)
        change(root)
        return detect(str(root)).fingerprint

    seen = {
        fingerprint(lambda root: None),
        fingerprint(lambda root: put(root / "train/labels/train1.txt", "0 0.2 0.4 0.2 0.41\n")),
        fingerprint(lambda root: put(root / "test/images/test2.png", b"longer or shorter")),
        fingerprint(lambda root: (root / "valid/images/valid2.png").rename(root / "valid/images/x.png")),
        fingerprint(lambda root: put(root / "data.yaml", DATA_YAML.replace("dog", "fox"))),
    }
    assert len(seen) == 5
    assert fingerprint(lambda root: put(root / "data.yaml", DATA_YAML + "# a comment\n")) in seen


def test_coco_fingerprint_changes_with_any_byte_of_the_annotations(tmp_path):
    first = detect(str(write_coco(tmp_path))).fingerprint
    edit(tmp_path, lambda data: data.update(info="new"), "test")
    assert detect(str(tmp_path)).fingerprint != first


def test_detection_opens_no_image_and_imports_no_heavy_library(tmp_path):
    write_yolo(tmp_path / "yolo")
    write_coco(tmp_path / "coco")
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image at all")
    script = (
        "import sys; from rfdetr_train.datasets import detect\n"
        "for name in ('yolo', 'coco'): detect(sys.argv[1] + '/' + name).raise_for_errors()\n"
        "print([m for m in ('torch', 'rfdetr', 'kfp', 'mlflow', 'numpy', 'PIL', 'obstore') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@needs_real_data
@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_real_blood_cells_are_named_counted_and_free_of_errors(kind):
    report = detect(str(REAL_DATA / f"bccd-{kind}"))
    assert (report.format, report.classes) == (kind, ["Platelets", "RBC", "WBC"])
    assert counts(report) == {"train": (205, 2805), "valid": (87, 1138), "test": (72, 945)}
    found = {finding.code: (finding.severity, finding.count) for finding in report.findings}
    expected = {"degenerate-box": ("warning", 2)}
    if kind == "coco":
        expected["unused-parent-category"] = ("info", 1)
        assert "category 0 'cells'" in report.findings[-1].examples[0]
    assert found == expected
    report.raise_for_errors()


def test_classes_are_those_of_rfdetr(tmp_path):
    rfdetr_coco = pytest.importorskip("rfdetr.datasets.coco")
    roots = [REAL_DATA / "bccd-coco"] if REAL_DATA.is_dir() else []
    lists = [
        [(9, "z", "none"), (2, "animal", "none"), (4, "cat", "animal"), (3, "dog", "animal")],
        [(1, "person", "person"), (2, "vehicle", "none"), (3, "car", "vehicle"), (5, "never", None)],
        [(1, "a", "b"), (2, "b", "a")],
    ]
    for number, categories in enumerate(lists):
        for used in ({categories[-1][0]}, {category[0] for category in categories}):
            root = tmp_path / f"{number}-{len(used)}"
            data = coco_split("train")
            data["categories"] = [dict(zip(("id", "name", "supercategory"), c, strict=True)) for c in categories]
            data["annotations"] = [{**data["annotations"][0], "id": id_, "category_id": id_} for id_ in used]
            write_coco(root)
            edit(root, lambda old, data=data: old.update(data))
            roots.append(root)
    for root in roots:
        data = json.loads((root / "train/_annotations.coco.json").read_text())
        annotated = rfdetr_coco.annotated_category_ids(data)
        theirs = rfdetr_coco.filter_parent_categories(data["categories"], annotated)
        assert detect(str(root)).classes == [category["name"] for category in theirs]
