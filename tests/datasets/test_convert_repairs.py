"""What a COCO annotation file gets when it cannot stay as it is, and what it keeps."""

import json

import pytest
from dataset_builders import edit, everything, image_bytes, put, write_coco

from rfdetr_train.datasets import convert, detect
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.errors import DatasetError

WARN = Policy(on_error="warn")


def coco_of(folder, split="train"):
    return json.loads((folder / split / "_annotations.coco.json").read_text())


def converted(tmp_path, change, split="train", policy=WARN, **options):
    """Convert a dataset with a change to a split, and return the manifest and the split."""
    edit(write_coco(tmp_path / "in"), change, split)
    prepared = convert(str(tmp_path / "in"), tmp_path / "out", policy=policy, **options)
    return prepared, coco_of(tmp_path / "out", split)


def strings(data):
    for entry in [*data["images"], *data["categories"], *data["annotations"]]:
        entry["id"] = f"id-{entry['id']}"
    for annotation in data["annotations"]:
        annotation.update(image_id=f"id-{annotation['image_id']}", category_id=f"id-{annotation['category_id']}")


def test_string_ids_become_numbers_and_stay_beside_them(tmp_path):
    source = write_coco(tmp_path / "in")
    for split in ("train", "valid", "test"):
        edit(source, strings, split)
    prepared = convert(str(source), tmp_path / "out")
    data = coco_of(tmp_path / "out")
    assert [(image["id"], image["source_id"]) for image in data["images"]] == [(1, "id-1"), (2, "id-2")]
    assert [(c["id"], c["source_id"], c["name"]) for c in data["categories"]] == [
        (1, "id-3", "cat"),
        (2, "id-7", "dog"),
    ]
    assert [(a["id"], a["source_id"], a["image_id"], a["category_id"]) for a in data["annotations"]] == [
        (1, "id-1", 1, 1), (2, "id-2", 1, 2), (3, "id-3", 2, 2),
    ]  # fmt: skip
    assert [(c.id, c.source_id) for c in prepared.categories] == [(1, "id-3"), (2, "id-7")]
    assert prepared.changes == {"string-id": 21}
    detect(str(tmp_path / "out"))


def test_decimal_and_missing_ids_become_whole_numbers(tmp_path):
    def change(data):
        data["images"][0]["id"] = data["annotations"][0]["image_id"] = data["annotations"][1]["image_id"] = 1.0
        del data["annotations"][1]["id"]

    prepared, data = converted(tmp_path, change)
    text = (tmp_path / "out/train/_annotations.coco.json").read_text()
    assert [image["id"] for image in data["images"]] == [1, 2]
    assert [(a["id"], a["image_id"]) for a in data["annotations"]] == [(1, 1), (4, 1), (3, 2)]
    assert '"image_id": 1.0' not in text and '"image_id":1.0' not in text
    assert prepared.changes == {"string-id": 1}


def test_missing_area_becomes_width_times_height_and_nothing_else_changes(tmp_path):
    def change(data):
        data["info"] = {"year": 2026, "url": None}
        data["licenses"] = [{"id": 1, "name": "MIT"}]
        data["annotations"][0] |= {"segmentation": [[1, 2, 3, 4, 5, 6.50]], "attributes": {"occluded": True}}
        data["annotations"][1].pop("area")
        data["images"][0]["flickr_url"] = "http://x"

    prepared, data = converted(tmp_path, change)
    expected = coco_of(tmp_path / "in")
    expected["annotations"][1]["area"] = pytest.approx(50.5 * 25.25)
    assert data == expected
    assert list(data) == list(expected)
    assert prepared.changes == {"missing-area": 1}


def test_entry_that_does_not_change_keeps_its_bytes(tmp_path):
    write_coco(tmp_path / "in")
    path = tmp_path / "in/train/_annotations.coco.json"
    text = path.read_text().replace('"bbox": [10, 10, 20, 20]', '"bbox": [1.0e1,10.000,  20,2E1]')
    path.write_text(text.replace(', "area": 1275.125', ""))
    convert(str(tmp_path / "in"), tmp_path / "out")
    written = (tmp_path / "out/train/_annotations.coco.json").read_text()
    assert '"bbox": [1.0e1,10.000,  20,2E1], "area": 400, "iscrowd": 0}' in written
    # A split that nothing is wrong with is copied.
    for split in ("valid", "test"):
        assert (tmp_path / "out" / split / path.name).read_bytes() == (tmp_path / "in" / split / path.name).read_bytes()


def test_doubled_annotation_ids_are_numbered_anew(tmp_path):
    prepared, data = converted(tmp_path, lambda data: data["annotations"][2].update(id=1))
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3]
    assert prepared.changes == {"duplicate-annotation-id": 1}


def test_two_entries_for_one_file_become_one_image_with_all_annotations(tmp_path):
    prepared, data = converted(tmp_path, lambda data: data["images"][1].update(file_name="./train1.png"))
    assert [image["id"] for image in data["images"]] == [1]
    assert [(a["id"], a["image_id"]) for a in data["annotations"]] == [(1, 1), (2, 1), (3, 1)]
    assert prepared.changes == {"duplicate-file-name": 1}
    assert len(prepared.splits["train"].images) == 1


