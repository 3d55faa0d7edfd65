"""How the categories of the COCO annotation files of a dataset become the classes of a model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfdetr_train.datasets.coco import CocoCategory, Id, training_categories
from rfdetr_train.datasets.coco_columns import plain_id
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.model import Severity
from rfdetr_train.datasets.splits import merge_classes
from rfdetr_train.datasets.table import NO_CLASS, UNKNOWN, Category, Ints, Table


@dataclass(frozen=True)
class SplitCategories:
    """The categories of a split, and which annotations have which.

    Attributes:
        table: The split.
        categories: As the file lists them.
        position: (m,) position in ``categories`` of the category of each annotation, or ``UNKNOWN``.
    """

    table: Table
    categories: list[CocoCategory]
    position: Ints

    @property
    def annotated(self) -> set[Id]:
        """Ids of the categories that have annotations."""
        used = np.unique(self.position)
        return {self.categories[position].id for position in used[used != UNKNOWN].tolist()}


def label_categories(splits: Sequence[SplitCategories], findings: Findings) -> list[Category]:
    """Name the classes of the model, as the train split gives them, and label all annotations by them.

    Categories of the other splits are matched by name: an id that means something else there is reported, and never
    becomes the label of another class.

    Returns:
        The classes, in the order of their labels.
    """
    if not splits:
        return []
    reference = next((split for split in splits if split.table.name == "train"), splits[0])
    kept = training_categories(reference.categories, reference.annotated)
    categories, _ = merge_classes([plain_id(category.id) for category in kept], [category.name for category in kept])
    _report_parents(reference, {category.id for category in kept}, findings)
    labels = {category.name: category.label for category in categories}
    _report_doubled_names(splits, labels, findings)
    for split in splits:
        _report_doubled_ids(split, findings)
        own = [labels.get(category.name, NO_CLASS) for category in split.categories]
        split.table.boxes.label = np.array([*own, UNKNOWN], np.int64)[split.position]
        if split is not reference:
            _compare(split, reference, labels, findings)
    return categories


def _report_parents(reference: SplitCategories, kept: set[Id], findings: Findings) -> None:
    """Report the categories that are no classes."""
    for category in reference.categories:
        if category.id not in kept:
            place = f"{reference.table.annotations}: category {category.id} '{category.name}'"
            findings.add("unused-parent-category", place)


def _report_doubled_ids(split: SplitCategories, findings: Findings) -> None:
    """Report categories with one id, and ids that are strings."""
    for id_, count in Counter(category.id for category in split.categories).items():
        place = f"{split.table.annotations}: category {id_}"
        if count > 1:
            findings.add("duplicate-category-id", place)
        if not isinstance(id_, int):
            findings.add("string-id", place)


def _report_doubled_names(splits: Sequence[SplitCategories], labels: dict[str, int], findings: Findings) -> None:
    """Report classes with one name: an error where more than one of them is used, else they are merged without loss."""
    used = defaultdict[str, set[Id]](set)
    ids = defaultdict[str, set[Id]](set)
    for split in splits:
        annotated = split.annotated
        for category in split.categories:
            used[category.name] |= {category.id} & annotated
    for split in splits:
        ids.clear()
        for category in split.categories:
            ids[category.name].add(category.id)
        for name in [name for name in ids if len(ids[name]) > 1 and name in labels and name in used]:
            severity: Severity = "error" if len(used.pop(name)) > 1 else "warning"
            findings.add(
                "duplicate-class-name", f"categories of {split.table.annotations}: '{name}'", severity=severity
            )


def _compare(split: SplitCategories, reference: SplitCategories, labels: dict[str, int], findings: Findings) -> None:
    """Report categories that mean something else than in the train split, or that it does not have."""
    names = {category.id: category.name for category in reversed(reference.categories)}
    for category in split.categories:
        where = f"{split.table.annotations}: category {category.id} '{category.name}'"
        if category.id not in names:
            if category.name in labels:
                findings.add("category-renumbered", where)
        elif names[category.id] != category.name:
            findings.add("category-mismatch", f"{where}, '{names[category.id]}' in train")
    findings.add_boxes(
        "class-only-in-valid",
        split.table,
        split.table.boxes.label == NO_CLASS,
        note=lambda row: f", '{split.categories[split.position[row]].name}'",
    )
