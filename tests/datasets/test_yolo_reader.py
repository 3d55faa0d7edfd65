"""YOLO label files as tables: what rows mean, and what is odd about them."""

import numpy as np
import pytest
from dataset_builders import DATA_YAML, codes_of, finding, image_bytes, put, write_yolo
from hypothesis import example, given
from hypothesis import strategies as st

from rfdetr_train.datasets import yolo_text
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.reading import open_dataset, read_dataset
from rfdetr_train.datasets.table import UNKNOWN, Category
from rfdetr_train.errors import DatasetError

LABELS = "train/labels/train2.txt"
POLYGON = "0 0.1 0.2 0.4 0.1 0.5 0.6"
POSE = "1 0.5 0.5 0.4 0.4 0.4 0.4 2 0.6 0.6 1 0 0 0"


def read(root, rows=None, **options):
    """Read the plain dataset, with other rows for the second image of train."""
    write_yolo(root)
    if rows is not None:
        put(root / LABELS, rows)
    return open_dataset(str(root), **options)


def last_boxes(dataset):
    boxes = dataset.tables["train"].boxes
    return boxes.xywh[boxes.image == 1].round(9).tolist()


def test_table_holds_the_rows_of_the_files(tmp_path):
    dataset = read(tmp_path, "\n1 0.5 0.5 0.25 0.5\n\r\n0 .25 5e-1 1E-1 0.125")
    table = dataset.tables["train"]
    assert list(dataset.tables) == ["train", "valid", "test"]
    assert dataset.categories == [Category(0, "cat", 0), Category(1, "dog", 1)]
    assert table.images.names == ["train1.png", "train2.png"]
    assert table.images.keys == ["train/images/train1.png", "train/images/train2.png"]
    assert list(table.images.ids) == [1, 2]
    assert table.images.sizes.tolist() == [[0, 0], [0, 0]]
    assert table.boxes.image.tolist() == [0, 0, 1, 1]
    assert table.boxes.label.tolist() == [0, 1, 1, 0]
    assert table.boxes.place.tolist() == [1, 2, 2, 4]
    assert last_boxes(dataset) == [[0.375, 0.25, 0.25, 0.5], [0.2, 0.4375, 0.1, 0.125]]
    assert table.where(3) == f"{LABELS}:4"
    assert not table.boxes.crowd.any()
    assert (table.relative, table.image_root, dataset.task) == (True, "train/images", "detect")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    dataset = read(tmp_path, "0 1\r0 2\r\n0 3\n\n0 4")
    assert finding(dataset, "malformed-row").examples == [f"{LABELS}:{line}, 2 columns" for line in (1, 2, 3, 5)]


def test_boxes_are_neither_clipped_nor_left_out(tmp_path):
    dataset = read(tmp_path, "0 0.95 0.5 0.2 0.2\n0 0.5 0.5 0 0.1\n0 nan 0.5 0.1 0.1")
    assert last_boxes(dataset)[0] == [0.85, 0.4, 0.2, 0.2]
    assert np.isnan(last_boxes(dataset)[2][0])
    assert codes_of(dataset) == ["degenerate-box", "box-outside-image"]
    assert finding(dataset, "degenerate-box").count == 2


def test_rows_are_the_same_however_files_fall_into_chunks(tmp_path, monkeypatch):
    contents = ["", "0 0.5 0.5 0.1 0.1\n", "\ufeff1 0.5 0,5 0.1 0.1\r\n", "bad\n" + POLYGON, "0 0.5 0.5 0.3 0.1\n" * 3]
    for number in range(11):
        put(tmp_path / f"train/images/x{number}.png", image_bytes(4, 4))
        put(tmp_path / f"train/labels/x{number}.txt", contents[number % 5])
    whole = read(tmp_path, polygons=True)
    monkeypatch.setattr("rfdetr_train.datasets.yolo_reader._CHUNK", 2)
    parts = open_dataset(str(tmp_path), polygons=True)
    one, other = parts.tables["train"], whole.tables["train"]
    for column in ("image", "label", "xywh", "place"):
        assert np.array_equal(getattr(one.boxes, column), getattr(other.boxes, column))
    assert one.polygons.keys() == other.polygons.keys()
    assert parts.findings.to_list() == whole.findings.to_list()
    assert parts.fingerprint == whole.fingerprint


