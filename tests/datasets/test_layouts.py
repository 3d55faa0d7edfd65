"""Which layout is told from which files: every export that people have, as a listing and a few small files."""

import json

import pytest

from rfdetr_train.datasets.layouts import find_layout, tree
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import open_store

COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }
)
ROW = "0 0.5 0.5 0.1 0.1\n"
NAMES = "names: [cat, dog]\n"


def layout_of(tmp_path, files, **options):
    """Write files, a list for empty ones or a dict with content, and return their layout."""
    for name, content in (files if isinstance(files, dict) else dict.fromkeys(files, "")).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    store = open_store(str(tmp_path))
    return find_layout(store, store.names(), **options)


def places(layout):
    """Return source name, annotations and image folders or listed images by split."""
    return {p.name: (p.source_name, p.annotations, p.images or p.image_roots) for p in layout.places}


def refusal(tmp_path, files, **options):
    with pytest.raises(DatasetError) as caught:
        layout_of(tmp_path, files, **options)
    return str(caught.value)


COCO_CASES = {
    "roboflow": (
        {"train/_annotations.coco.json": "{", "valid/_annotations.coco.json": "{", "README.roboflow.txt": ""},
        "roboflow",
        {
            "train": ("train", "train/_annotations.coco.json", ("train", "")),
            "valid": ("valid", "valid/_annotations.coco.json", ("valid", "")),
        },
    ),
    "roboflow without splits": (
        {"_annotations.coco.json": COCO, "a.jpg": ""},
        "roboflow",
        {"train": ("train", "_annotations.coco.json", ("",))},
    ),
    "standard": (
        {
            "annotations/instances_train2017.json": "{",
            "annotations/instances_val2017.json": "{",
            "annotations/captions_train2017.json": COCO,
            "annotations/person_keypoints_val2017.json": COCO,
            "annotations/image_info_test-dev2017.json": COCO,
            "train2017/a.jpg": "",
            "images/val2017/b.jpg": "",
        },
        "standard",
        {
            "train": ("train2017", "annotations/instances_train2017.json", ("train2017", "images", "")),
            "valid": ("val2017", "annotations/instances_val2017.json", ("images/val2017", "images", "")),
        },
    ),
    "mmdetection": (
        {"annotations/train.json": COCO, "annotations/val.json": COCO, "train/a.jpg": "", "val/b.jpg": ""},
        "mmdetection",
        {
            "train": ("train", "annotations/train.json", ("train", "")),
            "valid": ("val", "annotations/val.json", ("val", "")),
        },
    ),
    "mmdetection with images in one folder": (
        {"annotations/voc07_trainval.json": COCO, "annotations/voc07_test.json": COCO, "images/a.jpg": ""},
        "mmdetection",
        {
            "train": ("trainval", "annotations/voc07_trainval.json", ("images", "")),
            "test": ("test", "annotations/voc07_test.json", ("images", "")),
        },
    ),
    "one file and a folder": (
        {"labels.json": COCO, "photos/a.jpg": "", "photos/b.jpg": "", "readme.json": "{}"},
        "bare",
        {"train": ("train", "labels.json", ("photos", ""))},
    ),
    "one file for each split": (
        {"train.json": COCO, "dev.json": COCO, "images/a.jpg": "", "package.json": '{"name": "x"}'},
        "bare",
        {"train": ("train", "train.json", ("images", "")), "valid": ("dev", "dev.json", ("images", ""))},
    ),
    "a file in each folder of a split": (
        {"Train/labels.json": COCO, "Train/data/a.jpg": "", "VAL/labels.json": COCO, "VAL/data/a.jpg": ""},
        "bare",
        {
            "train": ("Train", "Train/labels.json", ("Train", "Train/data", "")),
            "valid": ("VAL", "VAL/labels.json", ("VAL", "VAL/data", "")),
        },
    ),
    "cvat": (
        {"annotations/instances_default.json": COCO, "images/default/a.jpg": ""},
        "cvat",
        {"train": ("default", "annotations/instances_default.json", ("images/default", "images", ""))},
    ),
    "label studio": (
        {"result.json": COCO, "images/a.jpg": ""},
        "labelstudio",
        {"train": ("train", "result.json", ("images", ""))},
    ),
    "datumaro": (
        {
            "annotations/instances_train.json": COCO,
            "annotations/instances_validation.json": COCO,
            "images/train/a.jpg": "",
            "images/validation/a.jpg": "",
        },
        "standard",
        {
            "train": ("train", "annotations/instances_train.json", ("images/train", "images", "")),
            "valid": ("validation", "annotations/instances_validation.json", ("images/validation", "images", "")),
        },
    ),
}


