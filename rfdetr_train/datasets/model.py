"""What a dataset is, as the steps of a run hand it to each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rfdetr_train.datasets.layout import Format, Task
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import atomic_write_bytes

if TYPE_CHECKING:
    from rfdetr_train.datasets.findings import Policy

Severity = Literal["error", "warning", "info"]
Checked = Literal["sample", "annotations", "images"]

SPLITS = ("train", "valid", "test")
_ALIASES = {"val": "valid", "validation": "valid"}


def canonical_split(name: str) -> str:
    """Return train, valid or test for a name of a split.

    Raises:
        ParameterError: It is none of them.
    """
    canonical = _ALIASES.get(name, name)
    if canonical not in SPLITS:
        raise ParameterError(f"The split '{name}' is unknown. Name one of {', '.join(SPLITS)}.")
    return canonical


def printable(text: str, limit: int = 200) -> str:
    """Make a name from a dataset safe to print: one line, no control characters, not endless."""
    clean = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


class Finding(msgspec.Struct, frozen=True):
    """Something about the data that people should know.

    Attributes:
        code: Kebab-case name of the kind, stable across versions.
        severity: ``error`` stops a run before it starts.
        message: What is wrong, in a sentence.
        count: How many times.
        examples: Up to five places: ``file:line``, or ``file: annotation 7``.
        fix: What to do about it, or what is done.
    """

    code: str
    severity: Severity
    message: str
    count: int
    examples: list[str]
    fix: str


class Split(msgspec.Struct, frozen=True):
    """One split of a dataset.

    Attributes:
        name: train, valid or test.
        source_name: What the dataset calls it, for example val or train2017.
        image_count: Images.
        box_count: Boxes as the files give them, before degenerate ones are dropped.
        boxes_per_class: Boxes of every class, in the order of the classes.
        annotations: Key of the annotation file, or of the folder with label files.
        image_root: Key of the folder that image names are relative to; "" is the root of the dataset.
    """

    name: str
    source_name: str
    image_count: int
    box_count: int
    boxes_per_class: dict[str, int]
    annotations: str
    image_root: str


class DatasetReport(msgspec.Struct, frozen=True):
    """What ``detect`` or ``inspect`` found.

    Attributes:
        uri: Where the dataset lies.
        format: coco or yolo.
        layout: Who writes it like this, for example roboflow, standard, ultralytics or darknet.
        task: What the annotations are made for; every one of them has boxes.
        classes: Names in the order of the labels that the model is trained with.
        class_source: Where the names come from.
        splits: By canonical name.
        evidence: What the format and the task were told from.
        confidence: 0 to 1; under 0.5 somebody should look.
        checked: A sample of the annotations, all of them, or the headers of the images too.
        findings: Errors first.
        fingerprint: SHA-256 that changes when, and only when, the data changes; see ``fingerprint.py``. "" where only
            a sample was read.
        revision: Changes with every write to the place where the data lies; "" where the store does not tell.
    """

    uri: str
    format: Format
    layout: str
    task: Task
    classes: list[str]
    class_source: str
    splits: dict[str, Split]
    evidence: list[str]
    confidence: float
    checked: Checked
    findings: list[Finding]
    fingerprint: str
    revision: str

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    def to_text(self) -> str:
        """Return the report for a terminal."""
        from rfdetr_train.datasets.report import to_text

        return to_text(self)

    def to_markdown(self) -> str:
        """Return the report for a page; names from the dataset are escaped."""
        from rfdetr_train.datasets.report import to_markdown

        return to_markdown(self)

    def write_json(self, path: str | Path) -> None:
        """Write the report as JSON."""
        atomic_write_bytes(path, msgspec.json.format(msgspec.json.encode(self), indent=2))

    def write_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown."""
        atomic_write_bytes(path, self.to_markdown().encode())

    def raise_for_errors(self, policy: Policy | None = None) -> None:
        """Refuse a dataset with findings that a policy refuses; without one, with errors.

        Raises:
            DatasetError: One message with every such finding.
        """
        from rfdetr_train.datasets.findings import DEFAULT_POLICY
        from rfdetr_train.datasets.report import error_message

        policy = policy or DEFAULT_POLICY
        refusing = [finding for finding in self.findings if policy.refuses(finding.code, finding.severity)]
        if refusing:
            raise DatasetError(error_message(self, refusing))
