"""Asks every family of layouts, and decides where several answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast, get_args

import msgspec

from rfdetr_train.datasets.layout import Format, Layout, Task
from rfdetr_train.datasets.layouts.coco import find_coco
from rfdetr_train.datasets.layouts.darknet import find_darknet
from rfdetr_train.datasets.layouts.names import split_of_folder
from rfdetr_train.datasets.layouts.refused import NEEDS, refuse_oriented, unknown
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.layouts.yolo import find_yolo
from rfdetr_train.datasets.layouts.yolo_bare import find_bare_yolo, has_class_file
from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import Store, by_folder

_MOST_LEVELS = 5


def find_layout(store: Store, names: Iterable[str], *, format: str = "", task: str = "") -> Layout:
    """Name the layout of a dataset.

    Args:
        store: Where it lies.
        names: Keys of all its files.
        format: coco or yolo, where both are there; "" finds out.
        task: detect, segment or pose, which goes before the hints in the dataset; "" goes by these.

    Returns:
        The layout; its keys are those of the store, also where the dataset lies in a folder by itself.

    Raises:
        DatasetError: There is nothing, no known format, both, or a kind that cannot train a detector.
        ParameterError: An option is none of what it can be.
    """
    return name_layout(Tree(store, by_folder(names)), format=format, task=task)


def name_layout(whole: Tree, *, format: str, task: str) -> Layout:
    """Do what ``find_layout`` does, for files that are grouped already."""
    _check_options(format, task)
    if not len(whole):
        raise DatasetError(f"There is nothing at {printable(whole.root)}: it does not exist or is empty. {NEEDS}")
    tree = whole
    # A zip file is often unpacked to a folder in the folder, and often has such a folder itself.
    for _ in range(_MOST_LEVELS):
        folder = tree.only_folder()
        if folder and not _has_meaning(folder):
            tree = tree.descend(folder)
    layout = _choose(tree, _ask(tree, format))
    refuse_oriented(tree, layout, task)
    if layout is None:
        raise unknown(whole, format)
    if tree is not whole:
        layout = msgspec.structs.replace(layout, evidence=(*layout.evidence, f"All of it lies in {tree.full('')}/."))
    return msgspec.structs.replace(layout, task=cast(Task, task)) if task else layout


def _check_options(format: str, task: str) -> None:
    """Refuse options that are none of what they can be."""
    for name, value, allowed in (("format", format, get_args(Format)), ("task", task, get_args(Task))):
        if value and value not in allowed:
            raise ParameterError(f"{name} is '{value}'. Name one of {', '.join(allowed)}, or leave it empty.")


def _has_meaning(folder: str) -> bool:
    """Whether the name of a folder says what is in it, so that the folder above it is that of the dataset."""
    return bool(split_of_folder(folder)) or folder.lower() in ("images", "labels", "annotations")


def _ask(tree: Tree, format: str) -> list[Layout]:
    """Return the layout of each format that is there."""
    coco = find_coco(tree) if format in ("", "coco") else None
    yolo = find_yolo(tree) or find_darknet(tree) if format in ("", "yolo") else None
    # Label files without names of classes are less than a COCO file, which has them.
    if format != "coco" and yolo is None and (coco is None or has_class_file(tree)):
        yolo = find_bare_yolo(tree)
    return [layout for layout in (coco, yolo) if layout is not None]


def _choose(tree: Tree, found: list[Layout]) -> Layout | None:
    """Return the layout that is there.

    Raises:
        DatasetError: Both formats are.
    """
    if len(found) > 1:
        texts = " and ".join(
            f"{layout.format.upper()} ({layout.name} layout; {layout.evidence[0][:-1]})" for layout in found
        )
        raise DatasetError(
            f"{printable(tree.root)} holds more than one dataset: {texts}. Say which with --format coco or --format "
            "yolo (dataset_format), or give each a folder."
        )
    return next(iter(found), None)
