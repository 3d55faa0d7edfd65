"""The commands as a user types them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rfdetr_train.cli import COMMANDS, main
from rfdetr_train.errors import ExitCode
from rfdetr_train.params import TRAINING_PARAMETERS, Parameters, shown_default

RFDETR_TRAIN = Path(sys.executable).parent / "rfdetr-train"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_of_train_lists_the_22_parameters_with_default_and_description():
    text = " ".join(run("train", "--help").output.split())
    for name in TRAINING_PARAMETERS:
        shown = f"--{name} VALUE {Parameters.model_fields[name].description} [{shown_default(name)}]"
        assert shown in text, name


@pytest.mark.parametrize("flag", ["--batch_size", "--batch-size"])
def test_flags_may_be_spelled_either_way(flag):
    ended = run("train", "--dataset_dir", "d", flag, "0")
    assert ended.exit_code == ExitCode.BAD_PARAMETERS
    assert "batch_size: '0' is not allowed" in ended.output


def test_unknown_flag_is_refused_with_the_nearest():
    ended = run("train", "--dataset_dir", "d", "--epoch", "3")
    assert ended.exit_code == ExitCode.BAD_PARAMETERS
    assert "--epochs" in ended.output


@pytest.mark.parametrize(("name", "layout"), [("bccd-yolo", "YOLO"), ("bccd-coco", "COCO")])
def test_detect_tells_format_classes_counts_and_degenerate_boxes_of_the_real_sample(shared, name, layout, tmp_path):
    ended = run("detect", shared / "data" / name, "--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md")
    assert ended.exit_code == ExitCode.DONE
    assert layout in ended.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["classes"] == ["Platelets", "RBC", "WBC"]
    assert [report["splits"][split]["image_count"] for split in ("train", "valid", "test")] == [205, 87, 72]
    (degenerate,) = [finding for finding in report["findings"] if finding["code"] == "degenerate-box"]
    assert degenerate["count"] == 2
    for word in ("Platelets", "RBC", "WBC", "205", "87", "72", "degenerate-box"):
        assert word in ended.output
        assert word in (tmp_path / "r.md").read_text()


def test_detecting_does_not_import_what_only_training_needs(shapes):
    code = (
        "import sys; from rfdetr_train.cli import COMMANDS, main; main(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'torch', 'rfdetr', 'mlflow', 'kfp'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code, "detect", shapes], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("[]\n")


def test_help_lists_every_command_without_importing_what_only_some_need():
    code = (
        "import sys; from rfdetr_train.cli import COMMANDS, main; main(['--help'], standalone_mode=False); "
        "print(sorted({'pydantic', 'numpy', 'msgspec', 'yaml', 'obstore'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("[]\n")
    for name, (_, does) in COMMANDS.items():
        assert f"{name} " in ended.stdout
        command = main.get_command(None, name)
        assert command.name == name
        assert (command.help or "").startswith(does.removesuffix(".").split(",")[0]), name


def test_bad_dataset_ends_with_its_exit_code_and_no_traceback(tmp_path):
    ended = subprocess.run([RFDETR_TRAIN, "detect", tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.BAD_DATA
    assert "Traceback" not in ended.stderr
    assert str(tmp_path) in ended.stderr


def test_convert_goes_both_ways(shapes, tmp_path):
    assert run("convert", shapes, tmp_path / "coco", "--to", "coco").exit_code == ExitCode.DONE
    assert run("convert", tmp_path / "coco", tmp_path / "yolo", "--to", "yolo").exit_code == ExitCode.DONE
    assert len(list((tmp_path / "yolo").rglob("*.jpg"))) == 32
    for name in ("train", "valid", "test"):
        assert (tmp_path / "coco" / name / "_annotations.coco.json").is_file()


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda coco: coco["annotations"][0].update(category_id=99), "unknown-category"),
        (lambda coco: coco["images"][0].update(file_name="gone.jpg"), "missing-image"),
        (lambda coco: coco["annotations"].clear(), "empty-split"),
    ],
    ids=["category", "image", "boxes"],
)
def test_training_does_not_start_on_bad_data_and_leaves_nothing(shapes, tmp_path, monkeypatch, break_it, code):
    monkeypatch.chdir(tmp_path)
    assert run("convert", shapes, "coco", "--to", "coco", "--images", "copy").exit_code == ExitCode.DONE
    annotations = Path("coco/train/_annotations.coco.json")
    coco = json.loads(annotations.read_text())
    break_it(coco)
    annotations.unlink()
    annotations.write_text(json.dumps(coco))
    (Path("coco") / "dataset.json").unlink()
    ended = run("train", "--dataset_dir", "coco", "--device", "cpu")
    assert ended.exit_code == ExitCode.BAD_DATA
    assert re.search(code, ended.output)
    assert [path.name for path in tmp_path.iterdir()] == ["coco"]


def test_class_only_in_valid_stops_the_training_before_it_starts(shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("convert", shapes, "coco", "--to", "coco", "--images", "copy")
    annotations = Path("coco/valid/_annotations.coco.json")
    coco = json.loads(annotations.read_text())
    coco["categories"].append({"id": 9, "name": "triangle"})
    coco["annotations"][0]["category_id"] = 9
    annotations.write_text(json.dumps(coco))
    ended = run("train", "--dataset_dir", "coco", "--device", "cpu")
    assert (ended.exit_code, "class-only-in-valid" in ended.output) == (ExitCode.BAD_DATA, True)
    assert not Path("output").exists()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "does not exist"), (b"not a checkpoint", "cannot be loaded|loaded safely")]
)
def test_resume_from_what_is_no_checkpoint_is_refused_with_the_reason(shapes, tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("c.pth").write_bytes(content)
    ended = run("train", "--dataset_dir", shapes, "--device", "cpu", "--resume", "c.pth")
    assert ended.exit_code == ExitCode.BAD_PARAMETERS
    assert re.search(f"resume: c.pth.*{reason}", ended.output)
    assert not Path("output").exists()