@pytest.mark.parametrize("case", COCO_CASES)
def test_coco_layouts(tmp_path, case):
    files, name, splits = COCO_CASES[case]
    layout = layout_of(tmp_path, files)
    assert (layout.format, layout.name, layout.task, layout.notes) == ("coco", name, None, ())
    assert places(layout) == splits


def test_keypoints_alone_are_used_for_their_boxes(tmp_path):
    layout = layout_of(tmp_path, {"annotations/person_keypoints_train2017.json": COCO, "train2017/a.jpg": ""})
    assert (layout.task, [place.source_name for place in layout.places]) == ("pose", ["train2017"])


@pytest.mark.parametrize("name", ["annotations/person_keypoints_train2017.json", "train.json"])
@pytest.mark.parametrize("padding", [0, 200_000])
def test_keypoints_without_boxes_are_refused_by_name(tmp_path, name, padding):
    text = COCO.replace('"bbox": [1, 1, 2, 2]', '"keypoints": [1, 1, 2]').replace("{", "{" + " " * padding, 1)
    assert f"{name} has keypoints and no boxes" in refusal(tmp_path, {name: text, "train2017/a.jpg": ""})


def test_list_that_only_the_end_of_a_large_file_shows_counts(tmp_path):
    lists = json.loads(COCO)
    lists["images"] *= 4000
    text = json.dumps({"info": "x", "images": lists["images"], "annotations": lists["annotations"]})
    assert len(text) > 200_000
    assert layout_of(tmp_path, {"set.json": text, "a.jpg": ""}).format == "coco"


def test_annotation_file_of_no_split_is_noted_and_not_used(tmp_path):
    files = {"train.json": COCO, "val.json": COCO, "everything.json": COCO, "trainval.json": COCO, "a.jpg": ""}
    layout = layout_of(tmp_path, files)
    assert [place.annotations for place in layout.places] == ["train.json", "val.json"]
    assert layout.notes == (("unused-file", "everything.json"), ("unused-file", "trainval.json"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("val/_annotations.coco.json", "valid/_annotations.coco.json"), "2 annotation files for the split 'valid'"),
        (("annotations/instances_train2014.json", "annotations/instances_train2017.json"), "2 annotation files for"),
        (("first.json", "second.json"), "2 annotation files, and none says of which split it is: first.json, second.j"),
        (("train/_annotations.coco.json", "annotations/instances_val.json"), r"roboflow layout.* and COCO \(standard"),
    ],
)
def test_annotation_files_that_compete_are_refused(tmp_path, files, message):
    with pytest.raises(DatasetError, match=message):
        layout_of(tmp_path, dict.fromkeys(files, COCO))


def test_hundreds_of_json_files_are_not_looked_into(tmp_path):
    files = {f"photos/{number}.json": COCO for number in range(100)} | {"photos/1.jpg": ""}
    assert "one JSON file for each image" in refusal(tmp_path, files)


YOLO_IMAGES = {"train/images/a.jpg": "", "train/labels/a.txt": ROW, "valid/images/b.jpg": "", "valid/labels/b.txt": ROW}
FLAT = {"train": ("train", "train/labels", ("train/images",)), "valid": ("val", "valid/labels", ("valid/images",))}
BOTH = "train: train/images\nval: valid/images\n"

