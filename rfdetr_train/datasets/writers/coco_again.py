"""Writes a split that is COCO as COCO: the same bytes where nothing has to change."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from rfdetr_train.datasets.coco import MAX_BYTES
from rfdetr_train.datasets.manifest import PreparedCategory
from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.table import Table
from rfdetr_train.datasets.writers.categories import agree
from rfdetr_train.datasets.writers.content import Content
from rfdetr_train.datasets.writers.raw_coco import BYTE_ORDER_MARK, parse_raw
from rfdetr_train.datasets.writers.rewrite import Rewrite
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Store

# Findings about what readers of COCO stop at or get wrong, beyond what the columns show.
_REPAIRED = {
    "backslash-in-name",
    "byte-order-mark",
    "category-mismatch",
    "category-renumbered",
    "duplicate-annotation-id",
    "duplicate-category-id",
    "duplicate-class-name",
    "duplicate-image-id",
    "missing-area",
    "missing-size",
    "nan-in-json",
    "string-id",
}


class _Categories(msgspec.Struct):
    """The categories of an annotation file; everything else is skipped unparsed."""

    categories: list[dict[str, msgspec.Raw]]


def write_coco_again(
    store: Store,
    content: Content,
    path: Path,
    categories: Sequence[PreparedCategory],
    codes: Collection[str],
    changes: Counter[str],
    *,
    thorough: bool = False,
) -> None:
    """Write the annotation file of a split that is COCO.

    Boxes over the edge or without area are no reason to write it anew: RF-DETR clips and drops them as we do, and an
    evaluation scores on the user's own annotations.

    Args:
        store: Where the dataset lies.
        content: What goes into the split.
        path: File to write.
        categories: The classes with their ids.
        codes: Of the findings of the dataset.
        changes: Where to count what is changed.
        thorough: Also clip boxes, and leave out those without area.
    """
    key = content.table.annotations
    rewrite = Rewrite(content, categories, odd_ids="string-id" in codes, thorough=thorough)
    suspect = (
        rewrite.is_needed
        or not _REPAIRED.isdisjoint(codes)
        or not len(content.table.boxes)  # where the list of annotations may not be there either
        or not _is_complete(store, content.table, categories)
    )
    # Findings are of the whole dataset: nothing may be wrong with this split.
    if not (suspect and rewrite.write(parse_raw(store.read(key, MAX_BYTES), key), path, changes)):
        copy_annotations(store, content.table, path)


def copy_annotations(store: Store, table: Table, path: Path) -> None:
    """Copy an annotation file byte for byte.

    Raises:
        DatasetError: It is not the one that was read.
    """
    store.fetch(table.annotations, path, link=False)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != table.digests[table.annotations]:
            raise DatasetError(
                f"{printable(table.annotations)} in {store.uri} changed while it was converted. "
                "Convert the dataset again when nothing writes to it."
            )


def lists_classes(store: Store, table: Table, categories: Sequence[PreparedCategory]) -> bool:
    """Whether the annotation file of a split lists every class with its id; see ``agree``."""
    data = store.read(table.annotations, MAX_BYTES).removeprefix(BYTE_ORDER_MARK)
    return agree(msgspec.json.decode(data, type=_Categories).categories, categories)


def _is_complete(store: Store, table: Table, categories: Sequence[PreparedCategory]) -> bool:
    """Whether a split lists all classes, as an evaluation wants it; the train split does, for they are its own."""
    return table.name == "train" or lists_classes(store, table, categories)
