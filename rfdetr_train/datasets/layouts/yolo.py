"""YOLO with a data file: ``data.yaml`` and what it names, as Ultralytics and Roboflow write it."""

from __future__ import annotations

import re

from rfdetr_train.datasets.data_yaml import MAX_BYTES, DataYaml, load_yaml, parse_data_yaml
from rfdetr_train.datasets.layout import Layout, Place
from rfdetr_train.datasets.layouts.declared import declared_places, folder_place
from rfdetr_train.datasets.layouts.folders import usual_places
from rfdetr_train.datasets.layouts.paths import Paths
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError

DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CONVENTIONS = {
    "train": ("train/images", "images/train"),
    "valid": ("valid/images", "val/images", "images/valid", "images/val"),
    "test": ("test/images", "images/test"),
}


def find_yolo(tree: Tree) -> Layout | None:
    """Return the layout that a data file declares, None where there is no such file.

    Raises:
        DatasetError: There are several, it cannot be read, or what it declares cannot be used.
    """
    key = _find_data_file(tree)
    if not key:
        return None
    where = tree.full(key)
    declared = parse_data_yaml(tree.read(key, MAX_BYTES), where)
    notes = list(declared.notes)
    base, foreign = _base(declared.path, tree)
    if foreign:
        notes.append(("foreign-path", f"{where}: path: {printable(declared.path)}"))
    places, found = declared_places(tree, declared.splits, where, base)
    places = _with_undeclared(tree, declared, places)
    if not places and not declared.splits:
        places = usual_places(tree)
    roots = [root for place in places.values() for root in place.image_roots]
    names = f"{len(declared.names)} classes" if declared.names else "no classes"
    return Layout(
        format="yolo",
        name="roboflow" if roots and all(root.endswith("/images") for root in roots) else "ultralytics",
        places=tuple(places.values()),
        classes=declared.names,
        class_source=f"names of {where}",
        task=declared.task,
        keypoints=declared.keypoints,
        evidence=(f"{where} declares {names} and {', '.join(declared.splits) or 'no split'}.",),
        confidence=1.0 if "train" in places else 0.6,
        notes=(*notes, *found),
    )


def _find_data_file(tree: Tree) -> str:
    """Return the key of the data file, "" where there is none.

    Raises:
        DatasetError: There are several, and none has a usual name.
    """
    usual = next((name for name in DATA_FILES if name in tree), "")
    if usual:
        return usual
    found = [key for key in tree.others if re.fullmatch(r"[^/]+\.ya?ml", key) and _is_data_file(tree, key)]
    if len(found) > 1:
        files = ", ".join(map(tree.full, found))
        raise DatasetError(f"There are {len(found)} data files: {files}. Keep one, or call the right one data.yaml.")
    return found[0] if found else ""


def _is_data_file(tree: Tree, key: str) -> bool:
    """Whether a YAML file of any name declares classes and images."""
    try:
        values = load_yaml(tree.read(key, MAX_BYTES), key)
    except DatasetError:
        return False
    return "names" in values and "train" in values


def _base(path: str, tree: Tree) -> tuple[str, bool]:
    """Return the folder that the splits are relative to, and whether ``path`` is not simply that.

    A ``path`` that is not in the dataset is from the machine of the one who wrote it (``/content/...``,
    ``../datasets/coco8``): the folder of the data file takes its place.
    """
    found = Paths(tree).find(path or ".")
    if found is None or found.key not in tree.folders:
        return "", True
    return found


def _with_undeclared(tree: Tree, declared: DataYaml, places: dict[str, Place]) -> dict[str, Place]:
    """Add the splits that the data file is silent about and that lie where they usually do."""
    found = {}
    for split, conventions in _CONVENTIONS.items():
        folder = next((folder for folder in conventions if folder in tree.folders), "")
        if split in places:
            found[split] = places[split]
        elif split not in declared.splits and folder:
            found[split] = folder_place(tree, split, folder.replace("images", "").strip("/"), [folder])
    return found