YAML_CASES = {
    "list": (BOTH + NAMES, {0: "cat", 1: "dog"}),
    "mapping": (BOTH + "names:\n  0: cat\n  1: dog\n", {0: "cat", 1: "dog"}),
    "gap": (BOTH + "names:\n  '0': cat\n  '2': dog\n", {0: "cat", 2: "dog"}),
    "numbers as names": (BOTH + "names: [1, 2]\n", {0: "1", 1: "2"}),
    "byte order mark and CRLF": ("\ufeff" + (BOTH + NAMES).replace("\n", "\r\n"), {0: "cat", 1: "dog"}),
    "path is this folder": ("path: .\n" + BOTH + NAMES, {0: "cat", 1: "dog"}),
    "roboflow": (BOTH.replace(": ", ": ../") + NAMES, {0: "cat", 1: "dog"}),
    "folder above images": (BOTH.replace("/images", "") + NAMES, {0: "cat", 1: "dog"}),
    "list of one folder": ("train: [train/images]\nval: [./valid/images/]\n" + NAMES, {0: "cat", 1: "dog"}),
}


@pytest.mark.parametrize("case", YAML_CASES)
def test_data_yaml_variants(tmp_path, case):
    text, names = YAML_CASES[case]
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": text})
    assert (layout.format, layout.name, layout.classes, layout.notes) == ("yolo", "roboflow", names, ())
    assert places(layout) == FLAT
    assert (layout.class_source, layout.confidence) == ("names of data.yaml", 1.0)


@pytest.mark.parametrize("name", ["data.yml", "dataset.yaml", "coco8.yaml", "my set.yml"])
def test_data_file_of_any_name_is_found(tmp_path, name):
    files = YOLO_IMAGES | {name: BOTH + NAMES, "hyp.yaml": "lr0: 0.01\n", "train.yaml": "names: [x]\n", ".x.yaml": BOTH}
    assert layout_of(tmp_path, files).class_source == f"names of {name}"


def test_several_data_files_are_refused_unless_one_has_the_usual_name(tmp_path):
    files = YOLO_IMAGES | {"a.yaml": BOTH + NAMES, "b.yaml": BOTH + NAMES}
    assert "2 data files: a.yaml, b.yaml" in refusal(tmp_path, files)
    assert layout_of(tmp_path, {"data.yaml": BOTH + NAMES}).class_source == "names of data.yaml"


