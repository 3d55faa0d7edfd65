"""Writes a copy of a dataset in its own format, in which what is wrong is put right or left out."""

from __future__ import annotations

from pathlib import Path

from rfdetr_train.datasets.convert import write
from rfdetr_train.datasets.findings import Policy
from rfdetr_train.datasets.images import Exif
from rfdetr_train.datasets.manifest import Prepared
from rfdetr_train.datasets.writers.source import open_source

# Errors that leaving something out does not help, and writing the dataset anew does: by name, or by numbering.
_REPAIRED = ("category-mismatch", "class-count", "duplicate-annotation-id")


def fix(dataset_uri: str, output_dir: str | Path, *, exif: Exif = "auto", format: str = "", task: str = "") -> Prepared:
    """Write a normalised copy of a dataset; images are linked, and turned upright where they have to be.

    Args:
        dataset_uri: See ``convert``.
        output_dir: See ``convert``.
        exif: See ``convert``.
        format: See ``convert``.
        task: See ``convert``.

    Returns:
        The manifest; its ``changes`` say what was put right and left out.

    Raises:
        DatasetError: Something is wrong that nobody but its owner can put right.
        ParameterError: A parameter is not valid, or the output holds something else.
    """
    source = open_source(
        dataset_uri, Policy(on_error="drop"), exif, format, task, needs_images=True, repaired=_REPAIRED
    )
    return write(source, output_dir, source.dataset.layout.format, "link", thorough=True)
