"""Each trap is named by inspect, and what a conversion gives is right to a millionth of a pixel.

The first fifty are the cases on which the converters of others were compared; RF-DETR, the images and the files of
other programs gave the rest. Converted datasets are read back with json and plain text, see ``traps/reader.py``.
"""

import zipfile

import pytest
from click.testing import CliRunner
from traps.check import check
from traps.coco_cases import COCO_CASES
from traps.image_cases import IMAGE_CASES
from traps.more_coco import MORE_COCO
from traps.more_yolo import MORE_YOLO
from traps.yolo_cases import YOLO_CASES

from rfdetr_train.cli import main
from rfdetr_train.datasets import convert, detect, fix, inspect, stage
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.datasets.kinds import KINDS
from rfdetr_train.errors import DatasetError, ExitCode

FIFTY = {**COCO_CASES, **YOLO_CASES}
CASES = {**FIFTY, **MORE_COCO, **MORE_YOLO, **IMAGE_CASES}
OTHER = {"coco": "yolo", "yolo": "coco"}
# What only opening the images shows. From wrong sizes, detect may take boxes for outside ones.
OF_IMAGES = {
    *("size-mismatch", "exif-orientation", "wrong-extension", "unusual-pixels", "leaked-image", "duplicate-image"),
    *("truncated-image", "oversized-image", "unreadable-image"),
}
FROM_WRONG_SIZES = {"box-outside-image", "degenerate-box"}
# Refused, and under the policy warn the same as under drop or in a normalised copy.
REFUSED = {"c11", "c12", "c18", "y12", "y25", "m01", "m06", "m08", "m11", "m36", "m38", "m39", "m42"}
# Pixels, names of files and polygons stay as they are.
LEFT_BY_FIX = {"unusual-pixels", "wrong-extension", "duplicate-stem", "polygon-row"}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "animals"


def counts(report):
    return {finding.code: finding.count for finding in report.findings}


def without(codes, found):
    return {code: count for code, count in found.items() if code not in codes}


def test_there_are_the_fifty_cases():
    assert (len(COCO_CASES), len(YOLO_CASES)) == (20, 30)
    assert [name[:3] for name in FIFTY] == [f"c{n:02}" for n in range(1, 21)] + [f"y{n:02}" for n in range(1, 31)]


@pytest.mark.parametrize("name", CASES)
def test_inspect_names_what_is_wrong_and_nothing_else(root, name):
    right = CASES[name](root)
    report = inspect(str(root))
    assert (report.format, report.checked) == (right.format, "images")
    assert counts(report) == right.findings
    assert all(finding.examples for finding in report.findings)
    has_errors = any(finding.severity == "error" for finding in report.findings)
    assert has_errors == right.refused


@pytest.mark.parametrize("name", CASES)
def test_detect_names_format_task_classes_and_what_annotations_show(root, name):
    right = CASES[name](root)
    report = detect(str(root))
    assert (report.format, report.classes) == (right.format, right.classes)
    assert right.task in ("", report.task)
    assert set(report.splits) == set(right.splits)
    unseen = OF_IMAGES | (FROM_WRONG_SIZES if "size-mismatch" in right.findings else set())
    assert without(unseen, counts(report)) == without(unseen, right.findings)


@pytest.mark.parametrize("name", CASES)
def test_errors_are_refused_by_name_and_nothing_is_written(root, tmp_path, name):
    right = CASES[name](root)
    output = tmp_path / "output"
    if not right.refused:
        convert(str(root), output, target=OTHER[right.format], images="link")
        return
    with pytest.raises(DatasetError) as caught:
        convert(str(root), output, target=OTHER[right.format], images="link")
    assert caught.value.exit_code == ExitCode.BAD_DATA == 20
    assert all(code in str(caught.value) for code in right.findings if KINDS[code].severity == "error")
    assert not output.exists()