def test_swapped_class_names_of_valid_are_refused_and_matched_by_name_on_demand(tmp_path):
    def change(data):
        data["categories"] = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]

    with pytest.raises(DatasetError, match="category-mismatch"):
        converted(tmp_path, change, "valid", Policy())
    prepared, data = converted(tmp_path, change, "valid")
    assert {c["name"]: c["id"] for c in data["categories"]} == {"cat": 3, "dog": 7}
    # What the file called 3 was dog.
    assert [a["category_id"] for a in data["annotations"]] == [7, 3, 3]
    assert [(c.id, c.name) for c in prepared.categories] == [(3, "cat"), (7, "dog")]
    assert prepared.changes == {"category-renumbered": 2}
    train = "train/_annotations.coco.json"
    assert everything(tmp_path / "out")[train] == everything(tmp_path / "in")[train]


def test_two_classes_with_one_name_are_merged_on_demand(tmp_path):
    def change(data):
        data["categories"].append({"id": 9, "name": "cat"})
        data["annotations"][2]["category_id"] = 9

    with pytest.raises(DatasetError, match="duplicate-class-name"):
        converted(tmp_path, change, policy=Policy())
    prepared, data = converted(tmp_path, change)
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(3, "cat"), (7, "dog")]
    assert [a["category_id"] for a in data["annotations"]] == [3, 7, 3]
    assert prepared.classes == ["cat", "dog"]


def test_split_that_lacks_a_class_gets_it_for_the_evaluation(tmp_path):
    def change(data):
        data["categories"].pop()
        data["annotations"] = data["annotations"][:1]

    _, data = converted(tmp_path, change, "valid")
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(3, "cat"), (7, "dog")]


def test_wrong_and_missing_sizes_are_those_of_the_images(tmp_path):
    def change(data):
        data["images"][0].update(width=64, height=64)
        del data["images"][1]["width"]

    prepared, data = converted(tmp_path, change)
    assert [(image["width"], image["height"]) for image in data["images"]] == [(100, 50), (100, 50)]
    assert prepared.changes == {"missing-size": 1, "size-mismatch": 1}


def test_box_over_the_edge_stays_in_coco_as_an_evaluation_wants_it(tmp_path):
    prepared, data = converted(tmp_path, lambda data: data["annotations"][0].update(bbox=[90, 10, 20, 20]))
    assert data == coco_of(tmp_path / "in")
    assert prepared.changes == {}


def test_byte_order_mark_and_nan_are_removed(tmp_path):
    write_coco(tmp_path / "in")
    path = tmp_path / "in/train/_annotations.coco.json"
    good = path.read_text()
    path.write_text("\ufeff" + good)
    convert(str(tmp_path / "in"), tmp_path / "out")
    assert coco_of(tmp_path / "out") == json.loads(good)
    path.write_text(good.replace('"area": 400', '"area": NaN'))
    convert(str(tmp_path / "in"), tmp_path / "out")
    assert coco_of(tmp_path / "out") == json.loads(good)


def test_parent_category_that_lost_its_annotations_stays_a_class(tmp_path):
    def change(data):
        # An annotated parent is a class; the policy then takes its only annotation away.
        data["categories"] = [{"id": 1, "name": "pet"}] + [{**c, "supercategory": "pet"} for c in data["categories"]]
        data["annotations"].append({**data["annotations"][0], "id": 9, "category_id": 1, "bbox": [5, 5, 0, 0]})

    prepared, data = converted(tmp_path, change, policy=Policy(on_warning="drop"))
    assert prepared.classes == ["pet", "cat", "dog"]
    from rfdetr_train.datasets.coco import CocoCategory, training_categories

    categories = [CocoCategory(c["id"], c["name"], c.get("supercategory")) for c in data["categories"]]
    annotated = {a["category_id"] for a in data["annotations"]}
    assert [c.name for c in training_categories(categories, annotated)] == prepared.classes


def test_image_that_is_missing_is_left_out_with_its_annotations_under_warn(tmp_path):
    def change(data):
        data["images"].append({"id": 5, "file_name": "gone.png", "width": 100, "height": 50})
        data["annotations"].append({**data["annotations"][0], "id": 5, "image_id": 5})

    prepared, data = converted(tmp_path, change)
    assert data == {
        **coco_of(tmp_path / "in"),
        **{k: coco_of(tmp_path / "in")[k][:-1] for k in ("images", "annotations")},
    }
    assert prepared.changes == {"dropped-image": 1}


def test_result_of_a_repair_needs_none(tmp_path):
    source = write_coco(tmp_path / "in")
    put(source / "train/x.png", image_bytes(10, 10))
    for split in ("train", "valid", "test"):
        edit(source, strings, split)
        edit(source, lambda data: data["annotations"][0].pop("area"), split)
    convert(str(source), tmp_path / "once", images="link")
    again = convert(str(tmp_path / "once"), tmp_path / "twice")
    assert again.changes == {}
    assert again.findings == []
    for split in ("train", "valid", "test"):
        assert coco_of(tmp_path / "once", split) == coco_of(tmp_path / "twice", split)
