"""A dataset as it was read: the report for people and the parsed splits for the converter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from rfdetr_train.datasets.boxes import Box
from rfdetr_train.datasets.inspect import Findings
from rfdetr_train.datasets.model import SPLITS, DatasetReport, Severity, Split
from rfdetr_train.storage import ObjectInfo, Store


class Category(NamedTuple):
    """A class of the model.

    Attributes:
        id: Its id in the annotations.
        name: Its name.
        label: Its label in training, 0 to n-1.
    """

    id: int
    name: str
    label: int


class LabelledBox(NamedTuple):
    """A box as the annotations give it, neither clipped nor checked.

    Attributes:
        label: Label in training.
        box: Corner, width, height; pixels in COCO, parts of the image side in YOLO.
    """

    label: int
    box: Box


class SourceSplit(Protocol):
    """A parsed split of either format."""

    summary: Split
    images: dict[str, ObjectInfo]
    """The object of every image, by the name that annotations give it."""

    def boxes(self) -> Iterator[tuple[str, Sequence[LabelledBox]]]:
        """Yield image names with the boxes to train on; crowd regions and dropped categories are left out."""


class Parsed(NamedTuple):
    """What a reader of a format gives."""

    layout: str
    categories: list[Category]
    class_source: str
    splits: list[SourceSplit]
    fingerprint: str


@dataclass(frozen=True)
class Source:
    """A dataset, opened and read."""

    store: Store
    report: DatasetReport
    categories: list[Category]
    splits: list[SourceSplit]


def usable_split(name: str, place: str, image_count: int, required: Sequence[str], findings: Findings) -> bool:
    """Say whether a split has images; report where it has none.

    An empty split that nobody asked for is dropped with a warning: an evaluation must not pick it.
    """
    if image_count:
        return True
    findings.add("empty-split", f"{place}: '{name}' has no images", severity="error" if name in required else "warning")
    return False


def report_missing_splits(
    found: Collection[str],
    required: Sequence[str],
    findings: Findings,
    declared: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Report the required splits that a dataset does not have, and those that it only declares.

    Args:
        found: The splits that are there.
        required: The splits that are needed.
        findings: Where to report.
        declared: Split -> where the dataset says that it lies.
    """
    there = ", ".join(name for name in SPLITS if name in found) or "none"
    for name in SPLITS:
        if name not in found and (name in required or name in declared):
            place = f"{declared[name]} does not exist; " if name in declared else ""
            severity: Severity = "error" if name in required else "warning"
            findings.add("missing-split", f"'{name}' ({place}there are: {there})", severity=severity)
