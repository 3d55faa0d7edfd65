"""Evaluation from a checkpoint file to the scores, against independent figures."""

import csv
import json

import pytest
from PIL import Image
from rfdetr import RFDETR

from rfdetr_train.checkpoints.files import BEST_REGULAR, BEST_TOTAL
from rfdetr_train.datasets import convert
from rfdetr_train.errors import CheckpointError, DatasetError
from rfdetr_train.evaluation.evaluate import evaluate

HERE = {"device": "cpu", "batch_size": 4, "num_workers": 0}


def test_scores_agree_with_rfdetr_on_the_same_weights_and_split(trained, prepared, staged, tmp_path):
    """rfdetr rounds the annotations to float32 and allows 500 detections: 1e-3 apart at most, not equal."""
    _, result = trained
    evaluation = evaluate(str(result.output_dir / BEST_TOTAL), prepared, tmp_path, split="valid", **HERE)
    detector = RFDETR.from_checkpoint(result.output_dir / BEST_TOTAL)
    theirs = detector.evaluate(split="val", dataset_dir=str(staged), output_dir=str(tmp_path / "o"), device="cpu",
                               batch_size=4, num_workers=0)  # fmt: skip
    assert evaluation.scores.AP > 0
    assert pytest.approx(float(theirs["val/mAP_50_95"]), abs=1e-3) == evaluation.scores.AP
    assert pytest.approx(float(theirs["val/mAP_50"]), abs=1e-3) == evaluation.scores.AP50


def test_best_raw_weights_score_what_the_training_logged(trained, prepared, tmp_path):
    _, result = trained
    evaluation = evaluate(str(result.output_dir / BEST_REGULAR), prepared, tmp_path, split="valid", **HERE)
    with (result.output_dir / "metrics.csv").open() as file:
        logged = max(float(row["val/mAP_50_95"]) for row in csv.DictReader(file) if row["val/mAP_50_95"])
    assert pytest.approx(logged, abs=1e-3) == evaluation.scores.AP
    assert evaluation.selection_split


def test_folder_of_a_run_stands_for_its_best_model(trained, prepared, tmp_path):
    _, result = trained
    evaluation = evaluate(str(result.output_dir), prepared, tmp_path, split="test", **HERE)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert (written["split"], written["selection_split"], written["model"]) == ("test", False, "nano")
    assert written["checkpoint_epoch"] == evaluation.checkpoint_epoch in (1, 2, 3)
    assert written["scores"]["AP"] == evaluation.scores.AP
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_split_that_the_dataset_does_not_have_is_refused_with_the_way_out(trained, tmp_path):
    _, result = trained
    data = tmp_path / "data"
    for split, colour in (("train", "white"), ("valid", "black")):
        (data / split).mkdir(parents=True)
        Image.new("RGB", (64, 64), colour).save(data / split / "a.png")
        (data / split / "_annotations.coco.json").write_text(json.dumps({
            "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "circle"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}],
        }))  # fmt: skip
    convert(str(data), tmp_path / "prepared", target="coco", images="reference")
    with pytest.raises(DatasetError, match=r"has no split 'test', only train, valid.*eval_split=valid"):
        evaluate(str(result.output_dir), tmp_path / "prepared", tmp_path / "out", split="test", **HERE)
    assert not (tmp_path / "out").exists()


def test_file_that_needs_unpickling_is_refused_and_not_run(prepared, tmp_path):
    import os
    import pickle

    class Canary:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": Canary()}))
    with pytest.raises(CheckpointError, match="not a checkpoint that can be loaded safely"):
        evaluate(str(tmp_path / "evil.pth"), prepared, tmp_path / "out", split="test", **HERE)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not a checkpoint"), (b"PK\x03\x04 half", "not a checkpoint"), (None, "does not exist")],
)
def test_missing_or_damaged_checkpoint_is_refused(prepared, tmp_path, content, reason):
    if content is not None:
        (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        evaluate(str(tmp_path / "c.pth"), prepared, tmp_path / "out", split="test", **HERE)
