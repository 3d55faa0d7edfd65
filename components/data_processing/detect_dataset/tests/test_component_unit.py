import json
from types import SimpleNamespace

import pytest

from rfdetr_train.errors import ExitCode

from ..component import detect_dataset


def run(dataset, tmp_path, **arguments):
    report, findings = tmp_path / "report.md", tmp_path / "findings.json"
    outputs = (SimpleNamespace(path=str(path)) for path in (report, findings))
    return detect_dataset.python_func(str(dataset), *outputs, **arguments), report, findings


def test_format_and_fingerprint_are_named_and_the_report_is_written_as_markdown_and_json(shapes, tmp_path):
    (name, fingerprint, revision), report, findings = run(shapes, tmp_path)
    assert name == "yolo"
    assert (len(fingerprint), revision) == (64, "")
    assert "circle" in report.read_text()
    told = json.loads(findings.read_text())
    assert (told["format"], told["fingerprint"], told["classes"]) == ("yolo", fingerprint, ["circle", "square"])


def test_dataset_without_the_split_to_evaluate_is_refused(shapes, tmp_path, capsys):
    for part in ("images", "labels"):
        (tmp_path / "data" / "train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "valid").mkdir(parents=True, exist_ok=True)
        for split in ("train", "valid"):
            (tmp_path / "data" / split / part).symlink_to(shapes / split / part)
    (tmp_path / "data" / "data.yaml").write_text("train: train/images\nval: valid/images\nnames: [circle, square]\n")
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "data", tmp_path)
    assert ended.value.code == ExitCode.BAD_DATA
    assert "test" in capsys.readouterr().err


def test_folder_that_is_no_dataset_ends_the_step_as_bad_data(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, tmp_path)
    assert ended.value.code == ExitCode.BAD_DATA
    assert "Traceback" not in capsys.readouterr().err
