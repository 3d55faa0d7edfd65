"""COCO annotation files as tables: what is read, and what is refused by name."""

import json

import numpy as np
import pytest
from dataset_builders import coco_split, codes_of, edit, finding, put, write_coco

from rfdetr_train.datasets import coco
from rfdetr_train.datasets.reading import open_dataset
from rfdetr_train.datasets.table import NO_CLASS, UNKNOWN, Category
from rfdetr_train.errors import DatasetError

TRAIN = "train/_annotations.coco.json"


def change_categories(root, categories, split="train"):
    return edit(root, lambda data: data.update(categories=categories), split)


def test_table_holds_the_columns_of_the_file(tmp_path):
    def change(data):
        data["annotations"][1]["iscrowd"] = 1
        data["annotations"][2]["id"] = 77
        data["images"].append({"id": 9, "file_name": "./gone.png"})

    dataset = open_dataset(str(edit(write_coco(tmp_path), change)))
    table = dataset.tables["train"]
    assert list(dataset.tables) == ["train", "valid", "test"]
    assert dataset.categories == [Category(3, "cat", 0), Category(7, "dog", 1)]
    assert table.images.names == ["train1.png", "train2.png", "gone.png"]
    assert table.images.keys == ["train/train1.png", "train/train2.png", ""]
    assert list(table.images.ids) == [1, 2, 9]
    assert table.images.sizes.tolist() == [[100, 50], [100, 50], [0, 0]]
    assert table.boxes.image.tolist() == [0, 0, 1]
    assert table.boxes.label.tolist() == [0, 1, 1]
    assert table.boxes.crowd.tolist() == [False, True, False]
    assert table.boxes.place.tolist() == [1, 2, 77]
    assert table.boxes.xywh.tolist() == [[10, 10, 20, 20], [0, 0, 50.5, 25.25], [30, 20, 70, 30]]
    assert table.where(2) == f"{TRAIN}: annotation 77"
    assert (table.relative, table.image_root, table.annotations) == (False, "train", TRAIN)


def test_numbers_are_the_ones_of_the_file_to_the_last_bit(tmp_path):
    numbers = [0.1, 1e-7, 12.345678901234567, 3.0000000000000004]
    write_coco(tmp_path)
    edit(tmp_path, lambda data: data["annotations"][0].update(bbox=numbers))
    assert open_dataset(str(tmp_path)).tables["train"].boxes.xywh[0].tolist() == numbers


def test_more_annotations_than_a_chunk_are_all_read(tmp_path, monkeypatch):
    write_coco(tmp_path)
    whole = open_dataset(str(tmp_path)).tables["train"].boxes
    monkeypatch.setattr("rfdetr_train.datasets.coco_columns._CHUNK", 2)
    parts = open_dataset(str(tmp_path)).tables["train"].boxes
    for column in ("image", "label", "xywh", "crowd", "place"):
        assert np.array_equal(getattr(parts, column), getattr(whole, column))


def test_categories_of_other_splits_are_matched_by_name(tmp_path):
    write_coco(tmp_path)
    change_categories(tmp_path, [{"id": 4, "name": "dog"}, {"id": 8, "name": "cat"}], "valid")
    edit(tmp_path, lambda data: [item.update(category_id=4) for item in data["annotations"]], "valid")
    dataset = open_dataset(str(tmp_path))
    assert dataset.tables["valid"].boxes.label.tolist() == [1, 1, 1]
    assert finding(dataset, "category-renumbered").examples[0] == "valid/_annotations.coco.json: category 4 'dog'"
    assert codes_of(dataset) == ["category-renumbered"]


def test_swapped_names_are_an_error_and_never_relabel(tmp_path):
    write_coco(tmp_path)
    change_categories(tmp_path, [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}], "valid")
    dataset = open_dataset(str(tmp_path))
    assert dataset.tables["valid"].boxes.label.tolist() == [1, 0, 0]
    assert finding(dataset, "category-mismatch").severity == "error"


