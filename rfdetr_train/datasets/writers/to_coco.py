"""Writes splits as COCO, ``<split>/_annotations.coco.json`` beside the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rfdetr_train.datasets.coco import ANNOTATIONS_NAME
from rfdetr_train.datasets.writers.categories import prepared_categories
from rfdetr_train.datasets.writers.coco import write_coco_file
from rfdetr_train.datasets.writers.coco_again import write_coco_again
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.restore import Restored, original_names, restored_categories
from rfdetr_train.datasets.writers.sidecar import Sidecar
from rfdetr_train.datasets.writers.source import Source


class CocoWriter:
    """Writes splits as COCO.

    Attributes:
        categories: The classes with their ids.
        needs_sizes: Whether an image without a size cannot be written.
    """

    def __init__(
        self, source: Source, sidecar: Sidecar | None, folder: Path, changes: Counter[str], *, thorough: bool
    ) -> None:
        """Give the classes their ids.

        Args:
            source: The dataset.
            sidecar: Its sidecar, if it has one.
            folder: Where to write.
            changes: Where to count what is changed and left out.
            thorough: See ``write_coco_again``.
        """
        self._source, self._sidecar, self._folder, self._changes = source, sidecar, folder, changes
        self._thorough, self._codes = thorough, source.codes()
        categories = source.dataset.categories
        restored = restored_categories(sidecar, categories) if sidecar else None
        self.categories = restored or prepared_categories(categories, source.dataset.layout.format, "coco")
        self.needs_sizes = source.dataset.layout.format == "yolo"

    def names(self, content: Content) -> Sequence[str]:
        """Return the names of the images of a split."""
        return original_names(self._sidecar, content) if self._sidecar else content.names

    def write(self, content: Content, names: Sequence[str]) -> tuple[str, str]:
        """Write a split, and return where its annotations are and where its images belong."""
        name, store = content.table.name, self._source.dataset.store
        path = self._folder / name / ANNOTATIONS_NAME
        path.parent.mkdir()
        content = replace(content, names=names)
        if not content.table.relative:
            write_coco_again(store, content, path, self.categories, self._codes, self._changes, thorough=self._thorough)
        elif self._sidecar and name in self._sidecar.parsed.tables:
            Restored(self._sidecar, content, self.categories, self._changes).write(store, path)
        else:
            write_coco_file(
                path, content, self.categories, self._changes, polygons=self._source.dataset.task == "segment"
            )
        return f"{name}/{ANNOTATIONS_NAME}", name

    def finish(self, splits: Sequence[str]) -> None:
        """Do nothing: splits are all that there is."""
