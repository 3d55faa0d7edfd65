"""Darknet: ``obj.data``, which names ``obj.names`` and list files of images. CVAT exports it as YOLO 1.1."""

from __future__ import annotations

import posixpath
import re

from rfdetr_train.datasets.layout import Layout
from rfdetr_train.datasets.layouts.declared import declared_places
from rfdetr_train.datasets.layouts.paths import Paths
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.layouts.yolo_bare import read_classes
from rfdetr_train.errors import DatasetError

_SPLIT_KEYS = {"train": "train", "valid": "valid", "test": "test"}
_MAX_BYTES = 1 << 16


def find_darknet(tree: Tree) -> Layout | None:
    """Return the layout that a ``.data`` file declares, None where there is none.

    Raises:
        DatasetError: There are several, or what it declares cannot be used.
    """
    found = {key: values for key in tree.others if key.endswith(".data") and (values := _read(tree, key))}
    if not found:
        return None
    if len(found) > 1:
        raise DatasetError(f"There are {len(found)} Darknet data files: {', '.join(map(tree.full, found))}. Keep one.")
    ((key, values),) = found.items()
    where = tree.full(key)
    folder = posixpath.dirname(key)
    splits = {split: (name, (values[name],)) for split, name in _SPLIT_KEYS.items() if name in values}
    places, notes = declared_places(tree, splits, where, folder)
    # What is relative to the folder that darknet is started in, is expected to be elsewhere.
    notes = [note for note in notes if note[0] != "foreign-path"]
    names = Paths(tree, folder).find(values.get("names", ""))
    classes: dict[int, str] = {}
    source = ""
    if names is not None and names.key in tree:
        classes, marks = read_classes(tree, names.key)
        source = tree.full(names.key)
        notes += marks
    if classes and values.get("classes", str(len(classes))) != str(len(classes)):
        notes.append(("class-count", f"{where}: classes is {values['classes']}, {source} has {len(classes)}"))
    cvat = any(re.fullmatch(r"obj_\w+_data", folder) for folder in tree.folders)
    return Layout(
        format="yolo",
        name="cvat" if cvat else "darknet",
        places=tuple(places.values()),
        classes=classes or None,
        class_source=source,
        evidence=(f"{where} declares {source or 'no names'} and {', '.join(splits)}.",),
        confidence=1.0 if classes and places else 0.6,
        notes=tuple(notes),
    )


def _read(tree: Tree, key: str) -> dict[str, str]:
    """Return the values of a ``.data`` file, none where it is something else."""
    if key.count("/") > 1 or tree.size(key) > _MAX_BYTES:
        return {}
    lines = tree.read(key).decode("utf-8-sig", "replace").splitlines()
    pairs = (line.split("#")[0].partition("=") for line in lines)
    values = {name.strip(): value.strip() for name, mark, value in pairs if mark and value.strip()}
    return values if "train" in values else {}