def test_category_that_train_does_not_have_is_no_class(tmp_path):
    write_coco(tmp_path)
    edit(tmp_path, lambda data: data["categories"].append({"id": 9, "name": "fox"}), "valid")
    unused = open_dataset(str(tmp_path))
    assert codes_of(unused) == []
    edit(tmp_path, lambda data: data["annotations"][0].update(category_id=9), "valid")
    dataset = open_dataset(str(tmp_path))
    assert dataset.tables["valid"].boxes.label.tolist() == [NO_CLASS, 1, 1]
    found = finding(dataset, "class-only-in-valid")
    assert (found.count, found.examples) == (1, ["valid/_annotations.coco.json: annotation 1, 'fox'"])


def test_classes_of_one_name_become_one_and_are_an_error_where_both_are_used(tmp_path):
    write_coco(tmp_path)
    change_categories(tmp_path, [{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}])
    dataset = open_dataset(str(tmp_path))
    assert dataset.categories == [Category(3, "cat", 0)]
    assert dataset.tables["train"].boxes.label.tolist() == [0, 0, 0]
    assert finding(dataset, "duplicate-class-name").severity == "error"


def test_unused_class_of_the_same_name_is_merged_with_a_warning(tmp_path):
    """Roboflow names the parent of all classes after the project, which may have the name of a class."""
    categories = [{"id": 0, "name": "cat"}, {"id": 3, "name": "cat", "supercategory": "cat"}, {"id": 7, "name": "dog"}]
    write_coco(tmp_path)
    for split in ("train", "valid", "test"):
        change_categories(tmp_path, categories, split)
    dataset = open_dataset(str(tmp_path))
    assert [category.name for category in dataset.categories] == ["cat", "dog"]
    assert [(item.code, item.severity, item.count) for item in dataset.findings.to_list()] == [
        ("duplicate-class-name", "warning", 1)
    ]


def test_string_ids_are_read(tmp_path):
    def change(data):
        for key in ("images", "annotations", "categories"):
            for item in data[key]:
                item["id"] = f"x{item['id']}"
        for item in data["annotations"]:
            item.update(image_id=f"x{item['image_id']}", category_id=f"x{item['category_id']}")

    write_coco(tmp_path)
    for split in ("train", "valid", "test"):
        edit(tmp_path, change, split)
    dataset = open_dataset(str(tmp_path))
    table = dataset.tables["train"]
    assert dataset.categories == [Category("x3", "cat", 0), Category("x7", "dog", 1)]
    assert table.boxes.image.tolist() == [0, 0, 1]
    assert table.boxes.label.tolist() == [0, 1, 1]
    assert table.boxes.place.tolist() == [0, 1, 2]
    assert table.where(1) == f"{TRAIN}: annotation x2"
    found = finding(dataset, "string-id")
    assert (found.severity, found.count) == ("warning", 3 * 7)


def test_decimal_ids_are_the_numbers_that_they_are(tmp_path):
    def change(data):
        for key in ("images", "annotations", "categories"):
            for item in data[key]:
                item["id"] = float(item["id"])
        data["annotations"][1]["image_id"] = 1.0

    write_coco(tmp_path)
    for split in ("train", "valid", "test"):
        edit(tmp_path, change, split)
    dataset = open_dataset(str(tmp_path))
    assert [type(category.id) for category in dataset.categories] == [int, int]
    assert [type(id_) for id_ in dataset.tables["train"].images.ids] == [int, int]
    assert dataset.tables["train"].boxes.image.tolist() == [0, 0, 1]
    assert dataset.tables["train"].boxes.label.tolist() == [0, 1, 1]
    assert codes_of(dataset) == ["string-id"]
    assert finding(dataset, "string-id").count == 3 * 7


@pytest.mark.parametrize(
    ("ids", "place"), [([None, None, None], "annotations[1]"), ([1, 1 << 70, 3], f"annotation {1 << 70}")]
)
def test_annotations_without_usable_ids_are_named_by_what_they_have(tmp_path, ids, place):
    def change(data):
        for item, id_ in zip(data["annotations"], ids, strict=True):
            item["id"] = id_

    dataset = open_dataset(str(edit(write_coco(tmp_path), change)))
    assert dataset.tables["train"].where(1) == f"{TRAIN}: {place}"
    assert dataset.tables["train"].boxes.place.tolist() == [0, 1, 2]
    assert codes_of(dataset) == (["string-id"] if None in ids else [])


