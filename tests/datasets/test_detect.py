"""Which format and layout is named, and what is refused."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from dataset_builders import DATA_YAML, REAL_DATA, coco_split, codes, edit, only, put, upload, write_coco, write_yolo

from rfdetr_train.datasets import detect, thin
from rfdetr_train.errors import DatasetError, ExitCode, ParameterError
from rfdetr_train.storage.local import LocalStore

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")
IN_IMAGES = "train: images/a\nval: images/b\n"
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
    ("data_yaml", "folders", "layout", "noted"),
    [
        (DATA_YAML, None, "roboflow", []),
        (DATA_YAML.replace("val:", "valid:").replace("../", ""), None, "roboflow", []),
        (DATA_YAML.replace("../train/images", "train"), None, "roboflow", []),
        ("path: .\ntrain: train/images\nval: val/images\nnames: {0: cat, 1: dog}\n", ("train", "val"), "roboflow", []),
        (f"path: /content/x\n{IN_IMAGES}names: {{'0': cat, '1': dog}}\n", ("a", "b"), "ultralytics", ["foreign-path"]),
        (f"path: ../datasets/x\n{IN_IMAGES}names: [cat, dog]\n", ("a", "b"), "ultralytics", ["foreign-path"]),
        ("names:\n- cat\n- dog\ndownload: echo hello\n", None, "roboflow", ["download-ignored"]),
    ],
)
def test_yolo_is_named_with_folders_as_data_yaml_or_habit_gives_them(tmp_path, data_yaml, folders, layout, noted):
    if folders == ("train", "val"):
        folders = {"train": "train/images", "valid": "val/images"}
    elif folders:
        folders = {"train": "images/a", "valid": "images/b"}
    report = detect(str(write_yolo(tmp_path, data_yaml, folders)))
    assert (report.format, report.layout, report.classes) == ("yolo", layout, ["cat", "dog"])
    assert counts(report) == {name: COUNTS[name] for name in folders or COUNTS}
    assert codes(report) == noted


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
    for name in ("one/a.png", "one/a.xml", "one/b.xml", "two/c.md"):
        put(tmp_path / name, "")
    with pytest.raises(DatasetError, match=r"no dataset of a known format.*4 files \(2 .xml.*in one/, two/; Pascal"):
        detect(str(tmp_path))
    write_yolo(tmp_path / "two")
    with pytest.raises(DatasetError, match=r"perhaps you mean the folder of two/data.yaml"):
        detect(str(tmp_path))


def test_dataset_in_a_folder_by_itself_is_read_from_there(tmp_path):
    report = detect(str(write_yolo(tmp_path / "export" / "v1").parents[1]))
    assert counts(report) == COUNTS
    assert (report.class_source, report.findings) == ("names of export/v1/data.yaml", [])
    assert report.fingerprint == detect(str(tmp_path / "export" / "v1")).fingerprint


def test_both_formats_are_refused(tmp_path):
    write_yolo(write_coco(tmp_path))
    with pytest.raises(DatasetError, match=r"more than one dataset: COCO \(roboflow layout.*and YOLO \(robof.*yaml"):
        detect(str(tmp_path))
    assert {detect(str(tmp_path), format=name).format for name in ("coco", "yolo")} == {"coco", "yolo"}


def test_two_annotation_files_for_a_split_are_refused(tmp_path):
    write_coco(tmp_path, ("train", "val", "valid"))
    with pytest.raises(DatasetError, match=r"2 annotation files for the split 'valid': val/_annot.* and valid/_annot"):
        detect(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("['cat', 'dog']", "{0: cat, 0: dog}", "the key '0' is there twice"),
        ("['cat', 'dog']", "cat", "names must list the classes"),
        ("['cat', 'dog']", "[yes, dog]", "Put the name in quotes"),
        ("['cat', 'dog']", "&a [*a, *a]", "aliases"),
        ("['cat', 'dog']", "[cat", "cannot be read as YAML"),
        ("['cat', 'dog']", "!!python/object/apply:os.system [x]", "cannot be read as YAML"),
        ("../train/images", "{a: train/images}", "train must be a folder, a list of folders or a list file"),
        ("../train/images", "../../x/images", "leaves the dataset"),
        ("../train/images", "/etc/images", "leaves the dataset"),
        ("nc: 2", "task: obb", "oriented boxes"),
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
        ('{"images": [], "categories": [', "It may be cut off"),
        ("[]", "is not a COCO annotation file: Expected 'object', got 'array'"),
        ('{"images": []}', "missing required field 'categories'"),
        ('{"categories": [], "images": [{"id": [7], "file_name": "a"}]}', r"images\[0\].id"),
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
        "print([m for m in ('torch', 'rfdetr', 'kfp', 'mlflow', 'PIL', 'obstore') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def many_yolo_images(root, count):
    """A train split of images with two boxes on every other, and a valid split of a tenth of it."""
    put(root / "data.yaml", DATA_YAML.replace("test: ../test/images\n", ""))
    for split, some in (("train", count), ("valid", count // 10)):
        for number in range(some):
            put(root / split / f"images/{number:04}.jpg", b"")
            put(root / split / f"labels/{number:04}.txt", "0 .5 .5 .1 .1\n1 .2 .2 .1 .1\n" if number % 2 else "")
    return root


def test_large_yolo_dataset_is_sampled_evenly_and_counted_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "MOST_IMAGES", 100)
    many_yolo_images(tmp_path, 1000)
    put(tmp_path / "train/labels/0990.txt", "0 .5 .5 .1\n")
    read = []
    whole = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, key, most=None: read.append(key) or whole(self, key, most))
    report = detect(str(tmp_path))
    assert (report.checked, report.fingerprint) == ("sample", "")
    labels = [key for key in read if key.endswith(".txt")]
    assert len(labels) == 101  # 91 of 1,000 and 10 of 100, rounded up
    assert {int(key[-8:-6]) for key in labels if key.startswith("train/")} == set(range(10))
    assert {name: split.image_count for name, split in report.splits.items()} == {"train": 1000, "valid": 100}
    assert report.splits["train"].box_count == pytest.approx(1000, rel=0.2)
    assert report.splits["train"].boxes_per_class["dog"] == pytest.approx(500, rel=0.2)
    assert report.splits["train"].image_root == "train/images"
    assert "101 of 1,100 images were looked up; numbers of boxes are estimated from these." in report.evidence


def test_dataset_of_the_size_of_the_sample_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "MOST_IMAGES", 110)
    report = detect(str(many_yolo_images(tmp_path, 100)))
    assert (report.checked, len(report.fingerprint)) == ("annotations", 64)
    assert counts(report) == {"train": (100, 100), "valid": (10, 10)}
    monkeypatch.setattr(thin, "MOST_IMAGES", 109)
    assert detect(str(tmp_path)).checked == "sample"


def test_images_of_a_list_file_are_sampled_too(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "MOST_IMAGES", 50)
    many_yolo_images(tmp_path, 500)
    put(tmp_path / "train.txt", "".join(f"./train/images/{number:04}.jpg\n" for number in range(0, 600, 2)))
    put(tmp_path / "data.yaml", DATA_YAML.replace("../train/images", "train.txt"))
    report = detect(str(tmp_path))
    assert report.splits["train"].image_count == 300
    # A sixth of the list is not there; so is about that of the sample.
    assert 5 <= only(report, "missing-image").count <= 10


COCO_ORDERS = [
    ("info", "images", "annotations", "categories"),
    ("info", "categories", "images", "annotations"),
    ("annotations", "categories", "images"),
    ("images", "categories", "annotations"),
    ("categories", "annotations", "images"),
]


def large_coco(root, order=COCO_ORDERS[0], indent=None, polygon=40, split="train", names=("cat", "dog", "pet")):
    """Write 1,000 images with 6,000 annotations, of 3 MB and more; image files are there for all but each tenth."""
    lists = {
        "info": {"description": 'a [bracket], a {brace and a " quote'},
        "images": [
            {"id": n, "file_name": f"{n:06}.jpg", "width": 640, "height": 480, "licence": {"id": 1}}
            for n in range(1000)
        ],
        "annotations": [
            {
                "id": n,
                "attributes": {"occluded": False},
                "segmentation": {"counts": [n] * 9, "size": [480, 640]} if n % 10 == 0 else [[1.5] * polygon],
                "image_id": n // 6,
                "category_id": 1 + n % 2,
                "bbox": [1, 2, 3, 4],
                "area": 12,
                "iscrowd": int(n % 10 == 0),
            }
            for n in range(6000)
        ],
        "categories": [
            {"id": n, "name": name, "supercategory": "pet" if name != "pet" else "none"}
            for n, name in enumerate(names, 1)
        ],
    }
    put(root / f"annotations/instances_{split}.json", json.dumps({name: lists[name] for name in order}, indent=indent))
    for n in range(1000):
        if n % 10:
            put(root / f"{split}/{n:06}.jpg", b"")
    return root


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("order", COCO_ORDERS, ids="-".join)
def test_large_coco_file_is_scanned_for_classes_and_counts(tmp_path, monkeypatch, order, indent):
    large_coco(tmp_path, order, indent)
    monkeypatch.setattr(thin, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(LocalStore, "read", None)
    report = detect(str(tmp_path), required_splits=("train",))
    assert (report.checked, report.fingerprint, report.task) == ("sample", "", "segment")
    assert report.classes == ["cat", "dog"]
    assert counts(report) == {"train": (1000, 6000)}
    assert report.splits["train"].boxes_per_class["cat"] == pytest.approx(3000, rel=0.1)
    assert report.splits["train"].image_root == "train"
    assert codes(report) == ["missing-image", "crowd-region", "unused-parent-category"]
    assert " of about 6,000 annotations were looked at" in report.evidence[-1]


def test_count_of_a_list_that_is_too_long_to_be_counted_is_estimated(tmp_path, monkeypatch):
    large_coco(tmp_path, polygon=400)
    monkeypatch.setattr(thin, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr("rfdetr_train.datasets.coco_scan._COUNTED", 1 << 20)
    report = detect(str(tmp_path), required_splits=("train",))
    assert report.splits["train"].image_count == 1000
    assert report.splits["train"].box_count == pytest.approx(6000, rel=0.05)
    assert report.splits["train"].box_count != 6000


def test_classes_of_large_coco_files_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(thin, "MOST_BYTES", 1 << 20)
    large_coco(large_coco(tmp_path), split="val", names=("dog", "cat", "pet"))
    assert only(detect(str(tmp_path)), "category-mismatch").count == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [], "annotations": [], "categories": []}' + " " * (2 << 20),
        json.dumps({**coco_split("train"), "padding": "x" * (2 << 20)}),
        '{"annotations": [' + "[" * (1 << 20),
        "no json " * (1 << 18),
    ],
)
def test_large_file_in_which_a_scan_finds_nothing_is_read_whole(tmp_path, monkeypatch, text):
    monkeypatch.setattr(thin, "MOST_BYTES", 1 << 20)
    put(write_coco(tmp_path) / "train/_annotations.coco.json", text)
    try:
        assert detect(str(tmp_path)).checked == "annotations"
    except DatasetError as error:
        assert "train/_annotations.coco.json" in str(error)


@pytest.mark.parametrize("write", [write_coco, write_yolo, large_coco])
def test_same_answer_from_a_folder_an_archive_and_s3(tmp_path, monkeypatch, s3_bucket, write):
    monkeypatch.setattr(thin, "MOST_BYTES", 1 << 20)
    write(tmp_path / "set")
    shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path, "set")
    if write is large_coco:
        for path in (tmp_path / "set/train").iterdir():
            path.unlink()
        put(tmp_path / "set/train/000001.jpg", b"")
    upload(tmp_path / "set", f"s3://{s3_bucket}/set")
    here, there = detect(str(tmp_path / "set")), detect(f"s3://{s3_bucket}/set")
    assert (there.classes, there.splits, there.checked) == (here.classes, here.splits, here.checked)
    assert (there.fingerprint, there.findings) == (here.fingerprint, here.findings)
    assert there.revision and not here.revision
    packed = detect(str(tmp_path / "set.zip"))
    assert (packed.classes, counts(packed)) == (here.classes, counts(here))
    if here.checked == "annotations":
        assert packed.fingerprint == here.fingerprint


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
