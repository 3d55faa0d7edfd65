"""Write an evaluation for people (HTML, Markdown) and for programs (JSON)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from rfdetr_train.evaluation.files import REPORT_HTML, REPORT_JSON
from rfdetr_train.evaluation.model import DISPLAY_THRESHOLD, Box, Evaluation, SampleImage
from rfdetr_train.evaluation.score import METRICS, ClassScore
from rfdetr_train.evaluation.thumbnail import draw_boxes
from rfdetr_train.files import atomic_write_text

# KFP fetches the whole file into the page; it sets no limit of its own, and tens of megabytes end the browser's tab.
MAX_HTML_BYTES = 2_000_000
MAX_SAMPLES = 16
MAX_CLASS_ROWS = 200
_MAX_TEXT = 200

_GREEN, _RED = "#15803d", "#dc2626"
_HEADLINE = ("AP", "AP50", "AR100")


def choose_samples(file_names: Iterable[str], count: int = 8) -> list[str]:
    """Choose up to ``count`` images, evenly spread over the sorted names: the same ones every time."""
    names = sorted(file_names)
    if len(names) <= count:
        return names
    return [names[index * len(names) // count] for index in range(count)]


def write_reports(evaluation: Evaluation, directory: Path) -> None:
    """Write ``evaluation.json`` and ``report.html`` into ``directory``, each in one step."""
    data = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False)
    atomic_write_text(Path(directory) / REPORT_JSON, data + "\n")
    atomic_write_text(Path(directory) / REPORT_HTML, to_html(evaluation))


def to_html(evaluation: Evaluation) -> str:
    """One page without scripts or links to other files, at most ``MAX_HTML_BYTES``; samples are dropped to fit."""
    template = _environment().get_template("report.html.jinja")
    pictures = [_draw(sample) for sample in evaluation.samples[:MAX_SAMPLES]]
    while True:
        page = template.render(
            evaluation=evaluation,
            scores=evaluation.scores,
            metrics=METRICS,
            headline=_HEADLINE,
            class_rows=_class_rows(evaluation),
            facts=_facts(evaluation),
            pictures=pictures,
            threshold=DISPLAY_THRESHOLD,
        )
        if len(page.encode()) <= MAX_HTML_BYTES or not pictures:
            return page
        pictures.pop()


def to_markdown(evaluation: Evaluation) -> str:
    """The numbers without the pictures, for places that show Markdown."""
    scores = evaluation.scores
    sections = [
        f"# {_markdown(evaluation.model)} on {_markdown(evaluation.split)}",
        _markdown(_verdict(evaluation)),
        _table(
            ("Metric", "Value", "Meaning"), [(name, _number(getattr(scores, name)), METRICS[name]) for name in METRICS]
        ),
        _table(
            ("Class", "Images", "Boxes", "AP", "AP50"),
            [(c.name, str(c.images), str(c.boxes), _number(c.AP), _number(c.AP50)) for c in _class_rows(evaluation)],
        ),
        _table(("Evaluated", ""), _facts(evaluation)),
    ]
    return "\n\n".join(sections) + "\n"


@dataclass(frozen=True)
class _Picture:
    """A sample as the page shows it; the two data URIs are "" when the image could not be read."""

    file_name: str
    truth: str
    predicted: str
    truth_count: int
    predicted_count: int


def _draw(sample: SampleImage) -> _Picture:
    detections = [(box, f"{name} {score:.2f}") for box, name, score in sample.shown_detections]
    try:
        truth = _data_uri(sample.image_path, sample.ground_truth, _GREEN)
        predicted = _data_uri(sample.image_path, detections, _RED)
    # The scores are worth more than one picture: the page says which could not be drawn.
    except (OSError, Image.DecompressionBombError):
        truth = predicted = ""
    return _Picture(sample.file_name, truth, predicted, len(sample.ground_truth), len(detections))


def _data_uri(path: Path, boxes: Sequence[tuple[Box, str]], color: str) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(draw_boxes(path, boxes, color)).decode()


def _class_rows(evaluation: Evaluation) -> list[ClassScore]:
    return evaluation.scores.per_class[:MAX_CLASS_ROWS]


def _verdict(evaluation: Evaluation) -> str:
    """Whether the numbers may be believed, in a sentence or two."""
    if evaluation.selection_split:
        return (
            f"The checkpoint was chosen by its score on this split ({evaluation.split}), so these numbers are too "
            "good. Score a split that played no part in training before comparing models."
        )
    return f"The {evaluation.split} split played no part in choosing the checkpoint."


def _facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    scores = evaluation.scores
    facts = [
        ("Split", evaluation.split + (" (chose the checkpoint)" if evaluation.selection_split else "")),
        ("Images", f"{scores.image_count:,}"),
        ("Annotated boxes", f"{scores.box_count:,}"),
        ("Boxes without area, left out", f"{scores.degenerate_count:,}" if scores.degenerate_count else ""),
        ("Detections", f"{scores.detection_count:,}"),
        ("Model", f"{evaluation.model}, {evaluation.resolution} × {evaluation.resolution} px"),
        ("Checkpoint", evaluation.checkpoint),
        ("Epochs completed", "" if evaluation.checkpoint_epoch is None else str(evaluation.checkpoint_epoch)),
        ("Dataset", evaluation.dataset_uri),
        ("Dataset fingerprint", evaluation.dataset_fingerprint),
        ("MLflow run", evaluation.run_id),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(evaluation.versions.items()))),
    ]
    return [(name, value) for name, value in facts if value]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rfdetr_train", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": _short, "number": _number}
    environment.globals["verdict"] = _verdict
    return environment


def _short(text: str) -> str:
    """Cut what would swell the page; a file name may hold bytes that are not UTF-8 (lone surrogates)."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head)]
    lines += [[_markdown(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(text: str) -> str:
    # Behind a backslash these are plain characters: no HTML, link, picture or cell border is left in a name.
    return re.sub(r"([\\`*_\[\]<>|!#&~])", r"\\\1", " ".join(_short(text).split()))
