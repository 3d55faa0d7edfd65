"""YOLO without a data file: images and label files, and perhaps ``classes.txt``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from itertools import islice

from rfdetr_train.datasets.layout import Layout, Place
from rfdetr_train.datasets.layouts.declared import declared_places
from rfdetr_train.datasets.layouts.folders import usual_places
from rfdetr_train.datasets.layouts.names import sort_by_split
from rfdetr_train.datasets.layouts.refused import oriented
from rfdetr_train.datasets.layouts.rows import kind_of_rows
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.yolo import is_image, label_folder, label_key

_CLASS_FILES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels")
_LOOKED_AT = 12  # label files
_HEAD = 4096  # bytes of each
_MAX_NAMES_BYTES = 1 << 20
_WITHOUT_NAMES = 0.4  # confidence where only rows of numbers tell the format


def find_bare_yolo(tree: Tree) -> Layout | None:
    """Return the layout of folders of images with label files, None where there are none.

    Raises:
        DatasetError: The label files are of oriented boxes, or a split has folders of two names.
    """
    places = _listed_places(tree) or usual_places(tree)
    if not places:
        return None
    kinds = [kind_of_rows(head) for head in _heads(tree, places.values())]
    files = f"label files in {', '.join(place.annotations or 'the root' for place in places.values())}"
    if "dota" in kinds:
        raise oriented(f"{files} are of DOTA, with eight coordinates and a name in each row", tree.root)
    classes, source, notes = _classes(tree, places.values())
    # Rows alone do not tell one dataset from several in their folders.
    named = bool(classes) and ("yolo" in kinds or "other" not in kinds)
    if not named and ("yolo" not in kinds or tree.nested_data_file()):
        return None
    in_folders = all(place.images or place.source_name in place.image_roots[0] for place in places.values())
    evidence = [f"There is no data file, but {files}, with rows of numbers."]
    return Layout(
        format="yolo",
        name=_name(tree, source),
        places=tuple(places.values()),
        classes=classes or None,
        class_source=source,
        evidence=tuple([*evidence, f"{source} names the classes."] if classes else evidence),
        confidence=_WITHOUT_NAMES if not classes else 0.9 if in_folders else 0.7,
        notes=tuple(notes),
    )


def has_class_file(tree: Tree) -> bool:
    """Whether a file names classes, anywhere."""
    return any(posixpath.join(folder, name) in tree for folder in tree.folders for name in _CLASS_FILES)


def _listed_places(tree: Tree) -> dict[str, Place]:
    """Find list files called train.txt, val2017.txt and the like, whose first lines name images."""
    texts = [name for name in tree.groups.get("", ()) if name.endswith(".txt")]
    files, _ = sort_by_split(texts)
    splits = {split: (found[0][1], (found[0][0],)) for split, found in files.items() if len(found) == 1}
    splits = {split: named for split, named in splits.items() if _lists_images(tree, named[1][0])}
    places, _ = declared_places(tree, splits, "", "") if "train" in splits else ({}, [])
    return places


def _lists_images(tree: Tree, key: str) -> bool:
    """Whether the first line of a text file is the name of an image."""
    return is_image(tree.read_range(key, 0, _HEAD).partition(b"\n")[0].decode("utf-8", "replace").strip())


def _heads(tree: Tree, places: Iterable[Place]) -> list[bytes]:
    """Return the beginnings of some label files."""
    found: list[str] = []
    for place in places:
        below = (tree.images_below(tree.short(root)) for root in place.image_roots)
        inside = (posixpath.join(folder, name) for pairs in below for folder, names in pairs for name in names)
        images = map(tree.short, place.images) if place.images else inside
        labels = (label_key(image, tree) for image in images)
        found += islice(filter(None, labels), _LOOKED_AT // 3)
    return [tree.read_range(key, 0, _HEAD) for key in found]


def _classes(tree: Tree, places: Iterable[Place]) -> tuple[dict[int, str], str, list[tuple[str, str]]]:
    """Return the names by class id, the key of the file that lists them, and findings about them."""
    folders = {""}
    for root in [tree.short(root) for place in places for root in place.image_roots]:
        for folder in (root, label_folder(root)):
            while folder not in folders:
                folders.add(folder)
                folder = posixpath.dirname(folder)
    # The one nearest to the root speaks for all, and of several in one depth that of train.
    order = sorted(folders, key=lambda folder: (folder.count("/") + bool(folder), "train" not in folder, folder))
    candidates = (posixpath.join(folder, name) for folder in order for name in _CLASS_FILES)
    files = [key for key in candidates if key in tree]
    if not files:
        return {}, "", []
    classes, notes = read_classes(tree, files[0])
    for key in files[1:]:
        notes += _differences(classes, read_classes(tree, key)[0], tree.full(key), tree.full(files[0]))
    return classes, tree.full(files[0]), notes


def read_classes(tree: Tree, key: str) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Return the names of a file with a class in each line, by class id, and findings about it.

    Raises:
        DatasetError: It is not UTF-8 or far too large.
    """
    lines, notes = tree.read_lines(key, _MAX_NAMES_BYTES)
    return {number: line for number, line in enumerate(lines) if line}, notes


def _differences(classes: dict[int, str], others: dict[int, str], where: str, reference: str) -> list[tuple[str, str]]:
    """Return a finding for each class that two files call differently."""
    return [
        (
            "category-mismatch",
            f"{where}: class {id_} {_quoted(others.get(id_))}, {_quoted(classes.get(id_))} in {reference}",
        )
        for id_ in sorted({*classes, *others})
        if classes.get(id_) != others.get(id_)
    ]


def _quoted(name: str | None) -> str:
    """Return a name for a message."""
    return "is not there" if name is None else f"'{printable(name)}'"


def _name(tree: Tree, source: str) -> str:
    """Say who writes datasets like this."""
    if source.endswith("_darknet.labels"):
        return "darknet"
    return "labelstudio" if "notes.json" in tree and source == tree.full("classes.txt") else "bare"
