"""Writes splits as YOLO: ``<split>/labels`` beside ``<split>/images``, ``data.yaml``, and the sidecar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rfdetr_train.datasets.writers.categories import prepared_categories
from rfdetr_train.datasets.writers.coco_again import write_coco_again
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.names import flat_names
from rfdetr_train.datasets.writers.sidecar import Sidecar, carry_sidecar, key_of, renamed, write_index
from rfdetr_train.datasets.writers.source import Source
from rfdetr_train.datasets.writers.yolo import write_data_yaml, write_labels
from rfdetr_train.errors import DatasetError


class YoloWriter:
    """Writes splits as YOLO.

    Attributes:
        categories: The classes with their ids.
        needs_sizes: Whether an image without a size cannot be written.
    """

    def __init__(
        self, source: Source, sidecar: Sidecar | None, folder: Path, changes: Counter[str], *, keeps: bool
    ) -> None:
        """Give the classes their ids.

        Args:
            source: The dataset.
            sidecar: Its sidecar, if it has one.
            folder: Where to write.
            changes: Where to count what is changed and left out.
            keeps: Whether to keep in a sidecar what label files cannot hold.
        """
        self._source, self._sidecar, self._folder, self._changes, self._keeps = source, sidecar, folder, changes, keeps
        self._format, self._codes = source.dataset.layout.format, source.codes()
        self._renamed: dict[str, dict[str, str]] = {}
        self.categories = prepared_categories(source.dataset.categories, self._format, "yolo")
        self.needs_sizes = self._format == "coco" and source.frames is not None

    def names(self, content: Content) -> Sequence[str]:
        """Return the names of the images of a split."""
        return flat_names(content.names)

    def write(self, content: Content, names: Sequence[str]) -> tuple[str, str]:
        """Write a split, and return where its annotations are and where its images belong.

        Raises:
            DatasetError: The size of an image is not known.
        """
        name = content.table.name
        unsized = (content.sizes == 0).any(axis=1)
        if not content.table.relative and unsized.any():
            first = content.table.images.names[int(content.rows[unsized.argmax()])]
            raise DatasetError(
                f"missing-size ({int(unsized.sum()):,}): the annotations give no width and height for an image, which "
                f"images 'none' does without opening it: {first}. Give images 'reference'."
            )
        labels = self._folder / name / "labels"
        write_labels(self._source.dataset, content, labels, names, self._changes, outlines=self._source.outlines)
        self._renamed[name] = renamed(names, content.names)
        if self._keeps and self._format == "coco":
            self._keep(content)
        return f"{name}/labels", f"{name}/images"

    def finish(self, splits: Sequence[str]) -> None:
        """Write what is common to all splits."""
        outlines = self._source.outlines
        classes = [category.name for category in self.categories]
        write_data_yaml(self._folder, classes, splits, outlines=outlines)
        if self._sidecar and self._keeps:
            carry_sidecar(self._source.dataset, self._sidecar, self._folder, self._renamed)
        elif self._keeps and self._format == "coco":
            write_index(self._folder, self._renamed, outlines=outlines)

    def _keep(self, content: Content) -> None:
        """Keep the annotations of a split as a conversion to COCO would write them."""
        dataset = self._source.dataset
        path = self._folder / key_of(content.table.name)
        path.parent.mkdir(exist_ok=True)
        categories = prepared_categories(dataset.categories, "coco", "coco")
        write_coco_again(dataset.store, content, path, categories, self._codes, Counter())