WORDS = st.sampled_from(["0", "1", "-1", "0.5", "1e-3", ".25", "5.", "+0.75", "1E2", "00.10", "12345678901234567890"])
LINES = st.lists(WORDS, max_size=9).map(" ".join)
FILES = st.lists(st.lists(LINES, max_size=5), max_size=5)


@given(FILES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([" ", "\t", "  "]), st.booleans())
@example([[]], "\n", " ", True)
@example([], "\n", " ", True)
def test_rows_parsed_at_once_are_those_parsed_word_by_word(files, newline, space, ends):
    texts = [newline.join(lines) + (newline if ends else "") for lines in files]
    contents = [text.replace(" ", space).encode() for text in texts]
    rows = yolo_text.parse_rows(contents, [""] * len(files), Findings())
    expected = [
        (file, number, [float(word) for word in line.split()], "." in word or "e" in word.lower())
        for file, lines in enumerate(files)
        for number, line in enumerate(lines, 1)
        for word in line.split()[:1]
    ]
    found = [
        (file, line, rows.values[start : start + count].tolist(), decimal)
        for file, line, start, count, decimal in zip(
            *(column.tolist() for column in (rows.file, rows.line, rows.start, rows.count, rows.decimal)), strict=True
        )
    ]
    assert found == expected


@given(st.lists(st.text("0123456789.,+-eE \t\r\n\ufeffnaifx_\xa0", max_size=30), min_size=1, max_size=4))
@example(["0.5.5 1", "1"])
@example(["1e 1\n2", "3"])
@example(["1_0 ١"])
def test_words_that_are_no_numbers_cost_their_line_alone(texts):
    findings = Findings()
    rows = yolo_text.parse_rows([text.encode() for text in texts], [f"{n}.txt" for n in range(len(texts))], findings)
    lines = [(file, n, line) for file, text in enumerate(texts) for n, line in enumerate(_lines(text), 1)]
    kept = {(file, n) for file, n, line in lines if line.split() and _are_numbers(line.split())}
    assert set(zip(rows.file.tolist(), rows.line.tolist(), strict=True)) == kept
    bad = [found.count for found in findings.to_list() if found.code == "malformed-row"]
    assert sum(bad) == sum(bool(line.split()) for _, _, line in lines) - len(kept)


def _lines(text):
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _are_numbers(words):
    def is_number(word):
        body = word.lstrip("+-") if word[:1] in "+-" and word[1:2] not in ("+", "-") else word
        if "_" in word or not word.isascii() or ("," in word and not (word.count(",") == 1 and "." not in word)):
            return False
        before, _, after = body.lower().partition("e")[0].partition(",")
        if "," in word and not (before.isdigit() and after.isdigit()):
            return False
        try:
            float(word.replace(",", "."))
        except ValueError:
            return False
        return True

    return all(map(is_number, words))


@pytest.mark.parametrize(
    ("row", "code", "box"),
    [
        ("0 0.5 0.5 0.1 0.1 17", "track-id", [0.45, 0.45, 0.1, 0.1]),
        ("0.0 0.5 0.5 0.1 0.1", "float-class-id", [0.45, 0.45, 0.1, 0.1]),
        ("0e0 0.5 0.5 0.1 0.1", "float-class-id", [0.45, 0.45, 0.1, 0.1]),
        ("0 0,5 0,5 0,1 0,1", "decimal-comma", [0.45, 0.45, 0.1, 0.1]),
        (POLYGON, "polygon-row", [0.1, 0.1, 0.4, 0.5]),
    ],
)
def test_odd_row_is_read_with_a_warning(tmp_path, row, code, box):
    dataset = read(tmp_path, f"{row}\n")
    assert last_boxes(dataset) == [box]
    found = finding(dataset, code)
    assert (found.severity, found.count, found.examples) == ("warning", 1, [f"{LABELS}:1"])
    assert codes_of(dataset) == [code]


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_byte_order_mark_is_named_and_read_over(tmp_path, mark):
    dataset = read(tmp_path, f"{mark}1 0.5 0.5 0.1 0.1\n")
    assert last_boxes(dataset) == [[0.45, 0.45, 0.1, 0.1]]
    assert codes_of(dataset) == (["byte-order-mark"] if mark else [])


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ("0 0.5 0.5 0.1", "4 columns"),
        ("0 0.5 0.5 0.1 0.1 0.93", "6 columns"),
        ("0 0.5 0.5 0.1 0.1 -1", "6 columns"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.3", "8 columns"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "class nan"),
        ("inf 0.5 0.5 0.1 0.1", "class inf"),
        ("1e400 0.5 0.5 0.1 0.1", "class inf"),
    ],
)
def test_row_of_no_known_shape_is_malformed_and_left_out(tmp_path, row, shape):
    dataset = read(tmp_path, f"1 0.5 0.5 0.1 0.1\n{row}\n")
    assert last_boxes(dataset) == [[0.45, 0.45, 0.1, 0.1]]
    assert finding(dataset, "malformed-row").examples == [f"{LABELS}:2, {shape}"]