def test_annotation_of_a_null_category_or_image_is_a_finding_and_not_unreadable(tmp_path):
    write_coco(tmp_path)
    edit(tmp_path, lambda data: data["annotations"][0].pop("category_id"))
    edit(tmp_path, lambda data: data["annotations"][1].pop("image_id"))
    dataset = open_dataset(str(tmp_path))
    assert dataset.tables["train"].boxes.label.tolist() == [UNKNOWN, 1, 1]
    assert finding(dataset, "unknown-category").examples == [f"{TRAIN}: annotation 1, category_id None"]
    assert finding(dataset, "unknown-image").examples == [f"{TRAIN}: annotation 2, image_id None"]


@pytest.mark.parametrize("bbox", [None, [], [1, 2, 3], [1, 2, 3, 4, 5]])
def test_box_of_other_than_four_numbers_is_missing(tmp_path, bbox):
    write_coco(tmp_path)
    edit(tmp_path, lambda data: data["annotations"][1].update(bbox=bbox))
    dataset = open_dataset(str(tmp_path))
    assert np.isnan(dataset.tables["train"].boxes.xywh[1]).all()
    assert finding(dataset, "missing-bbox").examples == [f"{TRAIN}: annotation 2"]
    assert codes_of(dataset) == ["missing-bbox"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nan_that_json_does_not_have_is_a_degenerate_box(tmp_path, number):
    write_coco(tmp_path)
    edit(tmp_path, lambda data: data["annotations"][1].update(bbox=[1, float(number), 3, 4], area=float("nan")))
    dataset = open_dataset(str(tmp_path))
    assert codes_of(dataset) == ["missing-area", "degenerate-box", "nan-in-json"]
    assert finding(dataset, "degenerate-box").examples == [f"{TRAIN}: annotation 2"]
    assert finding(dataset, "nan-in-json").examples == [TRAIN]
    assert dataset.tables["train"].boxes.label.tolist() == [0, 1, 1]


def test_byte_order_mark_is_read_over(tmp_path):
    path = write_coco(tmp_path) / TRAIN
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    dataset = open_dataset(str(tmp_path))
    assert len(dataset.tables["train"].boxes) == 3
    assert finding(dataset, "byte-order-mark").examples == [TRAIN]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("images"), "required field 'images'"),
        (lambda data: data["images"][1].pop("file_name"), r"required field 'file_name' at images\[1\]"),
        (lambda data: data["categories"][0].update(name=5), r"Expected 'str', got 'int' at categories\[.\].name"),
        (lambda data: data["annotations"][0].update(bbox=[1, "2", 3, 4]), r"got 'str' at annotations\[.\].bbox"),
        (lambda data: data["annotations"][0].update(image_id=[1]), r"got 'array' at annotations\[0\].image_id"),
        (lambda data: data.update(annotations={}), "Expected 'array', got 'object' at annotations"),
    ],
)
def test_wrong_type_is_refused_with_its_place(tmp_path, change, message):
    edit(write_coco(tmp_path), change)
    with pytest.raises(DatasetError, match=f"^{TRAIN} is not a COCO annotation file: .*{message}"):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"{", b'{"images": [', b"\xff\xfe{", b'{"images": [NaN'])
def test_file_that_is_no_json_is_refused(tmp_path, data):
    put(write_coco(tmp_path) / TRAIN, data)
    with pytest.raises(DatasetError, match=f"{TRAIN} cannot be read as JSON"):
        open_dataset(str(tmp_path))


def test_file_of_endless_depth_is_refused(tmp_path):
    put(write_coco(tmp_path) / TRAIN, b'{"info": ' + b"[" * 1_000_000)
    with pytest.raises(DatasetError, match=f"{TRAIN} cannot be read as JSON"):
        open_dataset(str(tmp_path))


def test_annotation_file_over_the_limit_is_refused_unread_with_the_limit_named(tmp_path, monkeypatch):
    monkeypatch.setattr("rfdetr_train.datasets.coco_reader.MAX_BYTES", 100)
    with pytest.raises(DatasetError, match=f"{TRAIN} is larger than 100 bytes"):
        open_dataset(str(write_coco(tmp_path)))
    assert coco.MAX_BYTES < 5_000_000_000


