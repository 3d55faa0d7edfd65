import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfdetr_train.evaluation import report
from rfdetr_train.evaluation.model import Evaluation, SampleImage
from rfdetr_train.evaluation.report import choose_samples, to_html, to_markdown, write_reports
from rfdetr_train.evaluation.score import METRICS, ClassScore, Scores
from rfdetr_train.evaluation.thumbnail import LONG_SIDE, draw_boxes

ATTACK = "<script>alert('x')</script>"


def scores(*classes: ClassScore) -> Scores:
    values = {name: 0.1 + index / 100 for index, name in enumerate(METRICS)} | {"APsmall": None, "ARsmall": None}
    rows = list(classes) or [ClassScore("cat", 1, 3, 5, 0.25, 0.75), ClassScore("dog", 2, 0, 0, None, None)]
    return Scores(**values, per_class=rows, image_count=8, box_count=1234, degenerate_count=0, detection_count=2400)


def image(path: Path, width: int, height: int, noise: bool = False) -> Path:
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    else:
        pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def evaluation(tmp_path) -> Evaluation:
    sample = SampleImage(
        file_name="one.png",
        image_path=image(tmp_path / "one.png", 200, 100),
        ground_truth=[((20, 20, 60, 40), "cat")],
        detections=[((22, 21, 60, 40), "cat", 0.91), ((120, 10, 50, 50), "dog", 0.29)],
    )
    return Evaluation(
        scores=scores(),
        split="test",
        selection_split=False,
        checkpoint="s3://bucket/checkpoint_best_total.pth",
        checkpoint_epoch=37,
        model="medium",
        resolution=576,
        dataset_fingerprint="sha256:abcdef",
        dataset_uri="s3://bucket/cells",
        classes=["cat", "dog"],
        run_id="8c2f7a6d",
        samples=[sample],
        versions={"torch": "2.13.0", "rfdetr": "1.11.2"},
    )


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += " " + data


def pixel(jpeg: str, x: int, y: int) -> tuple[int, ...]:
    import base64
    import io

    return Image.open(io.BytesIO(base64.b64decode(jpeg.removeprefix("data:image/jpeg;base64,")))).getpixel((x, y))


def test_json_holds_every_number_and_where_it_came_from(evaluation, tmp_path):
    write_reports(evaluation, tmp_path / "out")

    data = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert data["scores"] == evaluation.scores.to_dict()
    assert data["scores"]["APsmall"] is None
    assert data["scores"]["per_class"][0] == {
        "name": "cat", "category_id": 1, "images": 3, "boxes": 5, "AP": 0.25, "AP50": 0.75,
    }  # fmt: skip
    assert (data["split"], data["selection_split"], data["checkpoint_epoch"]) == ("test", False, 37)
    assert (data["dataset_fingerprint"], data["run_id"]) == ("sha256:abcdef", "8c2f7a6d")
    assert [entry["score"] for entry in data["samples"][0]["detections"]] == [0.91]
    assert str(tmp_path) not in json.dumps(data)


def test_both_files_and_nothing_else_are_written_and_replaced(evaluation, tmp_path):
    for _ in range(2):
        write_reports(evaluation, tmp_path / "out")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluation.json", "report.html"]


def test_the_page_shows_the_numbers_classes_and_origin(evaluation):
    text = Page(to_html(evaluation)).text

    assert "AP 0.100" in text and "AP50 0.110" in text and "AR100 0.180" in text
    assert "APsmall –" in text
    assert "cat 3 5 0.750 0.250" in text and "dog 0 0 – –" in text
    assert all(meaning in text for meaning in METRICS.values())
    for origin in ("1,234", "sha256:abcdef", "8c2f7a6d", "37", "medium, 576 × 576 px", "rfdetr 1.11.2, torch 2.13.0"):
        assert origin in text
    assert "with a score of at least 0.3" in text


@pytest.mark.parametrize("render", [to_html, to_markdown])
def test_the_report_says_when_it_grades_on_the_selection_split(evaluation, render):
    on_valid = dataclasses.replace(evaluation, split="valid", selection_split=True)

    assert "The checkpoint was chosen by its score on this split (valid)" in render(on_valid)
    assert "The test split played no part in choosing the checkpoint" in render(evaluation)


def test_the_page_loads_nothing_and_runs_nothing(evaluation):
    page = Page(to_html(evaluation))

    assert not {"script", "link", "iframe", "object", "form", "a"} & set(page.tags)
    assert all(
        value.startswith("data:image/jpeg;base64,") for name, value in page.attributes if name in ("src", "href")
    )
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