@pytest.mark.parametrize("class_id", [2, -1, 10**30])
def test_class_id_that_no_name_has_is_kept_apart(tmp_path, class_id):
    dataset = read(tmp_path, f"{class_id} 0.5 0.5 0.1 0.1\n")
    assert dataset.tables["train"].boxes.label.tolist() == [0, 1, UNKNOWN]
    found = finding(dataset, "class-id-out-of-range")
    assert found.examples == [f"{LABELS}:1, class {int(float(class_id))} of 0 to 1"]


def test_class_ids_with_gaps_become_labels_without(tmp_path):
    write_yolo(tmp_path, DATA_YAML.replace("nc: 2\nnames: ['cat', 'dog']", "names: {7: dog, 1: cat}"))
    put(tmp_path / LABELS, "1 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n")
    dataset = open_dataset(str(tmp_path))
    assert dataset.categories == [Category(1, "cat", 0), Category(7, "dog", 1)]
    assert dataset.tables["train"].boxes.label.tolist()[-3:] == [0, 1, UNKNOWN]
    assert finding(dataset, "class-id-gap").examples == ["names of data.yaml: 1, 7"]
    assert finding(dataset, "class-id-out-of-range").examples[1] == f"{LABELS}:3, class 0 of 1, 7"


def test_classes_of_one_name_become_one(tmp_path):
    write_yolo(tmp_path, DATA_YAML.replace("'dog'", "'cat'"))
    dataset = open_dataset(str(tmp_path))
    assert dataset.categories == [Category(0, "cat", 0)]
    assert dataset.tables["train"].boxes.label.tolist() == [0, 0, 0]
    assert finding(dataset, "duplicate-class-name").severity == "error"


def test_polygons_are_kept_where_they_are_asked_for(tmp_path):
    rows = f"1 0.5 0.5 0.1 0.1\nbad\n{POLYGON}\n"
    assert read(tmp_path, rows).tables["train"].polygons == {}
    dataset = open_dataset(str(tmp_path), polygons=True)
    polygons = dataset.tables["train"].polygons
    assert list(polygons) == [3]
    assert polygons[3][0].tolist() == [[0.1, 0.2], [0.4, 0.1], [0.5, 0.6]]
    assert finding(dataset, "mixed-rows").examples == [LABELS]
    assert dataset.task == "segment"


def test_polygon_with_a_point_that_is_no_number_is_degenerate(tmp_path):
    dataset = read(tmp_path, "0 nan 0.1 0.2 0.1 0.2 0.2\n")
    assert codes_of(dataset) == ["degenerate-box", "polygon-row"]


def test_keypoints_are_told_from_kpt_shape(tmp_path):
    write_yolo(tmp_path, DATA_YAML + "kpt_shape: [3, 3]\n")
    put(tmp_path / LABELS, f"{POSE}\n{POLYGON}\n")
    dataset = open_dataset(str(tmp_path))
    assert last_boxes(dataset) == [[0.3, 0.3, 0.4, 0.4]]
    assert (dataset.task, finding(dataset, "keypoint-row").count) == ("pose", 1)
    assert finding(dataset, "malformed-row").examples == [f"{LABELS}:2, 7 columns"]


@pytest.mark.parametrize("row", [POSE, "1 0.5 0.5 0.4 0.4 0.4 0.4 0.6 0.6 0 0"])
def test_keypoints_are_told_from_rows_that_all_hold_them_in_their_box(tmp_path, row):
    dataset = read(tmp_path, f"{row}\n" * 10)
    assert (dataset.task, finding(dataset, "keypoint-row").count) == ("pose", 10)
    assert last_boxes(dataset) == [[0.3, 0.3, 0.4, 0.4]] * 10
    assert "box that the first four make" in dataset.parsed.evidence[0]


