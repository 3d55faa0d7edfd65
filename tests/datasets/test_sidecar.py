"""The way back from YOLO when label files were edited since: what is unchanged keeps everything it had."""

import json

import pytest
from dataset_builders import edit, everything, image_bytes, put, write_coco

from rfdetr_train.datasets import convert, detect
from rfdetr_train.errors import DatasetError


def coco_of(folder, split="train"):
    return json.loads((folder / split / "_annotations.coco.json").read_text())


def rich(data):
    """Give everything something that a label file cannot hold."""
    data |= {"info": {"year": 2026}, "licenses": [{"id": 1, "name": "MIT"}]}
    data["categories"].insert(0, {"id": 1, "name": "pet", "supercategory": "none"})
    data["categories"][1]["supercategory"] = data["categories"][2]["supercategory"] = "pet"
    for annotation in data["annotations"]:
        annotation |= {"segmentation": [[10, 10, 20, 10, 20, 20], [30, 30, 40, 30, 40, 40.5]], "area": 87.5}
    crowd = {"size": [50, 100], "counts": [5000]}
    data["annotations"] += [
        {**data["annotations"][0], "id": 70, "iscrowd": 1, "segmentation": crowd},
        {**data["annotations"][0], "id": 71, "bbox": [5, 5, 0, 3]},
    ]


@pytest.fixture
def yolo(tmp_path):
    """A YOLO dataset that came from COCO."""
    source = write_coco(tmp_path / "in")
    for split in ("train", "valid", "test"):
        edit(source, rich, split)
    convert(str(source), tmp_path / "yolo", target="yolo", images="link")
    return tmp_path / "yolo"


def back(yolo):
    convert(str(yolo), yolo.parent / "back", images="link")
    return coco_of(yolo.parent / "back")


def labels(yolo, number):
    return yolo / f"train/labels/train{number}.txt"


def test_annotations_come_back_where_the_manifest_is_gone(yolo):
    (yolo / "dataset.json").unlink()
    assert back(yolo) == coco_of(yolo.parent / "in")


def test_rows_that_were_written_again_with_six_decimals_are_unchanged(yolo):
    for path in yolo.rglob("*.txt"):
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{row[0]} " + " ".join(f"{float(v):.6f}" for v in row[1:]) + "\r\n" for row in rows))
    assert back(yolo) == coco_of(yolo.parent / "in")


def test_removed_row_takes_its_annotation_and_no_other(yolo):
    lines = labels(yolo, 1).read_text().splitlines(keepends=True)
    labels(yolo, 1).write_text(lines[0])
    assert [a["id"] for a in back(yolo)["annotations"]] == [1, 3, 70, 71]


def test_new_row_becomes_an_annotation_with_an_id_of_its_own(yolo):
    labels(yolo, 2).write_text("0 0.5 0.5 0.2 0.4\n" + labels(yolo, 2).read_text())
    data = back(yolo)
    assert data["annotations"][:-1] == coco_of(yolo.parent / "in")["annotations"]
    new = data["annotations"][-1]
    assert (new["id"], new["image_id"], new["category_id"], new["iscrowd"]) == (72, 2, 3, 0)
    assert new["bbox"] == pytest.approx([40, 15, 20, 20])
    assert {k: v for k, v in data.items() if k != "annotations"} == {
        k: v for k, v in coco_of(yolo.parent / "in").items() if k != "annotations"
    }


def test_moved_box_is_a_new_annotation_and_rows_in_another_order_are_not(yolo):
    first, second = labels(yolo, 1).read_text().splitlines(keepends=True)
    labels(yolo, 1).write_text(second + first)
    assert back(yolo) == coco_of(yolo.parent / "in")
    labels(yolo, 1).write_text(second + "0 0.3 0.4 0.2 0.4\n")
    data = back(yolo)
    assert [a["id"] for a in data["annotations"]] == [2, 3, 70, 71, 72]
    assert "segmentation" not in data["annotations"][-1]


def test_row_with_another_class_is_a_new_annotation(yolo):
    labels(yolo, 2).write_text(labels(yolo, 2).read_text().replace("1 ", "0 ", 1))
    data = back(yolo)
    assert [(a["id"], a["category_id"]) for a in data["annotations"]] == [(1, 3), (2, 7), (70, 3), (71, 3), (72, 3)]


def test_duplicate_rows_belong_to_one_annotation_each(yolo):
    labels(yolo, 2).write_text(labels(yolo, 2).read_text() * 2)
    assert [a["id"] for a in back(yolo)["annotations"]] == [1, 2, 3, 70, 71, 72]