def test_names_are_shown_and_never_become_markup(evaluation):
    hostile = dataclasses.replace(
        evaluation,
        scores=scores(ClassScore(ATTACK, 1, 1, 1, 0.5, 0.5)),
        samples=[dataclasses.replace(evaluation.samples[0], file_name=f'" onload="x{ATTACK}.png')],
        checkpoint=ATTACK,
        dataset_uri="s3://b/{{ 7 * 7 }}",
        versions={ATTACK: ATTACK},
    )

    page = Page(to_html(hostile))

    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(ATTACK) == 5
    assert "{{ 7 * 7 }}" in page.text


def test_names_do_not_become_markdown(evaluation):
    name = "a|b\n# [x](javascript:alert(1)) ![y](http://h/i.png) <b>_z_"
    text = to_markdown(dataclasses.replace(evaluation, scores=scores(ClassScore(name, 1, 1, 1, 0.5, 0.5))))

    assert r"| a\|b \# \[x\](javascript:alert(1)) \!\[y\](http://h/i.png) \<b\>\_z\_ | 1 | 1 | 0.500 | 0.500 |" in text


def test_a_name_that_is_not_unicode_is_reported_too(evaluation, tmp_path):
    odd = dataclasses.replace(evaluation.samples[0], file_name="caf\udce9.png")

    write_reports(dataclasses.replace(evaluation, samples=[odd]), tmp_path / "out")

    assert "caf?.png" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["samples"][0]["file_name"] == "caf\udce9.png"


def test_ground_truth_is_green_and_predictions_above_the_threshold_are_red(evaluation):
    pictures = [value for name, value in Page(to_html(evaluation)).attributes if name == "src"]

    # 200 x 100 px become 480 x 240: a factor of 2.4. Bottom edges, away from the labels.
    red, green, blue = pixel(pictures[0], int(50 * 2.4), 144)
    assert green > red + 40 and green > blue + 40
    red, green, blue = pixel(pictures[1], int(52 * 2.4), 146)
    assert red > green + 60 and red > blue + 60
    # The detection with a score of 0.29.
    assert max(pixel(pictures[1], int(145 * 2.4), 144)) - min(pixel(pictures[1], int(145 * 2.4), 144)) < 12


def test_the_page_stays_under_2_mb_and_says_what_it_left_out(evaluation, tmp_path):
    path = image(tmp_path / "noise.png", 480, 200, noise=True)
    samples = [SampleImage(f"{i}.png", path, [], []) for i in range(40)]
    classes = [ClassScore("long name " * 1000, i, 1, 1, 0.5, 0.5) for i in range(5000)]
    large = dataclasses.replace(evaluation, scores=scores(*classes), samples=samples, dataset_uri="u" * 1_000_000)

    page = to_html(large)

    assert 1_500_000 < len(page.encode()) <= report.MAX_HTML_BYTES
    shown = page.count("<figcaption>") // 2
    assert 1 <= shown <= report.MAX_SAMPLES
    assert f"{shown} of 40 samples" in page
    assert "The first 200 of 5000 classes" in page
    assert len(to_markdown(large).encode()) <= 256_000


def test_an_image_that_cannot_be_read_is_named_and_the_report_is_written(evaluation, tmp_path):
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    samples = [SampleImage(name, tmp_path / name, [], []) for name in ("torn.jpg", "gone.jpg")]

    text = Page(to_html(dataclasses.replace(evaluation, samples=samples))).text

    assert "torn.jpg The image could not be read. gone.jpg The image could not be read." in text


@pytest.mark.parametrize(("width", "height"), [(3000, 1500), (64, 128), (2000, 1)])
def test_thumbnails_are_480_pixels_on_the_long_side(tmp_path, width, height):
    import io

    jpeg = draw_boxes(image(tmp_path / "image.png", width, height), [], "red")

    assert max(Image.open(io.BytesIO(jpeg)).size) == LONG_SIDE


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_images_of_any_mode_are_drawn(tmp_path, mode):
    path = tmp_path / "image.tiff"
    Image.new(mode, (40, 30)).save(path)

    assert draw_boxes(path, [((1, 1, 10, 10), "x")], "red").startswith(b"\xff\xd8")


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (50, 50, -10, -10), (-100, -100, 50, 50), (90, 90, 1e9, 1e9)])
def test_boxes_of_any_shape_are_drawn(tmp_path, box):
    label = "a very long class name\nwith a 中文 line " * 9

    assert draw_boxes(image(tmp_path / "image.png", 100, 100), [(box, label)], "red")


def test_reports_are_the_same_bytes_every_time(evaluation):
    assert to_html(evaluation) == to_html(evaluation)
    assert to_markdown(evaluation) == to_markdown(evaluation)


def test_samples_are_spread_evenly_over_the_sorted_names():
    names = [f"{i:02d}.jpg" for i in range(16)]

    assert choose_samples(reversed(names)) == names[::2]
    assert choose_samples(names, 3) == ["00.jpg", "05.jpg", "10.jpg"]
    assert choose_samples(names[:5]) == names[:5]
    assert choose_samples([]) == []
