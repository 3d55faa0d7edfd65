"""Splits of YOLO datasets without a data file, told from the names of folders."""

from __future__ import annotations

from collections import defaultdict

from rfdetr_train.datasets.layout import Place
from rfdetr_train.datasets.layouts.declared import folder_place
from rfdetr_train.datasets.layouts.names import split_of_folder
from rfdetr_train.datasets.layouts.tree import Tree, is_below
from rfdetr_train.datasets.model import SPLITS
from rfdetr_train.datasets.yolo import label_folder
from rfdetr_train.errors import DatasetError


def usual_places(tree: Tree) -> dict[str, Place]:
    """Find the folders of labelled images, by split; where none is named after a split, all of them are train.

    Raises:
        DatasetError: A split has folders of two names.
    """
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    loose = []
    for folder in tree.image_folders():
        if tree.has_text(folder) or tree.has_text(label_folder(folder)):
            parts = folder.split("/")
            at = next((at for at, part in enumerate(parts) if split_of_folder(part)), None)
            if at is None:
                loose.append(_root(parts, 0))
            else:
                found[split_of_folder(parts[at])][parts[at]].append(_root(parts, at + 1))
    if not found:
        return {"train": folder_place(tree, "train", "train", _outermost(loose))} if loose else {}
    places = {}
    for split in SPLITS:
        if split in found:
            (word, roots), *others = found[split].items()
            if others:
                folders = ", ".join(tree.full(root) for root in (roots[0], *(roots[0] for _, roots in others)))
                raise DatasetError(f"The split '{split}' is in several folders: {folders}. Keep one, or add data.yaml.")
            places[split] = folder_place(tree, split, word, _outermost(roots))
    return places


def _root(parts: list[str], start: int) -> str:
    """Return the folder that images are named below: down to ``images`` if it comes, else to the name of the split."""
    if "images" in parts[start:]:
        return "/".join(parts[: parts.index("images", start) + 1])
    return "/".join(parts[:start] if start else parts)


def _outermost(folders: list[str]) -> list[str]:
    """Return the folders that are not below another one."""
    kept: list[str] = []
    for folder in sorted(set(folders)):
        if not any(is_below(folder, other) for other in kept):
            kept.append(folder)
    return kept
