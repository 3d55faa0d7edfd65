"""Collects findings, and says what a policy makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np

from rfdetr_train.datasets.kinds import KINDS
from rfdetr_train.datasets.model import Finding, Severity, printable
from rfdetr_train.datasets.table import Flags, Ints, Table
from rfdetr_train.errors import ParameterError

MAX_EXAMPLES = 5
Action = Literal["fail", "warn", "drop"]
ACTIONS: tuple[Action, ...] = ("fail", "warn", "drop")
_ORDER = {code: position for position, code in enumerate(KINDS)}
_SEVERITIES = ("error", "warning", "info")


class Policy(NamedTuple):
    """What is done about findings of a severity: refuse, report and go on, or leave out what they are about.

    Attributes:
        on_error: For errors.
        on_warning: For warnings.
    """

    on_error: Action = "fail"
    on_warning: Action = "warn"

    @classmethod
    def parse(cls, on_error: str, on_warning: str) -> Policy:
        """Make a policy of what a user gave.

        Raises:
            ParameterError: One is no action.
        """
        for name, value in (("on_error", on_error), ("on_warning", on_warning)):
            if value not in ACTIONS:
                raise ParameterError(f"{name}: '{value}' is not valid. Give one of {', '.join(ACTIONS)}.")
        return cls(cast(Action, on_error), cast(Action, on_warning))

    def of(self, severity: Severity) -> Action:
        """Return what is done about a severity; what is only information is never refused."""
        return {"error": self.on_error, "warning": self.on_warning}.get(severity, "warn")

    def refuses(self, code: str, severity: Severity) -> bool:
        """Whether it refuses a dataset with a finding: also where it drops, and leaving something out does not help."""
        action = self.of(severity)
        return action == "fail" or (action == "drop" and severity == "error" and not KINDS[code].drops)


DEFAULT_POLICY = Policy()


class Findings:
    """Collects findings; the first places of each kind are kept, all are counted."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: dict[tuple[str, Severity], int] = {}
        self._examples: dict[tuple[str, Severity], list[str]] = {}
        self._boxes: dict[str, list[tuple[str, Severity, Ints]]] = {}
        self._images: dict[str, list[tuple[str, Severity, Ints]]] = {}

    def add(self, code: str, example: str, *, severity: Severity | None = None, count: int = 1) -> None:
        """Count findings of a kind.

        Args:
            code: One of ``KINDS``.
            example: Where the first of them is.
            severity: Instead of the usual severity of the kind.
            count: How many.
        """
        key = (code, severity or KINDS[code].severity)
        self._counts[key] = self._counts.get(key, 0) + count
        examples = self._examples.setdefault(key, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(printable(example))

    def add_many(self, code: str, places: Iterable[str], count: int, *, severity: Severity | None = None) -> None:
        """Count findings of a kind; the places are those of the first ``MAX_EXAMPLES`` of them."""
        for number, place in enumerate(places):
            self.add(code, place, severity=severity, count=1 if number else count - min(count, MAX_EXAMPLES) + 1)

    def add_boxes(
        self,
        code: str,
        table: Table,
        rows: Ints | Flags,
        *,
        severity: Severity | None = None,
        note: Callable[[int], str] | None = None,
    ) -> None:
        """Count one finding for each of some annotations.

        Args:
            code: One of ``KINDS``.
            table: The split.
            rows: The annotations, by index or by mask.
            severity: Instead of the usual severity of the kind.
            note: What to add to the place of an annotation, by its row.
        """
        indices = _indices(rows)
        if not len(indices):
            return
        places = (table.where(row) + (note(row) if note else "") for row in indices[:MAX_EXAMPLES].tolist())
        self.add_many(code, places, len(indices), severity=severity)
        self._boxes.setdefault(table.name, []).append((code, severity or KINDS[code].severity, indices))

    def add_images(
        self, code: str, table: Table, rows: Ints | Flags | Sequence[int], *, severity: Severity | None = None
    ) -> None:
        """Count one finding for each of some images, by index or by mask."""
        indices = _indices(rows)
        if not len(indices):
            return
        places = (image_place(table, row) for row in indices[:MAX_EXAMPLES].tolist())
        self.add_many(code, places, len(indices), severity=severity)
        self._images.setdefault(table.name, []).append((code, severity or KINDS[code].severity, indices))

    def forget(self, code: str) -> None:
        """Remove the findings of a kind, for a use of the data that they do not matter to."""
        for counted in (self._counts, self._examples):
            for key in [key for key in counted if key[0] == code]:
                del counted[key]
        for records in (self._boxes, self._images):
            for name in records:
                records[name] = [record for record in records[name] if record[0] != code]

    def refused(self, policy: Policy) -> bool:
        """Whether a policy refuses the dataset."""
        return any(policy.refuses(code, severity) for code, severity in self._counts)

    def dropped(self, table: Table, policy: Policy) -> tuple[Flags, Flags]:
        """Say which images and boxes of a split a policy leaves out.

        Returns:
            (n,) of the images and (m,) of the boxes; a box goes with its image.
        """
        images = np.zeros(len(table.images), bool)
        boxes = np.zeros(len(table.boxes), bool)
        for marks, records, what in (
            (images, self._images.get(table.name, ()), "image"),
            (boxes, self._boxes.get(table.name, ()), "box"),
        ):
            for code, severity, rows in records:
                if policy.of(severity) == "drop" and KINDS[code].drops == what:
                    marks[rows] = True
        known = table.boxes.image >= 0
        boxes[known] |= images[table.boxes.image[known]]
        return images, boxes

    def to_list(self) -> list[Finding]:
        """Return the findings, errors first, each severity in the order of ``KINDS``."""
        ordered = sorted(self._counts, key=lambda key: (_SEVERITIES.index(key[1]), _ORDER[key[0]]))
        return [
            Finding(code, severity, KINDS[code].message, self._counts[code, severity], examples, KINDS[code].fix)
            for code, severity in ordered
            for examples in [self._examples[code, severity]]
        ]


def image_place(table: Table, row: int) -> str:
    """Say where an image stands: in its annotation file, or by its own key where the format does not list images."""
    name = table.images.names[row]
    if table.relative:
        return table.images.keys[row] or f"{table.annotations}: {name}"
    return f"{table.annotations}: image {table.images.ids[row]} '{name}'"


def _indices(rows: Ints | Flags | Sequence[int]) -> Ints:
    """Return rows as indices."""
    array = np.asarray(rows)
    return np.flatnonzero(array) if array.dtype == bool else array.astype(np.int64)
