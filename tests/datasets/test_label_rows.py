"""Label rows as text, polygons in one row, and names for the files."""

from itertools import pairwise

import numpy as np
import pytest
from dataset_builders import edit, write_coco

from rfdetr_train.datasets import convert, detect
from rfdetr_train.datasets.writers.label_files import write_label_files
from rfdetr_train.datasets.writers.names import flat_names, label_name
from rfdetr_train.datasets.writers.outlines import join, outline, rectangle
from rfdetr_train.datasets.writers.rows import Rows


def rows_of(image, boxes):
    count = len(image)
    label = np.arange(count) % 80
    return Rows(np.array(image), label, np.array(boxes).reshape(-1, 4), label, np.zeros(count, bool), None)


def test_text_has_the_shortest_digits_that_give_the_same_number():
    boxes = np.random.default_rng(0).random((1000, 4)) * 10.0 ** np.random.default_rng(1).integers(-12, 1, (1000, 1))
    text = rows_of([0] * 1000, boxes).text(0, 1000).decode()
    lines = [line.split() for line in text.splitlines()]
    assert [[float(value) for value in line[1:]] for line in lines] == boxes.tolist()
    assert [line[0] for line in lines] == [str(n % 80) for n in range(1000)]
    shortest = sum(len(repr(value).replace("e-0", "e-")) for value in boxes.ravel().tolist())
    # Where repr writes 1e-05, 0.00001 is as exact.
    assert sum(len(value) for line in lines for value in line[1:]) <= shortest + 1000


def test_every_image_gets_its_own_rows_however_they_are_spread(tmp_path, monkeypatch):
    monkeypatch.setattr("rfdetr_train.datasets.writers.label_files._ROWS", 5)
    counts = [0, 3, 0, 0, 7, 1, 1, 5, 0, 20, 0]
    image = np.repeat(np.arange(len(counts)), counts)
    rows = rows_of(image, np.random.default_rng(0).random((len(image), 4)))
    write_label_files(tmp_path, [f"{n}.txt" for n in range(len(counts))], rows)
    found = [(tmp_path / f"{n}.txt").read_bytes() for n in range(len(counts))]
    starts = np.cumsum([0, *counts])
    assert found == [rows.text(int(a), int(b)) for a, b in pairwise(starts)]


def area(points):
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def square(x, y, side):
    return np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side)])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_joined_parts_cover_what_the_parts_cover(count):
    generator = np.random.default_rng(count)
    # Of any first point; one beside the other, so that the joined line is as large as all together.
    parts = [np.roll(square(0.2 * n, 0.1 * (n % 3), 0.1), generator.integers(4), axis=0) for n in range(count)]
    joined = join(parts)
    assert area(joined) == pytest.approx(0.01 * count)
    points = {tuple(point) for point in joined.round(9).tolist()}
    assert points == {tuple(point) for part in parts for point in part.round(9).tolist()}


def test_joined_parts_are_those_of_ultralytics():
    converter = pytest.importorskip("ultralytics.data.converter")
    parts = [square(0.1, 0.1, 0.1), square(0.5, 0.2, 0.2), square(0.3, 0.7, 0.1)]
    theirs = np.concatenate(converter.merge_multi_segment([part.ravel().tolist() for part in parts]))
    assert area(join(parts)) == pytest.approx(area(theirs))


def test_polygon_of_a_row_lies_in_the_image_and_has_an_area():
    box = np.array([0.5, 0.5, 0.2, 0.4])
    assert outline([], box).tolist() == rectangle(box).tolist()
    assert rectangle(box) == pytest.approx(np.array([(0.4, 0.3), (0.6, 0.3), (0.6, 0.7), (0.4, 0.7)]))
    beyond = outline([np.array([(-0.5, 0.2), (0.5, 1.5), (0.5, 0.2)])], box)
    assert beyond.tolist() == [[0, 0.2], [0.5, 1], [0.5, 0.2]]
    # A line is no polygon.
    assert outline([np.array([(0.1, 0.2), (0.5, 0.2), (0.7, 0.2)])], box).tolist() == rectangle(box).tolist()


def test_all_rows_are_polygons_where_they_are_asked_for(tmp_path):
    def change(data):
        data["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 30], [12, 25, 20, 28, 12, 30]]
        data["annotations"][1]["segmentation"] = {"size": [50, 100], "counts": [5000]}

    source = edit(write_coco(tmp_path / "in"), change)
    convert(str(source), tmp_path / "out", target="yolo", images="link", task="segment")
    lines = (tmp_path / "out/train/labels/train1.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [1 + 2 * 8, 1 + 2 * 4]
    assert lines[1] == "1 0.0 0.0 0.505 0.0 0.505 0.505 0.0 0.505"
    report = detect(str(tmp_path / "out"))
    assert (report.task, [finding.code for finding in report.findings]) == ("segment", ["polygon-row"])
    convert(str(source), tmp_path / "boxes", target="yolo", images="link")
    assert (tmp_path / "boxes/train/labels/train1.txt").read_text().startswith("0 0.2 0.4 0.2 0.4\n")


def test_many_images_of_one_stem_get_names_in_no_time():
    flat = flat_names(["frame.jpg"] * 40_000)
    assert len(set(flat)) == 40_000
    assert flat[:3] == ["frame.jpg", "frame_1.jpg", "frame_2.jpg"]


def test_flat_names_have_stems_of_their_own_and_fit_into_a_file_system():
    names = ["a/b.jpg", "a__b.png", "A__B.jpg", "x_1.jpg", "x.jpg", "x.png", "é" * 200 + ".jpg", "é" * 200 + ".png"]
    flat = flat_names(names)
    assert flat[:6] == ["a__b.jpg", "a__b_1.png", "A__B_2.jpg", "x_1.jpg", "x.jpg", "x_2.png"]
    assert all(len(name.encode()) < 220 for name in flat)
    assert len({label_name(name).casefold() for name in flat}) == len(names)
    assert flat_names([".a.jpg", ".b/c.jpg"]) == ["_.a.jpg", "_.b__c.jpg"]