def test_polygons_of_one_length_stay_polygons(tmp_path):
    dataset = read(tmp_path, "1 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5 0.3 0.3\n" * 10)
    assert (dataset.task, finding(dataset, "polygon-row").count) == ("segment", 10)


FOUR_POINTS = "0 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7\n"


def test_rows_of_four_points_are_ambiguous_unless_it_is_said_what_they_are(tmp_path):
    dataset = read(tmp_path, FOUR_POINTS)
    assert finding(dataset, "ambiguous-task").examples == [f"{LABELS}:1"]
    assert (dataset.task, dataset.parsed.confidence) == ("segment", 0.4)
    assert last_boxes(dataset) == [[0.1, 0.1, 0.4, 0.6]]
    told = open_dataset(str(tmp_path), task="segment")
    assert "ambiguous-task" not in codes_of(told)
    assert (told.task, told.parsed.confidence) == ("segment", 1.0)


def test_rows_of_four_points_among_other_polygons_are_polygons(tmp_path):
    assert "ambiguous-task" not in codes_of(read(tmp_path, FOUR_POINTS + POLYGON))


def test_label_file_over_the_limit_is_refused_with_the_limit_named(tmp_path, monkeypatch):
    monkeypatch.setattr("rfdetr_train.datasets.yolo_reader.MAX_LABEL_BYTES", 30)
    with pytest.raises(DatasetError, match=r"train1.txt is larger than 30 bytes"):
        read(tmp_path)


def test_label_file_that_goes_away_while_it_is_read_is_an_error_of_the_data(tmp_path):
    whole = read(tmp_path)
    (tmp_path / LABELS).unlink()
    with pytest.raises(DatasetError, match=r"was removed while the dataset was read: .*train2.txt"):
        read_dataset(whole.store, whole.layout, whole.listing, ("train",))


def test_label_file_is_where_the_last_images_folder_is_labels_or_beside_the_image(tmp_path):
    write_yolo(tmp_path, DATA_YAML.replace("../train/images", "images/images/train"), {"valid": "valid/images"})
    put(tmp_path / "images/images/train/a.png", image_bytes(4, 4))
    put(tmp_path / "images/labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n")
    put(tmp_path / "images/images/train/sub/b.png", image_bytes(4, 4))
    put(tmp_path / "images/images/train/sub/b.txt", "1 0.5 0.5 0.1 0.1\n")
    table = open_dataset(str(tmp_path)).tables["train"]
    assert table.images.names == ["a.png", "sub/b.png"]
    assert [table.where(row) for row in range(2)] == ["images/labels/train/a.txt:1", "images/images/train/sub/b.txt:1"]


def test_list_file_gives_the_images_and_their_order(tmp_path):
    write_yolo(tmp_path, DATA_YAML.replace("../train/images", "train.txt"))
    put(tmp_path / "train.txt", "./train/images/train2.png\n./train/images/gone.png\n./train/images/train1.png\n")
    put(tmp_path / "train/images/unlisted.png", image_bytes(4, 4))
    put(tmp_path / "train/labels/unlisted.txt", "0 0.5 0.5 0.1 0.1\n")
    dataset = open_dataset(str(tmp_path))
    table = dataset.tables["train"]
    assert table.images.names == ["train2.png", "gone.png", "train1.png"]
    assert table.boxes.image.tolist() == [0, 2, 2]
    assert codes_of(dataset) == ["missing-image", "missing-label"]


def test_label_without_an_image_is_an_orphan_and_lists_of_classes_are_none(tmp_path):
    write_yolo(tmp_path)
    for name in ("classes.txt", "README.dataset.txt", "notes.txt"):
        put(tmp_path / "train/labels" / name, "cat\ndog\n")
    put(tmp_path / "valid/labels/deep/x.txt", "0 0.5 0.5 0.1 0.1\n")
    dataset = open_dataset(str(tmp_path))
    assert codes_of(dataset) == ["orphan-label"]
    assert finding(dataset, "orphan-label").examples == ["valid/labels/deep/x.txt"]


def test_missing_and_empty_label_files_are_told_apart(tmp_path):
    write_yolo(tmp_path)
    put(tmp_path / LABELS, "")
    put(tmp_path / "train/images/bare.png", image_bytes(4, 4))
    dataset = open_dataset(str(tmp_path))
    assert finding(dataset, "unlabelled-images").examples == ["train/images/train2.png"]
    assert finding(dataset, "missing-label").examples == ["train/images/bare.png"]