@pytest.mark.parametrize("target", ["coco", "yolo"])
@pytest.mark.parametrize("name", CASES)
def test_conversion_has_every_box_class_and_background_right(root, tmp_path, name, target):
    right = CASES[name](root)
    output = tmp_path / "output"
    if right.refused and right.on_error != "drop":
        with pytest.raises(DatasetError):
            convert(str(root), output, target=target, images="link", policy=Policy(on_error="drop"))
        return
    convert(
        str(root), output, target=target, images="link", policy=Policy(on_error="drop" if right.refused else "fail")
    )
    if not right.identical:
        # In its own format a dataset keeps boxes as they are: an evaluation is of the user's own annotations.
        own = target == right.format
        check(output, target, right, crowds=own and target == "coco", fitted=not own)


@pytest.mark.parametrize("name", [*FIFTY, *IMAGE_CASES])
def test_what_is_staged_for_training_is_right(root, tmp_path, name):
    right = CASES[name](root)
    policy = Policy(on_error="drop" if right.refused else "fail")
    convert(str(root), tmp_path / "prepared", target="coco", images="reference", policy=policy)
    folder = stage(tmp_path / "prepared", tmp_path / "staged")
    if not right.identical:
        own = right.format == "coco"
        check(folder, "coco", right, crowds=own, fitted=not own)


@pytest.mark.parametrize("name", FIFTY)
def test_archive_is_read_like_its_folder(root, tmp_path, name):
    FIFTY[name](root)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(root))
    folder, packed = inspect(str(root)), inspect(str(tmp_path / "set.zip"))
    assert (packed.classes, packed.splits, packed.fingerprint) == (folder.classes, folder.splits, folder.fingerprint)
    assert [(found.code, found.count, found.examples) for found in packed.findings] == [
        (found.code, found.count, found.examples) for found in folder.findings
    ]


@pytest.mark.parametrize("name", FIFTY)
def test_commands_end_with_the_exit_code_of_bad_data_or_give_what_is_right(root, tmp_path, name):
    right = FIFTY[name](root)
    target = OTHER[right.format]
    expected = ExitCode.BAD_DATA if right.refused else ExitCode.DONE
    for words in (["detect", root], ["inspect", root], ["convert", root, tmp_path / "output", "--to", target]):
        ended = CliRunner().invoke(main, [str(word) for word in words])
        assert ended.exit_code == expected, ended.output
    if right.refused:
        CliRunner().invoke(main, [*map(str, words), "--on-error", "drop"])
    check(tmp_path / "output", target, right)


@pytest.mark.parametrize("name", CASES)
def test_normalised_copy_is_right_and_has_no_errors(root, tmp_path, name):
    right = CASES[name](root)
    output = tmp_path / "output"
    if right.refused and not right.on_error:
        with pytest.raises(DatasetError):
            fix(str(root), output)
        return
    fix(str(root), output)
    left = {finding.code for finding in inspect(str(output)).findings if finding.severity != "info"}
    assert left <= LEFT_BY_FIX
    if not right.identical:
        check(output, right.format, right, crowds=right.format == "coco")


@pytest.mark.parametrize("name", [name for name in CASES if name[:3] in REFUSED])
def test_policy_warn_keeps_what_can_be_kept(root, tmp_path, name):
    right = CASES[name](root)
    convert(str(root), tmp_path / "output", target=OTHER[right.format], images="link", policy=Policy(on_error="warn"))
    check(tmp_path / "output", OTHER[right.format], right)


def test_four_points_without_a_hint_name_the_option_that_decides(root):
    YOLO_CASES["y26_obb_rows"](root)
    report = detect(str(root))
    (finding,) = (finding for finding in report.findings if finding.code == "ambiguous-task")
    assert "--task segment" in finding.fix and "--task obb" in finding.fix
    assert detect(str(root), task="segment").task == "segment"
    assert "ambiguous-task" not in counts(detect(str(root), task="segment"))
    with pytest.raises(DatasetError, match=r"(?i)orient"):
        detect(str(root), task="obb")
