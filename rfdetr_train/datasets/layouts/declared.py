"""Places of YOLO splits that a data file declares as folders, list files, or both."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from rfdetr_train.datasets.layout import Place
from rfdetr_train.datasets.layouts.paths import Paths
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.yolo import label_folder
from rfdetr_train.errors import DatasetError

Notes = list[tuple[str, str]]


def declared_places(
    tree: Tree, splits: Mapping[str, tuple[str, tuple[str, ...]]], where: str, base: str
) -> tuple[dict[str, Place], Notes]:
    """Find the places of splits.

    Args:
        tree: The dataset.
        splits: Split -> the key that declares it, and what it says.
        where: Key of the data file, for messages.
        base: Folder that places are relative to.

    Raises:
        DatasetError: A place leaves the dataset, or two splits can only be taken as the same place.
    """
    notes: Notes = []
    places: dict[str, Place] = {}
    searched: dict[tuple[str, ...], str] = {}
    for split, (key, texts) in splits.items():
        said = f"{where}: {key}"
        found, foreign = _find(tree, texts, said, base, notes)
        if not found:
            notes.append(("missing-split", f"'{split}' ({said}: {printable(', '.join(texts))} does not exist)"))
            continue
        other = searched.setdefault(found, split)
        if foreign and splits[other][1] != texts:
            raise DatasetError(
                f"{where} has '{other}' and '{split}' in folders of another machine, which both end like "
                f"'{tree.full(found[0])}' here. Write folders relative to the data file."
            )
        places[split] = _place(tree, split, key, found, notes)
    return places, notes


def folder_place(tree: Tree, split: str, word: str, folders: Sequence[str]) -> Place:
    """Return the place of a split whose images lie in folders."""
    roots = tuple(dict.fromkeys(_images_folder(folder, tree) for folder in folders))
    labels = [label_folder(root) for root in roots]
    there = [folder if folder in tree.folders else root for folder, root in zip(labels, roots, strict=True)]
    return Place(split, word, ", ".join(map(tree.full, there)), tuple(map(tree.full, roots)))


def _find(tree: Tree, texts: Sequence[str], said: str, base: str, notes: Notes) -> tuple[tuple[str, ...], bool]:
    """Return the keys of declared places that are there, and whether one was searched for by its end."""
    paths = Paths(tree, base)
    found = []
    foreign = False
    for text in texts:
        place = paths.find(text, of_split=True)
        if place is None and paths.leaves(text):
            raise DatasetError(
                f"{said}: '{printable(text)}' leaves the dataset, and nothing in it ends like that. "
                "Write a folder inside it, relative to the data file."
            )
        if place is not None and place.foreign:
            foreign = True
            notes.append(("foreign-path", f"{said}: {printable(text)} is taken as '{tree.full(place.key)}'"))
        if place is not None:
            found.append(place.key)
        elif len(texts) > 1:
            raise DatasetError(f"{said}: '{printable(text)}' does not exist. Correct it, or take it from the list.")
    return tuple(found), foreign


def _place(tree: Tree, split: str, key: str, found: Sequence[str], notes: Notes) -> Place:
    """Return the place of a split that is declared as folders, list files, or both."""
    folders = [each for each in found if each in tree.folders]
    lists = [each for each in found if each not in tree.folders]
    if not lists:
        return folder_place(tree, split, key, folders)
    images: dict[str, None] = {}
    for each in lists:
        lines, marks = tree.read_lines(each)
        named, unsafe = Paths(tree, posixpath.dirname(each)).find_images(lines, tree.full(each))
        images.update(dict.fromkeys(named))
        notes += marks + unsafe
    if folders:
        images.update(dict.fromkeys(_images(tree, folders)))
    return Place(split, key, tree.full(lists[0]), (), tuple(map(tree.full, images)))


def _images(tree: Tree, folders: Sequence[str]) -> list[str]:
    """Return the images below folders, in order."""
    roots = [_images_folder(folder, tree) for folder in folders]
    found = {
        posixpath.join(folder, name) for root in roots for folder, names in tree.images_below(root) for name in names
    }
    return sorted(found)


def _images_folder(folder: str, tree: Tree) -> str:
    """Return the folder of the images of a split that is declared as the folder above it."""
    below = posixpath.join(folder, "images")
    return below if "images" not in folder.split("/") and below in tree.folders else folder
