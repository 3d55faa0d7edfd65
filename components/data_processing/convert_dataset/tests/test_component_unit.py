import json
import shutil
from types import SimpleNamespace

import pytest

from rfdetr_train.datasets import detect
from rfdetr_train.errors import ExitCode

from ..component import convert_dataset


def run(dataset, tmp_path, fingerprint="", **arguments):
    artifact = SimpleNamespace(path=str(tmp_path / "dataset"), metadata={})
    report = SimpleNamespace(path=str(tmp_path / "report.md"))
    convert_dataset.python_func(str(dataset), artifact, report, fingerprint, **arguments)
    return tmp_path / "dataset", artifact.metadata


def test_annotations_and_manifest_are_written_but_no_image(shapes, tmp_path):
    fingerprint = detect(str(shapes)).fingerprint
    folder, metadata = run(shapes, tmp_path, fingerprint)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"dataset.json", *(f"{split}/_annotations.coco.json" for split in ("train", "valid", "test"))}
    assert metadata["fingerprint"] == fingerprint == json.loads((folder / "dataset.json").read_text())["fingerprint"]


def test_dataset_that_changed_since_it_was_checked_is_refused(shapes, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(shapes, tmp_path, "0" * 64)
    assert ended.value.code == ExitCode.BAD_DATA
    assert "changed while the pipeline ran" in capsys.readouterr().err


def test_bad_image_stops_the_step_or_is_left_out_as_the_policy_says(shapes, tmp_path, capsys):
    data = shutil.copytree(shapes, tmp_path / "data")
    first = min((data / "train" / "images").iterdir())
    first.write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        run(data, tmp_path)
    assert ended.value.code == ExitCode.BAD_DATA
    assert "unreadable-image" in capsys.readouterr().err
    folder, _ = run(data, tmp_path, on_data_error="drop")
    names = {
        image["file_name"] for image in json.loads((folder / "train" / "_annotations.coco.json").read_text())["images"]
    }
    assert first.name not in names and len(names) == len(list(first.parent.iterdir())) - 1
    assert "unreadable-image" in (tmp_path / "report.md").read_text()
