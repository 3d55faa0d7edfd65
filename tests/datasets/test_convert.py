"""Conversion each way: what is written, where, and when nothing is."""

import json
import shutil

import pytest
import yaml
from dataset_builders import REAL_DATA, edit, everything, image_bytes, put, upload, write_coco, write_yolo

from rfdetr_train.datasets import convert, detect, read_manifest
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.errors import DatasetError, ParameterError


def coco_of(folder, split="train"):
    return json.loads((folder / split / "_annotations.coco.json").read_text())


def test_yolo_becomes_coco_with_pixels_areas_and_ids_from_one(tmp_path):
    prepared = convert(str(write_yolo(tmp_path / "in")), tmp_path / "out")
    data = coco_of(tmp_path / "out")
    assert data["categories"] == [
        {"id": 1, "name": "cat", "supercategory": "none"},
        {"id": 2, "name": "dog", "supercategory": "none"},
    ]
    assert data["images"] == [
        {"id": 1, "file_name": "train1.png", "width": 100, "height": 50},
        {"id": 2, "file_name": "train2.png", "width": 100, "height": 50},
    ]
    assert [(a["id"], a["image_id"], a["category_id"], a["iscrowd"]) for a in data["annotations"]] == [
        (1, 1, 1, 0),
        (2, 1, 2, 0),
        (3, 2, 2, 0),
    ]
    assert data["annotations"][0]["bbox"] == pytest.approx([10, 10, 20, 20])
    assert data["annotations"][0]["area"] == pytest.approx(400)
    assert "segmentation" not in data["annotations"][0]
    assert [(c.id, c.source_id, c.label) for c in prepared.categories] == [(1, 0, 0), (2, 1, 1)]


def test_coco_becomes_yolo_with_contiguous_classes_and_empty_files_for_backgrounds(tmp_path):
    def change(data):
        data["images"].append({"id": 9, "file_name": "background.png", "width": 100, "height": 50})
        data["annotations"].append({**data["annotations"][0], "id": 9, "iscrowd": 1})
        data["categories"] += [{"id": 1, "name": "pet"}]
        data["categories"][0]["supercategory"] = "pet"

    put(edit(write_coco(tmp_path / "in"), change) / "train/background.png", image_bytes(100, 50))
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", target="yolo", images="link")
    labels = tmp_path / "out/train/labels"
    assert (labels / "train1.txt").read_text() == "0 0.2 0.4 0.2 0.4\n1 0.2525 0.2525 0.505 0.505\n"
    assert (labels / "background.txt").read_text() == ""
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {
        "train": "train/images",
        "val": "valid/images",
        "test": "test/images",
        "nc": 2,
        "names": ["cat", "dog"],
    }
    assert [(c.id, c.source_id, c.name) for c in prepared.categories] == [(0, 3, "cat"), (1, 7, "dog")]
    assert prepared.changes == {"crowd-region": 1}
    report = detect(str(tmp_path / "out"))
    report.raise_for_errors()
    assert (report.format, report.classes, report.splits["train"].box_count) == ("yolo", ["cat", "dog"], 3)


def test_coco_stays_coco_byte_for_byte(tmp_path):
    write_coco(tmp_path / "in", ("train2017", "val2017"), "annotations/instances_{}.json", "images/{}")
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", images="copy")
    for split, source in (("train", "train2017"), ("valid", "val2017")):
        written = (tmp_path / "out" / split / "_annotations.coco.json").read_bytes()
        assert written == (tmp_path / "in/annotations" / f"instances_{source}.json").read_bytes()
    assert [c.id for c in prepared.categories] == [3, 7]
    assert prepared.changes == {}
    report = detect(str(tmp_path / "out"))
    assert (report.layout, report.findings) == ("roboflow", [])


def test_yolo_stays_yolo_byte_for_byte(tmp_path):
    rows = "1 0.50000 0.5 0.1 0.1\n0 0.500000 0.5 1e-1 .2"
    put(write_yolo(tmp_path / "in") / "train/labels/train2.txt", rows)
    (tmp_path / "in/train/labels/train1.txt").unlink()
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == rows
    assert (tmp_path / "out/train/labels/train1.txt").read_text() == ""
    assert prepared.changes == {}