def test_two_files_for_one_split_are_refused(tmp_path):
    put(write_coco(tmp_path) / "val/_annotations.coco.json", json.dumps(coco_split("valid")))
    with pytest.raises(DatasetError, match=r"'valid'"):
        open_dataset(str(tmp_path))


POLYGONS = {
    "two parts": ([[0, 0, 10, 0, 10, 10], [1, 1, 2, 1, 2, 2, 1, 2]], [[[0, 0], [10, 0], [10, 10]], 4]),
    "two points": ([[0, 0, 10, 0]], None),
    "odd": ([[0, 0, 10, 0, 10, 10, 3]], None),
    "flat": ([0, 0, 10, 0, 10, 10], None),
    "text": ([["a"]], None),
}


@pytest.mark.parametrize("name", POLYGONS)
def test_polygons_are_read_where_they_are_asked_for(tmp_path, name):
    segmentation, expected = POLYGONS[name]
    edit(write_coco(tmp_path), lambda data: data["annotations"][2].update(segmentation=segmentation))
    assert open_dataset(str(tmp_path)).tables["train"].polygons == {}
    dataset = open_dataset(str(tmp_path), polygons=True)
    polygons = dataset.tables["train"].polygons
    if expected is None:
        assert polygons == {}
        assert finding(dataset, "malformed-polygon").examples == [f"{TRAIN}: annotation 3"]
    else:
        assert list(polygons) == [2]
        assert polygons[2][0].tolist() == expected[0]
        assert len(polygons[2][1]) == expected[1]
        assert codes_of(dataset) == []


@pytest.mark.parametrize("nan", [False, True])
def test_masks_and_empty_segmentations_are_no_polygons(tmp_path, nan):
    def change(data):
        data["annotations"][0]["segmentation"] = {"size": [50, 100], "counts": "abc"}
        data["annotations"][1]["segmentation"] = []
        data["annotations"][2]["segmentation"] = [[0, 0, 10, 0, 10, 10]]
        data["annotations"][2]["area"] = float("nan") if nan else 1

    dataset = open_dataset(str(edit(write_coco(tmp_path), change)), polygons=True)
    assert list(dataset.tables["train"].polygons) == [2]
    assert "malformed-polygon" not in codes_of(dataset)


@pytest.mark.parametrize(
    ("change", "task"),
    [
        (lambda data: None, "detect"),
        (lambda data: data["annotations"][0].update(segmentation=[]), "detect"),
        (lambda data: data["annotations"][0].update(segmentation=[[0, 0, 1, 0, 1, 1]]), "segment"),
        (lambda data: data["annotations"][0].update(segmentation={"size": [1, 1], "counts": "a"}), "segment"),
        (lambda data: data["annotations"][0].update(segmentation={"counts": "a"}, iscrowd=1), "detect"),
        (lambda data: data["categories"][0].update(keypoints=["nose"]), "pose"),
    ],
)
def test_task_is_told_from_what_annotations_have(tmp_path, change, task):
    assert open_dataset(str(edit(write_coco(tmp_path), change))).task == task


def test_image_folder_is_the_one_that_has_the_images(tmp_path):
    write_coco(tmp_path, place="annotations/instances_{}2017.json", images="images/{}2017")
    dataset = open_dataset(str(tmp_path))
    assert dataset.tables["valid"].image_root == "images/valid2017"
    assert dataset.tables["valid"].images.keys == ["images/valid2017/valid1.png", "images/valid2017/valid2.png"]


@pytest.mark.parametrize("size", [None, 0, -5, float("nan"), 1e300])
def test_size_that_no_image_has_is_a_missing_size(tmp_path, size):
    dataset = open_dataset(str(edit(write_coco(tmp_path), lambda data: data["images"][0].update(width=size))))
    assert dataset.tables["train"].images.sizes.tolist() == [[0, 50], [100, 50]]
    assert finding(dataset, "missing-size").examples == [f"{TRAIN}: image 1 'train1.png'"]