def test_removed_image_takes_its_annotations_and_a_new_one_gets_an_id(yolo):
    labels(yolo, 1).unlink()
    (yolo / "train/images/train1.png").unlink()
    put(yolo / "train/images/new.png", image_bytes(200, 100))
    labels(yolo, 2).with_name("new.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    data = back(yolo)
    assert data["images"] == [
        {"id": 2, "file_name": "train2.png", "width": 100, "height": 50},
        {"id": 3, "file_name": "new.png", "width": 200, "height": 100},
    ]
    assert [(a["id"], a["image_id"]) for a in data["annotations"]] == [(3, 2), (72, 3)]
    assert data["annotations"][1]["bbox"] == [50, 25, 100, 50]


def test_image_of_another_size_keeps_no_pixels(yolo):
    put(yolo / "train/images/train1.png", image_bytes(200, 100))
    data = back(yolo)
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (200, 100)
    assert [a["id"] for a in data["annotations"]] == [3, 72, 73]
    assert data["annotations"][1]["bbox"] == pytest.approx([20, 20, 40, 40])


def test_classes_are_told_by_name_when_data_yaml_was_edited(yolo):
    path = yolo / "data.yaml"
    path.write_text(path.read_text().replace("- cat\n- dog\n", "- dog\n- cat\n- bird\n").replace("nc: 2", "nc: 3"))
    for file in yolo.rglob("*.txt"):
        swapped = {"0": "1", "1": "0"}
        file.write_text("".join(swapped[line[0]] + line[1:] + "\n" for line in file.read_text().splitlines()))
    prepared = convert(str(yolo), yolo.parent / "back")
    data = coco_of(yolo.parent / "back")
    names = {c["id"]: c["name"] for c in data["categories"]}
    before = coco_of(yolo.parent / "in")
    old = {c["id"]: c["name"] for c in before["categories"]}
    assert [(a["id"], names[a["category_id"]]) for a in data["annotations"]] == [
        (a["id"], old[a["category_id"]]) for a in before["annotations"]
    ]
    assert [(c.id, c.name, c.label) for c in prepared.categories] == [(1, "dog", 0), (2, "cat", 1), (3, "bird", 2)]
    assert detect(str(yolo.parent / "back")).classes == ["dog", "cat", "bird"]


def test_images_in_folders_and_of_one_stem_get_their_names_back(tmp_path):
    source = write_coco(tmp_path / "in")
    names = ["a/x.png", "a__x.jpg"]

    def rename(data):
        for image, name in zip(data["images"], names, strict=True):
            image["file_name"] = name

    for split in ("train", "valid", "test"):
        for name, kind in zip(names, ("PNG", "JPEG"), strict=True):
            put(source / split / name, image_bytes(100, 50, kind, sum(split.encode()) % 100))
        edit(source, rename, split)
    convert(str(source), tmp_path / "yolo", target="yolo", images="link")
    assert sorted(p.name for p in (tmp_path / "yolo/train/images").iterdir()) == ["a__x.png", "a__x_1.jpg"]
    convert(str(tmp_path / "yolo"), tmp_path / "back", images="link")
    for split in ("train", "valid", "test"):
        assert coco_of(tmp_path / "back", split) == coco_of(source, split)
        assert (tmp_path / "back" / split / "a/x.png").is_file()


def test_yolo_to_yolo_keeps_the_sidecar(yolo):
    convert(str(yolo), yolo.parent / "again", target="yolo", images="link")
    convert(str(yolo.parent / "again"), yolo.parent / "back")
    assert coco_of(yolo.parent / "back") == coco_of(yolo.parent / "in")


def test_labels_alone_are_converted_when_the_sidecar_is_removed(yolo):
    for path in sorted((yolo / "sidecar").iterdir()):
        path.unlink()
    data = back(yolo)
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3]
    assert [c["name"] for c in data["categories"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index", "{"),
        ("index", '{"version": 9, "outlines": false, "names": {}}'),
        ("train.coco", '{"images": ['),
        ("train.coco", '{"images": [{"id": "a", "file_name": "x.png"}], "categories": []}'),
    ],
)
def test_damaged_sidecar_is_refused_with_the_way_out(yolo, name, text):
    (yolo / "sidecar" / name).unlink()
    (yolo / "sidecar" / name).write_text(text)
    with pytest.raises(DatasetError, match="Restore the folder 'sidecar', or remove it to convert from the labels"):
        back(yolo)


def test_sidecar_of_other_images_and_classes_restores_nothing(yolo):
    (yolo / "sidecar/train.coco").write_text('{"images": [{"id": 1, "file_name": "/x"}], "categories": []}')
    data = back(yolo)
    assert [image["file_name"] for image in data["images"]] == ["train1.png", "train2.png"]
    assert [(a["id"], a["category_id"]) for a in data["annotations"]] == [(1, 1), (2, 2), (3, 2)]


def test_sidecar_cannot_name_files_outside_the_result(yolo):
    index = yolo / "sidecar/index"
    index.write_text(json.dumps({"version": 1, "outlines": False, "names": {"train": {"train1.png": "../../x.png"}}}))
    before = sorted(path.name for path in yolo.parent.iterdir())
    with pytest.raises(DatasetError, match=r"'\.\./\.\./x\.png' is refused"):
        back(yolo)
    assert sorted(path.name for path in yolo.parent.iterdir()) == before


def test_another_sidecar_gives_another_fingerprint(yolo):
    first = convert(str(yolo), yolo.parent / "one")
    path = yolo / "sidecar/train.coco"
    path.write_text(path.read_text().replace("87.5", "88.5"))
    second = convert(str(yolo), yolo.parent / "two")
    assert first.source_fingerprint == second.source_fingerprint == detect(str(yolo)).fingerprint
    assert first.fingerprint != second.fingerprint


def test_sidecar_is_no_dataset_to_a_reader_of_the_labels(yolo):
    report = detect(str(yolo))
    assert (report.format, report.layout, [finding.code for finding in report.findings]) == ("yolo", "roboflow", [])
    assert {name for name in everything(yolo) if name.startswith("sidecar")} == {
        "sidecar/index", "sidecar/train.coco", "sidecar/valid.coco", "sidecar/test.coco",
    }  # fmt: skip
