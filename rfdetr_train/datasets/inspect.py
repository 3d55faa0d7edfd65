"""Findings: what can be wrong with a dataset, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rfdetr_train.datasets.model import Finding, Severity, printable

MAX_EXAMPLES = 5


class Kind(NamedTuple):
    """A kind of finding."""

    severity: Severity
    message: str
    fix: str


KINDS = {
    "missing-split": Kind(
        "error",
        "A split that is needed is not there.",
        "Add it. Without a test split, eval_split=valid scores on the split that chose the checkpoint.",
    ),
    "empty-split": Kind("error", "A split has nothing to learn or to measure.", "Add labelled images to it."),
    "missing-image": Kind(
        "error", "An image that the annotations name does not exist.", "Add the image or remove its annotations."
    ),
    "unsafe-file-name": Kind(
        "error", "The name of an image leaves the dataset.", "Write file_name relative to the folder of the images."
    ),
    "missing-area": Kind(
        "error", "An annotation has no 'area'; the trainer stops at it.", "Write area, for a box width x height."
    ),
    "missing-bbox": Kind(
        "error", "An annotation has no 'bbox' of four numbers; the trainer stops at it.", "Write bbox as [x, y, w, h]."
    ),
    "unknown-category": Kind(
        "error",
        "An annotation has a category_id that 'categories' does not list.",
        "Add the category or correct the id.",
    ),
    "unknown-image": Kind(
        "error", "An annotation has an image_id that 'images' does not list.", "Add the image or remove the annotation."
    ),
    "duplicate-image-id": Kind("error", "Two images have the same id.", "Give every image its own id."),
    "duplicate-annotation-id": Kind("error", "Two annotations have the same id.", "Give every annotation its own id."),
    "duplicate-category-id": Kind("error", "Two categories have the same id.", "Give every category its own id."),
    "category-mismatch": Kind(
        "error",
        "A category id has another name than in the train split; every label of it would be wrong.",
        "Use the categories of the train split in all splits.",
    ),
    "class-only-in-valid": Kind(
        "error",
        "The valid or test split has a class that the train split never shows.",
        "Add examples to train, or remove the class from the other splits.",
    ),
    "class-id-out-of-range": Kind(
        "error", "A label row has a class id that 'names' does not list.", "Correct the row, or add the class to names."
    ),
    "malformed-row": Kind(
        "error",
        "A label row is neither 'class x y width height' nor 'class' with at least three points.",
        "Correct or remove the row.",
    ),
    "degenerate-box": Kind(
        "warning",
        "A box has no area inside its image: width or height is zero, negative or not a number, or it lies outside.",
        "It is left out of training and of converted files.",
    ),
    "box-outside-image": Kind(
        "warning", "A box reaches over the edge of its image.", "It is clipped to the image in training and conversion."
    ),
    "polygon-row": Kind("warning", "A label row is a polygon.", "Its bounding box is used."),
    "duplicate-class-name": Kind(
        "warning", "Two classes have the same name; the model learns them as two.", "Merge them if they are one."
    ),
    "unused-parent-category": Kind(
        "info",
        "A category groups others and has no annotation of its own.",
        "It is not a class of the model, as in RF-DETR.",
    ),
    "unlabelled-images": Kind("info", "An image has no boxes.", "It is used as background."),
}


class Findings:
    """Collects findings; the first places of each kind are kept, all are counted."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: dict[tuple[str, Severity], int] = {}
        self._examples: dict[tuple[str, Severity], list[str]] = {}

    def add(self, code: str, example: str, *, severity: Severity | None = None) -> None:
        """Count one more finding of a kind.

        Args:
            code: One of ``KINDS``.
            example: Where it is.
            severity: Instead of the usual severity of the kind.
        """
        key = (code, severity or KINDS[code].severity)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= MAX_EXAMPLES:
            self._examples.setdefault(key, []).append(printable(example))

    def to_list(self) -> list[Finding]:
        """Return the findings, errors first, each severity in the order of ``KINDS``."""
        ordered = sorted(self._counts, key=lambda key: (("error", "warning", "info").index(key[1]), _ORDER[key[0]]))
        return [
            Finding(code, severity, KINDS[code].message, self._counts[code, severity], examples, KINDS[code].fix)
            for code, severity in ordered
            for examples in [self._examples[code, severity]]
        ]


_ORDER = {code: position for position, code in enumerate(KINDS)}


def inspect_classes(classes: Sequence[str], source: str, findings: Findings) -> None:
    """Report class names that occur twice."""
    for label, name in enumerate(classes):
        if name in classes[:label]:
            findings.add("duplicate-class-name", f"{source}: '{name}'")


def inspect_unseen_classes(
    classes: Sequence[str], boxes: Mapping[str, Mapping[int, int]], places: Mapping[str, str], findings: Findings
) -> None:
    """Report classes that valid or test show and train does not.

    Args:
        classes: Names by label.
        boxes: Split name -> label -> number of boxes.
        places: Split name -> annotation file or folder.
        findings: Where to report.
    """
    if "train" not in boxes:
        return
    for split, counts in boxes.items():
        for label in sorted(counts):
            if counts[label] and not boxes["train"].get(label):
                findings.add("class-only-in-valid", f"{places[split]}: '{classes[label]}' ({counts[label]} boxes)")
