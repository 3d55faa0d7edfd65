"""Conversion each way, with images referenced, linked or copied."""

import json
import shutil

import pytest
from dataset_builders import REAL_DATA, edit, everything, image_bytes, only, put, upload, write_coco, write_yolo

from rfdetr_train.datasets import convert, detect, read_manifest, transfer
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
    report = detect(str(tmp_path / "out"))
    assert (report.layout, report.findings) == ("roboflow", [])


def test_yolo_stays_yolo_row_for_row(tmp_path):
    rows = "1 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2 0.1 0.2 0.2\n"
    put(write_yolo(tmp_path / "in") / "train/labels/train2.txt", rows)
    (tmp_path / "in/train/labels/train1.txt").unlink()
    convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == rows
    assert (tmp_path / "out/train/labels/train1.txt").read_text() == ""


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
    assert prepared.fingerprint == detect(str(source)).fingerprint


@pytest.mark.parametrize("images", ["link", "copy"])
def test_complete_dataset_has_images_that_are_links_or_copies(tmp_path, images):
    source = write_yolo(tmp_path / "in")
    prepared = convert(str(source), tmp_path / "out", images=images)
    original, written = source / "train/images/train1.png", tmp_path / "out/train/train1.png"
    assert written.read_bytes() == original.read_bytes()
    assert (written.stat().st_ino == original.stat().st_ino) == (images == "link")
    assert prepared.splits["train"].image_root == "."
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    detect(str(tmp_path / "out")).raise_for_errors()


def test_box_over_the_edge_is_clipped_and_box_without_area_is_left_out_and_both_are_counted(tmp_path):
    rows = "0 0.95 0.5 0.2 0.1\n0 0.5 0.5 0 0.1\n0 2 2 0.1 0.1\n0 nan 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n"
    put(write_yolo(tmp_path / "in") / "train/labels/train2.txt", rows)
    prepared = convert(str(tmp_path / "in"), tmp_path / "out")
    boxes = [a["bbox"] for a in coco_of(tmp_path / "out")["annotations"] if a["image_id"] == 2]
    assert boxes == [pytest.approx([85, 22.5, 15, 5]), pytest.approx([45, 22.5, 10, 5])]
    assert prepared.changes == {"box-outside-image": 1, "degenerate-box": 3}


def test_size_comes_from_the_image_where_the_coco_file_is_wrong_or_silent(tmp_path, caplog):
    def change(data):
        data["images"][0].update(width=200, height=100)
        del data["images"][1]["width"], data["images"][1]["height"]

    convert(str(edit(write_coco(tmp_path / "in"), change)), tmp_path / "out", target="yolo")
    assert (tmp_path / "out/train/labels/train1.txt").read_text().startswith("0 0.2 0.4 0.2 0.4\n")
    assert (tmp_path / "out/train/labels/train2.txt").read_text() == "1 0.65 0.7 0.7 0.6\n"
    assert "1 images have another size than the file says, first: train1.png" in caplog.text


