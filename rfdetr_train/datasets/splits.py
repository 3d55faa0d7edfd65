"""What the readers of both formats give, and what they say about splits that are not there."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.layout import Task
from rfdetr_train.datasets.model import SPLITS
from rfdetr_train.datasets.table import Category, Table


class Parsed(NamedTuple):
    """What a reader of a format gives.

    Attributes:
        tables: By split, in the order of ``SPLITS``.
        categories: The classes of the model, in the order of their labels.
        class_source: Where their names come from.
        task: What the annotations are made for.
        evidence: What the task was told from.
        confidence: In the task, 0 to 1.
        complete: Whether all annotations were read.
    """

    tables: dict[str, Table]
    categories: list[Category]
    class_source: str
    task: Task
    evidence: tuple[str, ...] = ()
    confidence: float = 1.0
    complete: bool = True


def usable_split(name: str, place: str, image_count: int, required: Sequence[str], findings: Findings) -> bool:
    """Say whether a split has images; report where it has none.

    An empty split that nobody asked for is dropped with a warning: an evaluation must not pick it.
    """
    if image_count:
        return True
    findings.add("empty-split", f"{place}: '{name}' has no images", severity="error" if name in required else "warning")
    return False


def report_missing_splits(
    found: Collection[str], notes: Sequence[tuple[str, str]], required: Sequence[str], findings: Findings
) -> None:
    """Report the required splits that a dataset does not have, and those that it only declares.

    Args:
        found: The splits that are there.
        notes: What naming the format noted; of a split that is declared and not there, ``'test' (where it should be)``.
        required: The splits that are needed.
        findings: Where to report.
    """
    there = ", ".join(name for name in SPLITS if name in found) or "none"
    declared = {
        name: text for name in SPLITS for code, text in notes if code == "missing-split" and f"'{name}'" in text
    }
    for name in SPLITS:
        if name not in found and (name in required or name in declared):
            place = f"{declared[name]}; " if name in declared else f"'{name}'; "
            findings.add(
                "missing-split", f"{place}there are: {there}", severity="error" if name in required else "warning"
            )


def merge_classes(ids: Sequence[int | str], names: Sequence[str]) -> tuple[list[Category], list[int]]:
    """Make the classes of a model: one for each name.

    Args:
        ids: Ids of the classes, in the order of their labels.
        names: Their names.

    Returns:
        The classes, and for each of the given ones its label.
    """
    categories: list[Category] = []
    labels: dict[str, int] = {}
    for id_, name in zip(ids, names, strict=True):
        if name not in labels:
            labels[name] = len(categories)
            categories.append(Category(id_, name, len(categories)))
    return categories, [labels[name] for name in names]


def common_folder(keys: Sequence[str]) -> str:
    """Return the deepest folder that all keys are below; "" is the root."""
    folders = {posixpath.dirname(key) for key in keys}
    if not folders or "" in folders:
        return ""
    return posixpath.commonpath(folders)