@pytest.mark.parametrize(
    "rows",
    [
        "\ufeff1 0.5 0.5 0.25 0.25\n",
        "1 0.5 0.5 0.25 0.25\r\n",
        "1\t0.5  0.5 0.25 0.25 \n\n",
        "1.0 0.5 0.5 0.25 0.25\n",
        "1 0,5 0,5 0,25 0,25\n",
        "1 0.5 0.5 0.25 0.25 17\n",
        "1 0.5 0.5 0.25 0.25\n0 0.5 0.5 0 0.1\n",
    ],
)
def test_label_file_that_other_readers_stop_at_is_written_anew(tmp_path, rows):
    put(write_yolo(tmp_path / "in") / "train/labels/train2.txt", rows)
    convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train2.txt").read_bytes() == b"1 0.5 0.5 0.25 0.25\n"


POLYGON, TRIANGLE = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5 0.05 0.3\n", "1 0.25 0.5 0.75 0.5 0.5 0.875\n"


@pytest.mark.parametrize(
    ("task", "rest", "expected"),
    [
        ("", "1 0.5 0.5 0.25 0.25\n", "1 0.5 0.6875 0.5 0.375\n1 0.5 0.5 0.25 0.25\n"),
        ("", POLYGON, TRIANGLE + "1 0.375 0.375 0.625 0.375 0.625 0.625 0.375 0.625\n"),
        ("detect", POLYGON, "1 0.5 0.6875 0.5 0.375\n1 0.5 0.5 0.25 0.25\n"),
    ],
)
def test_label_file_that_mixes_boxes_and_polygons_becomes_one_of_them(tmp_path, task, rest, expected):
    source = write_yolo(tmp_path / "in")
    for path in source.rglob("*.txt"):
        path.write_text(rest)
    put(source / "train/labels/train2.txt", TRIANGLE + "1 0.5 0.5 0.25 0.25\n")
    convert(str(source), tmp_path / "out", target="yolo", task=task)
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == expected
    if not task:
        assert (tmp_path / "out/train/labels/train1.txt").read_text() == rest


def test_yolo_classes_with_gaps_are_numbered_anew(tmp_path):
    put(write_yolo(tmp_path / "in") / "data.yaml", "train: train/images\nval: valid/images\nnames: {0: cat, 5: dog}\n")
    for path in (tmp_path / "in").rglob("*.txt"):
        path.write_text("5 0.5 0.5 0.25 0.25\n0 0.5 0.5 0.25 0.25\n")
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == "1 0.5 0.5 0.25 0.25\n0 0.5 0.5 0.25 0.25\n"
    assert [(c.id, c.source_id, c.name) for c in prepared.categories] == [(0, 0, "cat"), (1, 5, "dog")]


def test_reference_writes_annotations_and_manifest_only(tmp_path):
    source = write_yolo(tmp_path / "in")
    prepared = convert(str(source), tmp_path / "out")
    assert sorted(everything(tmp_path / "out")) == [
        "dataset.json",
        *(f"{split}/_annotations.coco.json" for split in ("test", "train", "valid")),
    ]
    assert read_manifest(tmp_path / "out") == prepared
    split = prepared.splits["valid"]
    assert split.image_root == str(source)
    size = (source / "valid/images/valid1.png").stat().st_size
    assert (split.images[0].key, split.images[0].size) == ("valid/images/valid1.png", size)
    assert prepared.fingerprint == prepared.source_fingerprint == detect(str(source)).fingerprint


def test_box_over_the_edge_is_clipped_and_box_without_area_is_left_out_and_both_are_counted(tmp_path):
    rows = "0 0.95 0.5 0.2 0.1\n0 0.5 0.5 0 0.1\n0 2 2 0.1 0.1\n0 nan 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n"
    put(write_yolo(tmp_path / "in") / "train/labels/train2.txt", rows)
    prepared = convert(str(tmp_path / "in"), tmp_path / "out")
    boxes = [a["bbox"] for a in coco_of(tmp_path / "out")["annotations"] if a["image_id"] == 2]
    assert boxes == [pytest.approx([85, 22.5, 15, 5]), pytest.approx([45, 22.5, 10, 5])]
    assert prepared.changes == {"box-outside-image": 1, "degenerate-box": 3}