def test_images_of_one_stem_and_in_folders_keep_their_own_labels_in_yolo(tmp_path):
    names = ["a.png", "a.jpg", "b/a.png", "b__a.png"]
    data = {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 0, 10, 10], "area": 100} for n in range(4)
        ],
    }
    for split in ("train", "valid"):
        put(tmp_path / "in" / split / "_annotations.coco.json", json.dumps(data))
        for name in names:
            put(tmp_path / "in" / split / name, image_bytes(100, 100, "JPEG" if name.endswith("jpg") else "PNG"))
    convert(str(tmp_path / "in"), tmp_path / "out", target="yolo", images="copy")
    files = everything(tmp_path / "out/train")
    xs = {name: round(float(text.split()[1]) * 100 - 5) for name, text in files.items() if name.startswith("labels")}
    assert xs == {"labels/a.txt": 0, "labels/a_1.txt": 1, "labels/b__a.txt": 2, "labels/b__a_1.txt": 3}
    assert sorted(name for name in files if name.startswith("images")) == [
        "images/a.png", "images/a_1.jpg", "images/b__a.png", "images/b__a_1.png",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_size_is_read_from_the_header_of_every_kind(tmp_path, kind):
    write_yolo(tmp_path / "in")
    put(tmp_path / "in/train/images/train1.png", image_bytes(123, 45, kind))
    convert(str(tmp_path / "in"), tmp_path / "out")
    image = coco_of(tmp_path / "out")["images"][0]
    assert (image["width"], image["height"]) == (123, 45)


def test_size_is_found_behind_a_long_profile(tmp_path):
    from PIL import Image

    write_yolo(tmp_path / "in")
    Image.new("RGB", (123, 45)).save(tmp_path / "in/train/images/train1.png", "JPEG", icc_profile=b"x" * 300_000)
    convert(str(tmp_path / "in"), tmp_path / "out")
    assert coco_of(tmp_path / "out")["images"][0]["width"] == 123


def test_unreadable_header_is_an_error_that_names_the_image_and_leaves_nothing(tmp_path):
    source = write_yolo(tmp_path / "in")
    put(source / "valid/images/valid2.png", b"no image")
    with pytest.raises(DatasetError, match=r"unreadable-image \(1\).*valid/images/valid2.png"):
        convert(str(source), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_dataset_with_errors_is_not_converted(tmp_path):
    edit(write_coco(tmp_path / "in"), lambda data: data["annotations"][0].pop("area"))
    with pytest.raises(DatasetError, match="missing-area"):
        convert(str(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_failure_in_the_middle_leaves_the_earlier_result(tmp_path, monkeypatch):
    source = write_yolo(tmp_path / "in")
    convert(str(source), tmp_path / "out")
    before = everything(tmp_path / "out")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(transfer, "_bring", fail)
    with pytest.raises(OSError, match="disk full"):
        convert(str(source), tmp_path / "out", images="copy")
    assert everything(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


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


@pytest.mark.parametrize(("name", "value"), [("target", "voc"), ("images", "symlink")])
def test_unknown_choice_is_refused_with_the_allowed_ones(tmp_path, name, value):
    with pytest.raises(ParameterError, match=f"{name}: '{value}' is not valid. Give one of "):
        convert(str(write_yolo(tmp_path / "in")), tmp_path / "out", **{name: value})


def test_conversion_is_the_same_every_time(tmp_path):
    source = write_yolo(tmp_path / "in")
    for target in ("coco", "yolo"):
        for number in (1, 2):
            convert(str(source), tmp_path / f"{target}{number}", target=target)
        assert everything(tmp_path / f"{target}1") == everything(tmp_path / f"{target}2")


def test_s3_dataset_is_detected_and_converted_like_the_folder(tmp_path, s3_bucket):
    source = write_yolo(tmp_path / "in")
    upload(source, f"s3://{s3_bucket}/sets/one")
    here, there = detect(str(source)), detect(f"s3://{s3_bucket}/sets/one")
    assert (there.format, there.classes, there.splits) == (here.format, here.classes, here.splits)
    prepared = convert(f"s3://{s3_bucket}/sets/one/", tmp_path / "s3")
    convert(str(source), tmp_path / "local")
    for split in ("train", "valid", "test"):
        assert coco_of(tmp_path / "s3", split) == coco_of(tmp_path / "local", split)
    assert prepared.splits["train"].image_root == f"s3://{s3_bucket}/sets/one"
    convert(f"s3://{s3_bucket}/sets/one", tmp_path / "whole", images="copy")
    assert only_images(everything(tmp_path / "whole/train")) == only_images(everything(source / "train/images"))


def only_images(files):
    return {name: data for name, data in files.items() if name.endswith(".png")}


def test_s3_fingerprint_sees_another_image_of_the_same_size(tmp_path, s3_bucket):
    upload(write_coco(tmp_path), f"s3://{s3_bucket}/a")
    first = detect(f"s3://{s3_bucket}/a").fingerprint
    data = (tmp_path / "train/train1.png").read_bytes()
    put(tmp_path / "train/train1.png", data[:-1] + bytes([data[-1] ^ 1]))
    upload(tmp_path, f"s3://{s3_bucket}/a")
    assert detect(f"s3://{s3_bucket}/a").fingerprint != first


def test_empty_s3_prefix_is_refused(s3_bucket):
    with pytest.raises(DatasetError, match="does not exist or is empty"):
        detect(f"s3://{s3_bucket}/nothing")


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


def test_manifest_that_leaves_its_folder_is_refused(tmp_path):
    convert(str(write_yolo(tmp_path / "in")), tmp_path / "out")
    good = (tmp_path / "out/dataset.json").read_text()
    bad = [
        ("train/_annotations.coco.json", "../x.json", "is refused"),
        ('"file_name": "train1.png"', '"file_name": "/etc/passwd"', "is refused"),
        ("train/images/train1.png", "../../secret", "is refused"),
        ('"version": 1', '"version": 99', "version 99, wanted 1"),
        (f'"image_root": "{tmp_path}/in"', '"image_root": "http://x/y"', "'http' is not supported"),
        ('"splits"', '"parts"', "is not a manifest"),
    ]
    for old, new, message in bad:
        assert old in good
        (tmp_path / "out/dataset.json").write_text(good.replace(old, new))
        with pytest.raises(DatasetError, match=message):
            read_manifest(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(DatasetError, match=r"has no dataset\.json\. Make it with convert"):
        read_manifest(tmp_path / "out")


def test_two_entries_for_one_file_keep_all_boxes(tmp_path):
    edit(write_coco(tmp_path / "in"), lambda data: data["images"][1].update(file_name="train1.png"))
    (tmp_path / "in/train/train2.png").unlink()
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", target="yolo")
    assert len((tmp_path / "out/train/labels/train1.txt").read_text().splitlines()) == 3
    assert [image.file_name for image in prepared.splits["train"].images] == ["train1.png"]
    assert only(detect(str(write_coco(tmp_path / "x", ("train",)))), "missing-split").count == 1
