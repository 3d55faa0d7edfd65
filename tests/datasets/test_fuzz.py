"""Any bytes in any file of a dataset are read or refused with a ``DatasetError``: no other exception, and no hang."""

import io
import json
import math
import os
import shutil
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from traps.truth import image_bytes, put
from traps.writing import DATA_YAML, Coco, Yolo

from rfdetr_train.datasets import convert, detect, inspect
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.errors import DatasetError

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's, which would end up in the user's log
EXAMPLES = int(os.environ.get("RFDETR_FUZZ_EXAMPLES", "50"))
"""Of each test; a hunt takes some thousands."""
# Every example writes the file that it is about, in a folder that the examples of a test share.
bounded = settings(
    max_examples=EXAMPLES, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def look(root):
    """Read a dataset in every way; all of them may only refuse it."""
    reports = []
    for read in (detect, inspect):
        try:
            reports.append(read(str(root)))
        except DatasetError as error:
            assert str(error).isprintable() or "\n" in str(error)
            assert len(str(error)) < 20_000
    for report in reports:
        for split in report.splits.values():
            assert split.box_count >= sum(split.boxes_per_class.values()) >= 0
        report.to_text()
        report.to_markdown()
    return reports


def convert_all(root, output, target):
    shutil.rmtree(output, ignore_errors=True)
    try:
        convert(str(root), output, target=target, policy=Policy(on_error="drop"))
    except DatasetError:
        assert not output.exists()


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz") / "coco"
    Coco(root).write()
    return root


@pytest.fixture
def yolo_root(tmp_path):
    Yolo(tmp_path / "yolo").write()
    return tmp_path / "yolo"


def spliced(content):
    """Bytes of a good file with some of them cut out and others put in."""
    part = st.tuples(st.integers(0, len(content)), st.integers(0, 40), st.binary(max_size=12))

    def apply(edits):
        data = content
        for at, cut, new in edits:
            data = data[:at] + new + data[at + cut :]
        return data

    return st.lists(part, min_size=1, max_size=4).map(apply)


# data.yaml

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=12)
PATHS = st.sampled_from(
    ["train/images", "../train/images", "/x", "..", ".", "", "valid", "a.txt", "train/images/a.jpg"]
)
VALUES = st.recursive(
    SCALARS | PATHS, lambda v: st.lists(v, max_size=3) | st.dictionaries(SCALARS, v, max_size=3), max_leaves=6
)
KEYS = ["train", "val", "valid", "test", "names", "nc", "path", "task", "kpt_shape", "download", "channels"]


@bounded
@given(st.binary(max_size=200) | spliced(DATA_YAML.encode()))
def test_any_bytes_for_data_yaml_are_read_or_refused(yolo_root, content):
    put(yolo_root / "data.yaml", content)
    look(yolo_root)


@bounded
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_values_in_data_yaml_are_read_or_refused(yolo_root, values):
    import yaml

    good = {"train": "train/images", "val": "valid/images", "names": ["cat", "dog"]}
    put(yolo_root / "data.yaml", yaml.dump({**good, **values}, allow_unicode=True))
    look(yolo_root)


@bounded
@given(st.text(max_size=80) | st.lists(PATHS | st.text(max_size=10), max_size=5).map("\n".join))
def test_any_list_file_is_read_or_refused(yolo_root, content):
    put(yolo_root / "data.yaml", DATA_YAML.replace("train/images", "train.txt"))
    put(yolo_root / "train.txt", content.encode("utf-8", "surrogatepass"))
    look(yolo_root)


# COCO

NUMBERS = st.sampled_from([0, 1, 2, -1, 1e308, -1e308, 1e-320, 2**63, -(2**63), 10**30, math.nan, math.inf, 0.5, 1.0])
ODD = NUMBERS | st.none() | st.booleans() | st.text(max_size=5) | st.lists(NUMBERS, max_size=5) | st.just({})
FIELDS = {
    "images": ["id", "file_name", "width", "height"],
    "annotations": ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"],
    "categories": ["id", "name", "supercategory"],
}
EDITS = st.sampled_from([(table, field) for table, fields in FIELDS.items() for field in fields])


