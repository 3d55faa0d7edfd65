import json

import msgspec
from dataset_builders import DATA_YAML, edit, put, write_coco, write_yolo

from rfdetr_train.datasets import detect


def test_json_report_holds_what_the_report_holds(tmp_path):
    report = detect(
        str(edit(write_coco(tmp_path / "set"), lambda data: data["annotations"][1].update(bbox=[0, 0, 0, 0])))
    )
    report.write_json(tmp_path / "out" / "report.json")
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data == report.to_json()
    assert (data["format"], data["layout"], data["classes"]) == ("coco", "roboflow", ["cat", "dog"])
    assert data["splits"]["train"]["box_count"] == 3
    assert data["findings"][0]["code"] == "degenerate-box"
    assert data["fingerprint"] == report.fingerprint


def test_terminal_summary_names_format_task_splits_classes_evidence_and_findings(tmp_path):
    put(write_yolo(tmp_path) / "train/labels/train2.txt", "0 0.5 0.5 0 0")
    report = detect(str(tmp_path))
    lines = report.to_text().splitlines()
    assert lines[0] == f"{tmp_path}: YOLO (roboflow layout), task detect"
    assert lines[1] == "  2 classes: cat, dog"
    assert lines[2].split() == ["train", "2", "images", "3", "boxes", "train/labels"]
    assert lines[5] == f"  {report.evidence[0]}"
    assert "  confidence 100%; checked: all annotations" in lines
    assert f"  fingerprint {report.fingerprint}" in lines
    assert lines[-1].startswith("  warning: degenerate-box (1): A box has no area")
    assert "First: train/labels/train2.txt:1." in lines[-1]


def test_report_says_what_was_looked_at_and_how_sure_it_is(tmp_path):
    report = msgspec.structs.replace(
        detect(str(write_yolo(tmp_path))), checked="sample", confidence=0.4, evidence=["one <b>", "two"], fingerprint=""
    )
    assert "confidence 40%; checked: a sample of the annotations" in report.to_text()
    assert "fingerprint" not in report.to_text()
    page = report.to_markdown()
    assert (
        "- Task: detect\n- Told from: one &lt;b&gt;; two (confidence 40%)\n- Checked: a sample of the annotations\n"
        in page
    )
    assert "- Fingerprint: none, for only a sample was read" in page


def test_many_classes_are_shortened_in_the_summary_and_whole_in_the_page(tmp_path):
    names = [f"class{number}" for number in range(100)]
    write_yolo(tmp_path, DATA_YAML.replace("nc: 2", "").replace("['cat', 'dog']", str(names)))
    report = detect(str(tmp_path))
    assert "class39 and 60 more" in report.to_text()
    assert "| 99 | class99 | 0 | 0 | 0 |" in report.to_markdown()


def test_names_from_a_dataset_cannot_become_markup_or_terminal_codes(tmp_path):
    evil = "<script>|[x](http://y)\x1b[31m\n# big"
    edit(write_coco(tmp_path), lambda data: data["categories"][0].update(name=evil))
    edit(tmp_path, lambda data: data["images"][0].update(file_name=evil))
    report = detect(str(tmp_path))
    page, text = report.to_markdown(), report.to_text()
    assert "<script>" not in page
    assert "[x](" not in page
    assert "\x1b" not in page + text
    assert "&lt;script&gt;\\|" in page
    assert not [line for line in page.splitlines() if line.startswith("# big")]


def test_markdown_report_is_written(tmp_path):
    report = detect(str(write_coco(tmp_path / "set")))
    report.write_markdown(str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text()
    assert text == report.to_markdown()
    assert "| train | train | 2 | 3 |" in text
    assert text.endswith("## Findings\n\nNone.\n")
