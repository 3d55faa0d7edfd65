import json
from types import SimpleNamespace

import pytest

from rfdetr_train.datasets import detect
from rfdetr_train.errors import ExitCode

from ..component import convert_dataset


def run(dataset, tmp_path, fingerprint=""):
    artifact = SimpleNamespace(path=str(tmp_path / "dataset"), metadata={})
    convert_dataset.python_func(str(dataset), artifact, fingerprint)
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