def test_size_comes_from_the_image_where_the_coco_file_is_wrong_or_silent(tmp_path):
    def change(data):
        data["images"][0].update(width=200, height=100)
        del data["images"][1]["width"], data["images"][1]["height"]

    source = str(edit(write_coco(tmp_path / "in"), change))
    prepared = convert(source, tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train1.txt").read_text().startswith("0 0.2 0.4 0.2 0.4\n")
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == "1 0.65 0.7 0.7 0.6\n"
    (found,) = [finding for finding in prepared.findings if finding.code == "size-mismatch"]
    assert found.examples == ["train/_annotations.coco.json: image 1 'train1.png'"]


def test_images_of_one_stem_and_in_folders_keep_their_own_labels_in_yolo(tmp_path):
    names = ["a.png", "a.jpg", "b/a.png", "b__a.png", "A.PNG"]
    data = {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [{"id": n, "file_name": name, "width": 100, "height": 100} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 0, 10, 10], "area": 100} for n in range(5)
        ],
    }
    for split in ("train", "val"):
        put(tmp_path / "in" / split / "_annotations.coco.json", json.dumps(data))
        for n, name in enumerate(names):
            kind = "JPEG" if name.endswith("jpg") else "PNG"
            put(tmp_path / "in" / split / name, image_bytes(100, 100, kind, 9 * n + len(split)))
    convert(str(tmp_path / "in"), tmp_path / "out", target="yolo", images="copy")
    files = everything(tmp_path / "out/train")
    xs = {name: round(float(text.split()[1]) * 100 - 5) for name, text in files.items() if name.startswith("labels")}
    assert xs == {
        "labels/a.txt": 0, "labels/a_1.txt": 1, "labels/b__a.txt": 2, "labels/b__a_1.txt": 3, "labels/A_2.txt": 4,
    }  # fmt: skip
    assert sorted(name for name in files if name.startswith("images")) == [
        "images/A_2.PNG", "images/a.png", "images/a_1.jpg", "images/b__a.png", "images/b__a_1.png",
    ]  # fmt: skip


def test_image_whose_extension_no_yolo_reader_knows_is_refused_by_name(tmp_path):
    edit(write_coco(tmp_path / "in"), lambda data: data["images"][0].update(file_name="train1.heic"))
    (tmp_path / "in/train/train1.png").rename(tmp_path / "in/train/train1.heic")
    with pytest.raises(DatasetError, match=r"The image 'train1\.heic' has no extension that YOLO readers know"):
        convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")