FOREIGN = {
    "absolute": "path: /content/datasets/animals\n" + BOTH,
    "dataset name": "path: animals\n" + BOTH,
    "relative to another folder": "path: ../datasets/animals\n" + BOTH,
    "windows": "path: C:\\data\\animals\n" + BOTH.replace("/", "\\"),
    "absolute splits": BOTH.replace(": ", ": /content/animals/"),
    "splits from the folder above": BOTH.replace(": ", ": animals/"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_place_on_another_machine_is_found_beside_the_data_file_and_noted(tmp_path, case):
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": FOREIGN[case] + NAMES})
    assert places(layout) == FLAT
    assert {code for code, _ in layout.notes} == {"foreign-path"}
    assert layout.notes[0][1].startswith("data.yaml: ")


def test_path_in_the_dataset_is_where_splits_begin(tmp_path):
    files = {"data/images/train/a.jpg": "", "data/labels/train/a.txt": ROW, "images/train/wrong.jpg": ""}
    for path in ("data", "./data/", str(tmp_path / "data")):
        layout = layout_of(tmp_path, files | {"data.yaml": f"path: {path}\ntrain: images/train\n{NAMES}"})
        assert places(layout) == {"train": ("train", "data/labels/train", ("data/images/train",))}
        assert layout.notes == ()


def test_two_splits_that_end_alike_on_another_machine_are_not_taken_as_one(tmp_path):
    text = "train: /a/one/pics\nval: /a/two/pics\n" + NAMES
    message = refusal(tmp_path, {"data.yaml": text, "pics/a.jpg": "", "pics/a.txt": ROW})
    assert "'train' and 'valid' in folders of another machine, which both end like 'pics' here" in message


def test_folder_of_another_split_or_of_none_is_not_taken_for_one(tmp_path):
    files = {"data.yaml": BOTH + NAMES, "images/a.jpg": "", "labels/a.txt": ROW, "valid/images/b.jpg": ""}
    layout = layout_of(tmp_path, files)
    assert [place.name for place in layout.places] == ["valid"]
    assert layout.notes == (("missing-split", "'train' (data.yaml: train: train/images does not exist)"),)


@pytest.mark.parametrize("text", ["../../secrets/x", "/etc/x", "..", "../.."])
def test_split_that_leaves_the_dataset_is_refused(tmp_path, text):
    files = YOLO_IMAGES | {"data.yaml": f"train: {text}\nval: valid/images\n{NAMES}"}
    assert f"data.yaml: train: '{text}' leaves the dataset" in refusal(tmp_path, files)


def test_declared_split_that_is_not_there_is_noted(tmp_path):
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": BOTH + "test: ../test/images\n" + NAMES})
    assert places(layout) == FLAT
    assert layout.notes == (("missing-split", "'test' (data.yaml: test: ../test/images does not exist)"),)


def test_list_of_folders_has_all_of_them(tmp_path):
    files = {f"part{n}/images/{n}.jpg": "" for n in (1, 2)} | {f"part{n}/labels/{n}.txt": ROW for n in (1, 2)}
    layout = layout_of(tmp_path, files | {"data.yaml": "train: [part1/images, ../part2]\n" + NAMES})
    roots = ("part1/images", "part2/images")
    assert places(layout) == {"train": ("train", "part1/labels, part2/labels", roots)}
    assert "part3' does not exist" in refusal(tmp_path, {"data.yaml": "train: [part1/images, part3]\n" + NAMES})


LISTED = ("train/images/a.jpg", "train/images/sub/b.jpg", "gone.jpg")


@pytest.mark.parametrize(
    "lines",
    [
        ["./train/images/a.jpg", "./train/images/sub/b.jpg", "gone.jpg"],
        ["train/images/a.jpg", "# a comment", "", "train/images/sub/b.jpg", "gone.jpg"],
        ["/content/set/train/images/a.jpg", "/content/set/train/images/sub/b.jpg", "gone.jpg"],
        ["data/train/images/a.jpg", "../other/train/images/sub/b.jpg", "../gone.jpg"],
        ["C:\\set\\train\\images\\a.jpg", "C:\\set\\train\\images\\sub\\b.jpg", "gone.jpg", "gone.jpg"],
        ["{root}/train/images/a.jpg", "{root}/train/images/sub/b.jpg", "gone.jpg"],
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_list_file_names_images_in_its_order(tmp_path, lines, end):
    text = end.join(lines).replace("{root}", str(tmp_path))
    files = {
        "train/images/a.jpg": "",
        "train/images/sub/b.jpg": "",
        "train/images/unlisted.jpg": "",
        "lists/t.txt": text,
    }
    layout = layout_of(tmp_path, files | {"data.yaml": "train: lists/t.txt\n" + NAMES})
    assert places(layout) == {"train": ("train", "lists/t.txt", LISTED)}
    assert layout.notes == ()


def test_list_file_and_folder_together(tmp_path):
    files = {
        "a/1.jpg": "",
        "a/2.jpg": "",
        "a/.hidden.jpg": "",
        "b/3.jpg": "",
        "b/4.jpg": "",
        "t.txt": "\ufeff./b/4.jpg\n",
    }
    layout = layout_of(tmp_path, files | {"data.yaml": "train: [t.txt, a]\n" + NAMES})
    assert layout.places[0].images == ("b/4.jpg", "a/1.jpg", "a/2.jpg")
    assert layout.notes == (("byte-order-mark", "t.txt"),)


def test_name_in_a_list_that_no_file_can_have_is_noted_with_its_line(tmp_path):
    layout = layout_of(tmp_path, {"a.jpg": "", "t.txt": "a.jpg\nb\x07.jpg\n", "data.yaml": "train: t.txt\n" + NAMES})
    assert layout.places[0].images == ("a.jpg",)
    assert layout.notes == (("unsafe-file-name", "t.txt:2: b\x07.jpg"),)


def test_hints_of_the_data_file_say_the_task_and_the_user_has_the_last_word(tmp_path):
    pose = YOLO_IMAGES | {"data.yaml": BOTH + NAMES + "kpt_shape: [17, 3]\n"}
    layout = layout_of(tmp_path, pose)
    assert (layout.task, layout.keypoints) == ("pose", (17, 3))
    assert layout_of(tmp_path, pose, task="segment").task == "segment"
    obb = {"data.yaml": BOTH + NAMES + "task: obb\n"}
    assert "has oriented boxes: data.yaml has 'task: obb'" in refusal(tmp_path, obb)
    assert layout_of(tmp_path, obb, task="segment").task == "segment"
    assert "--task obb" in refusal(tmp_path, obb, task="obb")


def test_data_file_that_would_download_something_is_noted_and_nothing_is_run(tmp_path):
    text = BOTH + NAMES + f"download: |\n  import pathlib; pathlib.Path('{tmp_path}/ran').touch()\n"
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": text})
    assert layout.notes == (("download-ignored", "data.yaml: download"),)
    assert not (tmp_path / "ran").exists()


def test_classes_that_are_only_counted_are_called_by_their_ids(tmp_path):
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": BOTH + "nc: 2\n"})
    assert layout.classes == {0: "0", 1: "1"}
    assert layout.notes == (("missing-class-names", "data.yaml has no names"),)


def test_count_of_classes_that_is_wrong_is_noted(tmp_path):
    layout = layout_of(tmp_path, YOLO_IMAGES | {"data.yaml": BOTH + "nc: 3\n" + NAMES})
    assert layout.notes == (("class-count", "data.yaml: nc is 3, names has 2 classes"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: {0: cat, 0: dog}\n", "the key '0' is there twice"),
        ("names: {0: cat, '0': dog}\n", "the key '0' is there twice"),
        ("names: {a: cat}\n", "keys of names must be whole numbers"),
        ("names: [cat, [dog]]\n", "which is no text"),
        ("names: [yes, dog]\n", "Put the name in quotes"),
        ("names: cat\n", "names must list the classes"),
        ("names: &a [*a]\n", "aliases"),
        ("names: !!python/object/apply:os.system [x]\n", "tags"),
        ("names: !!binary aGk=\n", "tags"),
        ("names: " + "[" * 100_000, "nested more than 16 levels deep"),
        ("names: [" + "{a: " * 40 + "}" * 40 + "]", "nested more than 16 levels deep"),
        ("names: [cat\n", "cannot be read as YAML"),
        ("names: [cat]\nx: 2001-99-99\n", "cannot be read as YAML"),
        ("names: [cat]\nkpt_shape: 17\n", "kpt_shape must be two numbers"),
        ("names: [cat]\nkpt_shape: [17, 9]\n", r"kpt_shape is \[17, 9\]"),
        ("names: [cat]\npath: [x]\n", "path must be a folder"),
        ("names: [cat]\ntrain: {a: b}\n", "train must be a folder, a list of folders or a list file"),
        ("- cat\n", "must be a mapping"),
        ("", "must be a mapping"),
        (b"names: [\xff]\n", "cannot be read as YAML"),
        ("x: 1\n" * 300_000, "larger than 1,048,576 bytes"),
    ],
)
def test_bad_data_yaml_is_refused_with_the_reason(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        layout_of(tmp_path, {"data.yaml": text})


DARKNET = "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt # held out\nnames = data/obj.names\nbackup = x/\n"


@pytest.mark.parametrize("folder", ["", "data/", "cfg/"])
def test_darknet(tmp_path, folder):
    lists = {f"{folder}{name}.txt": f"data/obj/{name}1.jpg\ndata/obj/{name}2.jpg\n" for name in ("train", "test")}
    images = {
        f"obj/{name}{number}.{end}": "" for name in ("train", "test") for number in (1, 2) for end in ("jpg", "txt")
    }
    layout = layout_of(
        tmp_path, {f"{folder}obj.data": DARKNET, f"{folder}obj.names": "cat\r\ndog\r\n\n"} | lists | images
    )
    assert (layout.name, layout.classes, layout.class_source) == ("darknet", {0: "cat", 1: "dog"}, f"{folder}obj.names")
    assert places(layout) == {
        "train": ("train", f"{folder}train.txt", ("obj/train1.jpg", "obj/train2.jpg")),
        "valid": ("valid", f"{folder}test.txt", ("obj/test1.jpg", "obj/test2.jpg")),
    }
    assert layout.notes == ()


def test_cvat_yolo(tmp_path):
    files = {
        "obj.data": "classes = 3\nnames = data/obj.names\ntrain = data/train.txt\nbackup = backup/\n",
        "obj.names": "cat\ndog\n",
        "train.txt": "data/obj_train_data/a.jpg\n",
        "obj_train_data/a.jpg": "",
        "obj_train_data/a.txt": ROW,
    }
    layout = layout_of(tmp_path, files)
    assert (layout.name, places(layout)) == ("cvat", {"train": ("train", "train.txt", ("obj_train_data/a.jpg",))})
    assert layout.notes == (("class-count", "obj.data: classes is 3, obj.names has 2"),)


BARE_CASES = {
    "label studio": (
        {
            "classes.txt": "cat\ndog\n",
            "notes.json": '{"categories": [], "info": {}}',
            "images/a.jpg": "",
            "labels/a.txt": ROW,
        },
        "labelstudio",
        {"train": ("train", "labels", ("images",))},
    ),
    "labels beside images in one folder": (
        {"classes.txt": "cat\ndog\n", "a.jpg": "", "a.txt": ROW, "b.jpg": ""},
        "bare",
        {"train": ("train", "", ("",))},
    ),
    "labels beside images": (
        {"classes.txt": "cat\ndog\n", "Train/a.jpg": "", "Train/a.txt": ROW, "val/b.PNG": "", "val/b.txt": ""},
        "bare",
        {"train": ("Train", "Train", ("Train",)), "valid": ("val", "val", ("val",))},
    ),
    "splits above images": (
        YOLO_IMAGES | {"classes.txt": "cat\ndog\n"},
        "bare",
        FLAT | {"valid": ("valid", *FLAT["valid"][1:])},
    ),
    "splits below images, nested": (
        {
            "images/train2017/x/a.jpg": "",
            "labels/train2017/x/a.txt": ROW,
            "images/train2017/y/a.jpg": "",
            "labels/train2017/y/a.txt": ROW,
            "images/val2017/b.jpg": "",
            "labels/val2017/b.txt": ROW,
            "labels/train2017/classes.txt": "cat\ndog\n",
        },
        "bare",
        {
            "train": ("train2017", "labels/train2017", ("images/train2017",)),
            "valid": ("val2017", "labels/val2017", ("images/val2017",)),
        },
    ),
    "several sets": (
        {f"{set_}/train/{kind}/a.{end}": ROW for set_ in "ab" for kind, end in (("images", "jpg"), ("labels", "txt"))}
        | {"classes.names": "cat\ndog"},
        "bare",
        {"train": ("train", "a/train/labels, b/train/labels", ("a/train/images", "b/train/images"))},
    ),
    "roboflow darknet": (
        {f"{split}/{name}": text for split in ("train", "valid") for name, text in (("a.jpg", ""), ("a.txt", ROW))}
        | {f"{split}/_darknet.labels": "cat\ndog\n" for split in ("train", "valid")},
        "darknet",
        {"train": ("train", "train", ("train",)), "valid": ("valid", "valid", ("valid",))},
    ),
    "list files": (
        {
            "classes.txt": "cat\ndog\n",
            "train2017.txt": "./images/train2017/a.jpg\n",
            "val2017.txt": "./images/val2017/b.jpg\n",
            "images/train2017/a.jpg": "",
            "labels/train2017/a.txt": ROW,
            "images/train2017/other.jpg": "",
            "images/val2017/b.jpg": "",
        },
        "bare",
        {
            "train": ("train2017", "train2017.txt", ("images/train2017/a.jpg",)),
            "valid": ("val2017", "val2017.txt", ("images/val2017/b.jpg",)),
        },
    ),
}


@pytest.mark.parametrize("case", BARE_CASES)
def test_yolo_without_data_file(tmp_path, case):
    files, name, splits = BARE_CASES[case]
    layout = layout_of(tmp_path, files)
    assert (layout.format, layout.name, layout.classes, layout.notes) == ("yolo", name, {0: "cat", 1: "dog"}, ())
    assert places(layout) == splits
    assert layout.confidence >= 0.7


def test_rows_without_names_of_classes_are_a_guess(tmp_path):
    layout = layout_of(tmp_path, YOLO_IMAGES)
    assert (layout.classes, layout.class_source) == (None, "")
    assert layout.confidence < 0.5


def test_row_that_is_wrong_is_left_to_the_reader(tmp_path):
    files = {"classes.txt": "cat", "images/b.jpg": "", "labels/b.txt": "cat 0.5 0.5 0.1 0.1\n"}
    assert "no dataset of a known format" in refusal(tmp_path, files)
    assert layout_of(tmp_path, {"images/a.jpg": "", "labels/a.txt": ROW}).classes == {0: "cat"}


def test_same_place_for_two_splits_is_taken_as_it_is_written(tmp_path):
    text = "train: /content/images\nval: /content/images\n" + NAMES
    layout = layout_of(tmp_path, {"data.yaml": text, "images/a.jpg": "", "labels/a.txt": ROW})
    assert [place.image_roots for place in layout.places] == [("images",), ("images",)]


def test_text_files_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "_MAX_LINES", 3)
    files = {"a.jpg": "", "data.yaml": "train: t.txt\n" + NAMES, "t.txt": "a.jpg\n" * 4}
    assert "t.txt has more than 3 lines" in refusal(tmp_path, files)
    files = {"classes.txt": "x" * (1 << 20) + "y", "b.jpg": "", "b.txt": ROW}
    assert "larger than 1,048,576 bytes" in refusal(tmp_path / "names", files)
    files = {"classes.txt": "k\u00e4fer".encode("latin-1"), "b.jpg": "", "b.txt": ROW}
    assert "classes.txt is not UTF-8" in refusal(tmp_path / "latin", files)


def test_class_files_that_disagree_are_noted(tmp_path):
    files = YOLO_IMAGES | {"train/labels/classes.txt": "cat\ndog\n", "valid/labels/classes.txt": "dog\ncat\n"}
    layout = layout_of(tmp_path, files)
    assert layout.class_source == "train/labels/classes.txt"
    where = "in train/labels/classes.txt"
    assert layout.notes == (
        ("category-mismatch", f"valid/labels/classes.txt: class 0 'dog', 'cat' {where}"),
        ("category-mismatch", f"valid/labels/classes.txt: class 1 'cat', 'dog' {where}"),
    )


def test_two_folders_for_a_split_are_refused(tmp_path):
    files = {"classes.txt": "cat"} | {
        f"{name}/images/a.{end}": ROW for name in ("val", "valid") for end in ("jpg", "txt")
    }
    assert "The split 'valid' is in several folders: val/images, valid/images" in refusal(tmp_path, files)


@pytest.mark.parametrize(
    "text", ["a caption of the image\n", "Car 0.00 0 -1.57 599 156 629 189 2.85 2.63 12.34 0.4 1.8 69 -1.6\n"]
)
def test_text_beside_images_that_is_no_row_of_numbers_is_no_yolo(tmp_path, text):
    assert "no dataset of a known format" in refusal(tmp_path, {"a.jpg": "", "a.txt": text})


DOTA = "imagesource:GoogleEarth\ngsd:0.5\n1 2 3 2 3 4 1 4 plane 0\n"


@pytest.mark.parametrize(
    "files",
    [
        {"data.yaml": BOTH + NAMES, "train/images/a.jpg": "", "valid/images/b.jpg": "", "train/labelTxt/a.txt": DOTA},
        {"images/a.png": "", "labelTxt/a.txt": DOTA},
        {"images/a.png": "", "labels/a.txt": DOTA},
        {"images/a.png": "", "labels/a.txt": DOTA.partition("0.5\n")[2], "classes.txt": "plane"},
    ],
)
def test_dota_is_refused_by_name(tmp_path, files):
    message = refusal(tmp_path, files)
    assert "has oriented boxes" in message and "DOTA" in message and "Export it for object detection" in message


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (("JPEGImages/a.jpg", "Annotations/a.xml", "Annotations/b.xml"), "Pascal VOC"),
        (("a.tfrecord", "b.tfrecord"), "TFRec"),
    ],
)
def test_format_that_is_not_read_is_named(tmp_path, files, name):
    assert name in refusal(tmp_path, files)


def both():
    return YOLO_IMAGES | {"data.yaml": BOTH + NAMES, "train/_annotations.coco.json": COCO}


def test_both_formats_are_refused_and_the_option_decides(tmp_path):
    message = refusal(tmp_path, both())
    assert (
        "COCO (roboflow layout; Annotation files: train/_annotations.coco.json) and YOLO (roboflow layout; data."
        in message
    )
    assert "--format coco or --format yolo" in message
    assert layout_of(tmp_path, both(), format="coco").format == "coco"
    assert layout_of(tmp_path, both(), format="yolo").format == "yolo"


def test_format_that_is_not_there_is_refused(tmp_path):
    assert "no dataset of the format coco" in refusal(
        tmp_path, YOLO_IMAGES | {"data.yaml": BOTH + NAMES}, format="coco"
    )


def test_labels_without_names_beside_coco_are_no_second_dataset(tmp_path):
    files = {"annotations/instances_train2017.json": COCO, "images/train2017/a.jpg": "", "labels/train2017/a.txt": ROW}
    assert layout_of(tmp_path, files).format == "coco"
    assert "more than one dataset" in refusal(tmp_path, {"classes.txt": "cat\n"})


@pytest.mark.parametrize("options", [{"format": "voc"}, {"task": "classify"}])
def test_unknown_option_is_refused(tmp_path, options):
    with pytest.raises(ParameterError, match="Name one of"):
        layout_of(tmp_path, YOLO_IMAGES, **options)


@pytest.mark.parametrize("clutter", [(), (".DS_Store", "__MACOSX/set/._a.jpg", ".git/config")])
def test_dataset_in_a_folder_by_itself_is_found(tmp_path, clutter):
    inside = YOLO_IMAGES | {"data.yaml": "path: /content/x\n" + BOTH + NAMES, "t.txt": "a.jpg"}
    layout = layout_of(
        tmp_path, {f"export/v2/{key}": text for key, text in inside.items()} | dict.fromkeys(clutter, "")
    )
    assert places(layout)["train"] == ("train", "export/v2/train/labels", ("export/v2/train/images",))
    assert layout.class_source == "names of export/v2/data.yaml"
    assert layout.notes == (("foreign-path", "export/v2/data.yaml: path: /content/x"),)
    assert layout.evidence[-1] == "All of it lies in export/v2/."


def test_listed_images_and_coco_roots_of_a_folder_by_itself_are_keys_of_the_store(tmp_path):
    files = {"set/t.txt": "./a.jpg\n", "set/a.jpg": "", "set/data.yaml": "train: t.txt\n" + NAMES}
    assert layout_of(tmp_path / "yolo", files).places[0].images == ("set/a.jpg",)
    files = {"set/result.json": COCO, "set/images/a.jpg": ""}
    place = layout_of(tmp_path / "coco", files).places[0]
    assert (place.annotations, place.image_roots) == ("set/result.json", ("set/images", "set"))


def test_one_of_several_folders_is_not_chosen_but_named(tmp_path):
    files = {f"{name}/{key}": text for name in ("one", "two") for key, text in YOLO_IMAGES.items()}
    message = refusal(tmp_path, files | {"one/data.yaml": BOTH + NAMES})
    assert "perhaps you mean the folder of one/data.yaml" in message
