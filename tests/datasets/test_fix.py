"""A normalised copy: what is wrong is put right or left out, and what is written has nothing to find any more."""

import json

import pytest
from dataset_builders import codes, edit, everything, image_bytes, put, write_coco, write_yolo

from rfdetr_train.datasets import detect
from rfdetr_train.datasets.fix import fix
from rfdetr_train.datasets.inspect import inspect
from rfdetr_train.errors import DatasetError


def coco_of(folder, split="train"):
    return json.loads((folder / split / "_annotations.coco.json").read_text())


def test_coco_copy_has_nothing_to_find_and_the_original_stays(tmp_path):
    def change(data):
        first = data["annotations"][0]
        data["annotations"] += [
            {**first, "id": 10, "bbox": [90, 40, 20, 20], "area": 400},
            {**first, "id": 11, "bbox": [5, 5, 0, 3]},
            {**first, "id": 12, "image_id": 99},
            {**first, "id": 13, "category_id": 99},
            {**first, "id": 1},
        ]
        data["annotations"][1].pop("area")
        data["images"][1].update(width=7)
        data["images"].append({"id": 3, "file_name": "gone.png", "width": 100, "height": 50})

    source = edit(write_coco(tmp_path / "in"), change)
    before = everything(source)
    fixed = fix(str(source), tmp_path / "out")
    assert everything(source) == before
    # The size was corrected, so that the box of the second image is inside of it.
    assert fixed.changes == {
        "box-outside-image": 1,
        "degenerate-box": 1,
        "dropped-image": 1,
        "duplicate-annotation-id": 1,
        "missing-area": 1,
        "size-mismatch": 1,
        "unknown-category": 1,
        "unknown-image": 1,
    }
    assert [a["bbox"] for a in coco_of(tmp_path / "out")["annotations"]] == [
        [10, 10, 20, 20], [0, 0, 50.5, 25.25], [30, 20, 70, 30], [90, 40, 10, 10], [10, 10, 20, 20],
    ]  # fmt: skip
    assert [a["id"] for a in coco_of(tmp_path / "out")["annotations"]] == [1, 2, 3, 10, 11]
    assert codes(inspect(str(tmp_path / "out"), images=False)) == ["duplicate-box"]
    assert fixed.format == "coco"


def test_yolo_copy_has_nothing_to_find(tmp_path):
    source = write_yolo(
        tmp_path / "in", "path: /content/x\ntrain: train/images\nval: valid/images\nnames: [cat, dog]\n"
    )
    put(
        source / "train/labels/train2.txt",
        "\ufeff1 0.5 0.5 0.1 0.1\r\n1,0 0,5 0,5 0,1 0,2\r\n9 0.5 0.5 0.1 0.1\nx\n0 0.95 0.5 0.2 0.1\n0 0.1 0.1 0 0\n",
    )
    put(source / "train/labels/orphan.txt", "0 0.5 0.5 0.1 0.1\n")
    put(source / "valid/images/valid2.png", b"no image")
    fixed = fix(str(source), tmp_path / "out")
    assert (fixed.format, fixed.images) == ("yolo", "link")
    files = everything(tmp_path / "out")
    rows = [line.split() for line in files["train/labels/train2.txt"].decode().splitlines()]
    assert [[float(v) for v in row] for row in rows] == [
        pytest.approx(row) for row in ([1, 0.5, 0.5, 0.1, 0.1], [1, 0.5, 0.5, 0.1, 0.2], [0, 0.925, 0.5, 0.15, 0.1])
    ]
    assert "train/labels/orphan.txt" not in files
    assert "valid/labels/valid2.txt" not in files
    assert codes(inspect(str(tmp_path / "out"), images=False)) == []


def test_categories_of_valid_that_differ_are_matched_by_name(tmp_path):
    def change(data):
        data["categories"] = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]

    source = edit(write_coco(tmp_path / "in"), change, "valid")
    fix(str(source), tmp_path / "out")
    assert [a["category_id"] for a in coco_of(tmp_path / "out", "valid")["annotations"]] == [7, 3, 3]
    detect(str(tmp_path / "out")).raise_for_errors()


def test_what_only_the_owner_can_put_right_is_refused(tmp_path):
    source = edit(write_coco(tmp_path / "in"), lambda data: data["images"][1].update(id=1))
    with pytest.raises(DatasetError, match=r"(?s)1 kind of error.*duplicate-image-id"):
        fix(str(source), tmp_path / "out")


def test_dataset_without_faults_is_copied_byte_for_byte(tmp_path):
    for name, source in (("coco", write_coco(tmp_path / "c")), ("yolo", write_yolo(tmp_path / "y"))):
        put(source / "train" / "unused.png", image_bytes(9, 9))
        assert fix(str(source), tmp_path / name).changes == {}
    assert coco_of(tmp_path / "coco") == coco_of(tmp_path / "c")
    assert {k: v for k, v in everything(tmp_path / "yolo").items() if "/" in k} == {
        k: v for k, v in everything(tmp_path / "y").items() if "/" in k and "unused" not in k
    }