@bounded
@given(st.binary(max_size=100))
def test_any_bytes_for_coco_are_read_or_refused(coco_root, content):
    put(coco_root / "train/_annotations.coco.json", content)
    look(coco_root)


@bounded
@given(st.data())
def test_any_splice_of_a_coco_file_is_read_or_refused(coco_root, tmp_path, data):
    good = (coco_root / "valid/_annotations.coco.json").read_bytes()
    put(coco_root / "train/_annotations.coco.json", data.draw(spliced(good)))
    look(coco_root)


@bounded
@given(st.lists(st.tuples(EDITS, st.integers(0, 2), ODD), min_size=1, max_size=4))
def test_any_value_in_a_field_of_coco_is_read_or_refused(coco_root, tmp_path, edits):
    values = json.loads((coco_root / "valid/_annotations.coco.json").read_text())
    for (table, field), row, value in edits:
        values[table][row % len(values[table])][field] = value
    put(coco_root / "train/_annotations.coco.json", json.dumps(values))
    put(coco_root / "train/v.jpg", image_bytes(9, (64, 48)))
    if look(coco_root):
        convert_all(coco_root, tmp_path / "output", "yolo")


@bounded
@given(
    st.dictionaries(st.sampled_from(["images", "annotations", "categories", "info"]), ODD | st.lists(ODD, max_size=3))
)
def test_any_values_for_the_lists_of_coco_are_read_or_refused(coco_root, values):
    put(coco_root / "train/_annotations.coco.json", json.dumps(values))
    look(coco_root)


# Label rows

TOKENS = st.sampled_from(
    [
        *("0", "1", "2", "-1", "0.0", "1e0", "0.5", ".5", "5e-1", "0,5", "nan", "inf", "-inf", "1e999", "1e-999"),
        *(
            "0x1",
            "1_0",
            "\u0663",
            "\u00bd",
            "+1",
            "--1",
            "",
            "\t",
            "\xa0",
            "\ufeff",
            "cat",
            "9" * 400,
            "0." + "3" * 400,
        ),
    ]
)
ROWS = st.lists(TOKENS, max_size=12).map(" ".join)


@bounded
@given(st.binary(max_size=120) | st.lists(ROWS, max_size=6).map(lambda rows: "\n".join(rows).encode()))
@pytest.mark.parametrize("extra", ["", "kpt_shape: [2, 3]\n", "task: segment\n"])
def test_any_label_rows_are_read_or_refused(yolo_root, tmp_path, extra, content):
    put(yolo_root / "data.yaml", DATA_YAML + extra)
    put(yolo_root / "train/labels/a.txt", content)
    if look(yolo_root):
        convert_all(yolo_root, tmp_path / "output", "coco")


@bounded
@given(st.text(max_size=60))
def test_any_class_names_are_read_or_refused(yolo_root, content):
    (yolo_root / "data.yaml").unlink(missing_ok=True)
    put(yolo_root / "classes.txt", content.encode("utf-8", "surrogatepass"))
    look(yolo_root)


# Images


def encoded(kind, **options):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (33, 21), (200, 20, 80)).save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


HEADERS = {
    "jpg": encoded("JPEG"),
    "png": encoded("PNG"),
    "webp": encoded("WEBP"),
    "tif": encoded("TIFF"),
    "bmp": image_bytes(1, (9, 9), "BMP"),
}


@pytest.mark.parametrize("kind", HEADERS)
@settings(bounded, max_examples=EXAMPLES // 2)
@given(data=st.data())
def test_any_bytes_for_an_image_are_read_or_reported(yolo_root, tmp_path, kind, data):
    path = yolo_root / f"train/images/a.{kind}"
    (yolo_root / "train/images/a.jpg").unlink(missing_ok=True)
    put(path, data.draw(spliced(HEADERS[kind]) | st.binary(max_size=64).map(lambda tail: HEADERS[kind][:12] + tail)))
    for report in look(yolo_root):
        assert report.splits["train"].image_count == 2
    convert_all(yolo_root, tmp_path / "output", "coco")