def test_unreadable_image_is_an_error_that_names_it_and_leaves_nothing(tmp_path):
    source = write_yolo(tmp_path / "in")
    put(source / "valid/images/valid2.png", b"no image")
    with pytest.raises(DatasetError, match=r"(?s)unreadable-image \(1\).*valid/images/valid2.png"):
        convert(str(source), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_dataset_with_errors_is_not_converted_and_all_are_named(tmp_path):
    def change(data):
        data["annotations"][0].update(category_id=99)
        data["annotations"][1].pop("bbox")

    edit(write_coco(tmp_path / "in"), change)
    with pytest.raises(DatasetError, match=r"(?s)missing-bbox.*unknown-category.*annotation 1"):
        convert(str(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_policy_drop_leaves_out_what_is_wrong_and_counts_it(tmp_path):
    def change(data):
        data["images"].append({"id": 9, "file_name": "gone.png", "width": 100, "height": 50})
        box = data["annotations"][0]
        data["annotations"] += [{**box, "id": 8, "category_id": 99}, {**box, "id": 9, "image_id": 9}]

    source = str(edit(write_coco(tmp_path / "in"), change))
    put(tmp_path / "in/train/train2.png", b"no image")
    prepared = convert(source, tmp_path / "out", policy=Policy(on_error="drop"))
    assert [image["id"] for image in coco_of(tmp_path / "out")["images"]] == [1]
    assert [a["id"] for a in coco_of(tmp_path / "out")["annotations"]] == [1, 2]
    assert prepared.changes == {"dropped-box": 2, "dropped-image": 2, "unknown-category": 1}
    assert [image.file_name for image in prepared.splits["train"].images] == ["train1.png"]
    assert prepared.fingerprint != prepared.source_fingerprint


def test_degenerate_box_of_coco_stays_unless_the_policy_drops_warnings(tmp_path):
    source = str(edit(write_coco(tmp_path / "in"), lambda data: data["annotations"][2].update(bbox=[5, 5, 0, 3])))
    convert(source, tmp_path / "kept")
    assert [a["id"] for a in coco_of(tmp_path / "kept")["annotations"]] == [1, 2, 3]
    convert(source, tmp_path / "out", policy=Policy(on_warning="drop"))
    assert [a["id"] for a in coco_of(tmp_path / "out")["annotations"]] == [1, 2]
    with pytest.raises(DatasetError, match="degenerate-box"):
        convert(source, tmp_path / "not", policy=Policy(on_warning="fail"))


def test_empty_folder_and_earlier_result_are_replaced_and_anything_else_is_refused(tmp_path):
    source = write_yolo(tmp_path / "in")
    (tmp_path / "out").mkdir()
    convert(str(source), tmp_path / "out", target="yolo")
    convert(str(source), tmp_path / "out")
    assert not (tmp_path / "out/data.yaml").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    put(tmp_path / "mine/thesis.txt", "years of work")
    with pytest.raises(ParameterError, match="is not empty and holds no earlier result"):
        convert(str(source), tmp_path / "mine")
    with pytest.raises(ParameterError, match="is not a folder"):
        convert(str(source), tmp_path / "mine/thesis.txt")
    with pytest.raises(ParameterError, match="is the dataset itself"):
        convert(str(source), source)
    assert everything(tmp_path / "mine") == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize(("name", "value"), [("target", "voc"), ("images", "symlink"), ("exif", "guess")])
def test_unknown_choice_is_refused_with_the_allowed_ones(tmp_path, name, value):
    with pytest.raises(ParameterError, match=f"{name}: '{value}' is not valid. Give one of "):
        convert(str(write_yolo(tmp_path / "in")), tmp_path / "out", **{name: value})


def test_conversion_is_the_same_every_time(tmp_path):
    source = write_yolo(tmp_path / "in")
    for target in ("coco", "yolo"):
        for number in (1, 2):
            convert(str(source), tmp_path / f"{target}{number}", target=target)
        assert everything(tmp_path / f"{target}1") == everything(tmp_path / f"{target}2")


def test_s3_dataset_is_converted_like_the_folder(tmp_path, s3_bucket):
    source = write_yolo(tmp_path / "in")
    upload(source, f"s3://{s3_bucket}/sets/one")
    prepared = convert(f"s3://{s3_bucket}/sets/one/", tmp_path / "s3")
    local = convert(str(source), tmp_path / "local")
    for split in ("train", "valid", "test"):
        assert coco_of(tmp_path / "s3", split) == coco_of(tmp_path / "local", split)
    assert prepared.splits["train"].image_root == f"s3://{s3_bucket}/sets/one"
    assert prepared.fingerprint == local.fingerprint
    convert(f"s3://{s3_bucket}/sets/one", tmp_path / "whole", images="copy")
    assert only_images(everything(tmp_path / "whole/train")) == only_images(everything(source / "train/images"))


def only_images(files):
    return {name: data for name, data in files.items() if name.endswith(".png")}


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_archive_is_converted_like_the_folder(tmp_path, format):
    source = write_coco(tmp_path / "in") if format == "coco" else write_yolo(tmp_path / "in")
    archive = shutil.make_archive(str(tmp_path / "in"), "zip", source)
    for target in ("coco", "yolo"):
        for name, uri in (("folder", str(source)), ("zip", archive)):
            prepared = convert(uri, tmp_path / f"{name}-{target}", target=target, images="copy")
            assert prepared.source == uri
        found = everything(tmp_path / f"zip-{target}")
        found.pop("dataset.json")
        expected = everything(tmp_path / f"folder-{target}")
        expected.pop("dataset.json")
        assert found == expected


def test_two_entries_for_one_file_keep_all_boxes(tmp_path):
    edit(write_coco(tmp_path / "in"), lambda data: data["images"][1].update(file_name="train1.png"))
    (tmp_path / "in/train/train2.png").unlink()
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert len((tmp_path / "out/train/labels/train1.txt").read_text().splitlines()) == 3
    assert [image.file_name for image in prepared.splits["train"].images] == ["train1.png"]
    assert prepared.changes == {"duplicate-file-name": 1}


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")
def test_rfdetr_reads_what_was_converted(tmp_path):
    rfdetr_yolo = pytest.importorskip("rfdetr.datasets.yolo")
    rfdetr_datasets = pytest.importorskip("rfdetr.datasets")
    convert(str(REAL_DATA / "bccd-coco"), tmp_path / "yolo", target="yolo", images="link")
    convert(str(REAL_DATA / "bccd-yolo"), tmp_path / "coco", target="coco", images="link")
    assert rfdetr_datasets.detect_roboflow_format(tmp_path / "yolo") == "yolo"
    assert rfdetr_datasets.detect_roboflow_format(tmp_path / "coco") == "coco"
    root = tmp_path / "yolo"
    dataset = rfdetr_yolo.YoloDetection(str(root / "valid/images"), str(root / "valid/labels"), str(root / "data.yaml"))
    assert dataset.classes == ["Platelets", "RBC", "WBC"]
    assert (len(dataset), len(dataset.coco.anns)) == (87, 1137)
    assert dataset[0][1]["boxes"].shape == (dataset[0][1]["labels"].shape[0], 4)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")
def test_pycocotools_reads_what_was_converted(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    convert(str(REAL_DATA / "bccd-yolo"), tmp_path / "coco", images="reference")
    read = coco.COCO(str(tmp_path / "coco/valid/_annotations.coco.json"))
    assert (len(read.getImgIds()), len(read.getAnnIds()), read.getCatIds()) == (87, 1137, [1, 2, 3])
    assert len(read.loadRes([{**read.anns[1], "score": 1.0}]).anns) == 1


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the sample of blood cells is not on this machine")
def test_ultralytics_reads_what_was_converted(tmp_path):
    data = pytest.importorskip("ultralytics.data")
    utils = pytest.importorskip("ultralytics.data.utils")
    convert(str(REAL_DATA / "bccd-coco"), tmp_path / "yolo", target="yolo", images="link")
    found = utils.check_det_dataset(str(tmp_path / "yolo/data.yaml"), autodownload=False)
    dataset = data.YOLODataset(img_path=found["val"], data=found, task="detect", augment=False)
    assert found["names"] == {0: "Platelets", 1: "RBC", 2: "WBC"}
    assert sum(len(label["cls"]) for label in dataset.labels) == 1137


def test_ultralytics_takes_no_row_of_polygons_for_corrupt(tmp_path):
    data = pytest.importorskip("ultralytics.data")
    utils = pytest.importorskip("ultralytics.data.utils")

    def change(coco):
        # One of two parts, the other boxes without a polygon.
        coco["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 30], [12, 25, 20, 28, 12, 30]]

    source = write_coco(tmp_path / "in")
    for split in ("train", "valid"):
        edit(source, change, split)
    convert(str(source), tmp_path / "yolo", target="yolo", images="link", task="segment")
    found = utils.check_det_dataset(str(tmp_path / "yolo/data.yaml"), autodownload=False)
    dataset = data.YOLODataset(img_path=found["train"], data=found, task="segment", augment=False)
    assert [len(label["segments"]) for label in dataset.labels] == [2, 1]
