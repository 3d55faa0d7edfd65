"""COCO: the layouts of Roboflow, of COCO itself and of MMDetection, CVAT, Datumaro, Label Studio and FiftyOne."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from rfdetr_train.datasets.layout import Layout, Place, Task
from rfdetr_train.datasets.layouts.coco_files import coco_files, refuse_keypoints_alone
from rfdetr_train.datasets.layouts.names import sort_by_split, split_of_folder
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.errors import DatasetError

_ROBOFLOW = re.compile(r"(?:([^/]+)/)?_annotations\.coco\.json")
_INSTANCES = re.compile(r"annotations/instances_([^/]+)\.json")
_KEYPOINTS = re.compile(r"annotations/person_keypoints_([^/]+)\.json")
# What COCO has beside its instances; the images of some of them have no boxes.
_OTHER_TASKS = ("captions_", "image_info_", "panoptic_", "person_keypoints_", "stuff_")
_SUBSET = re.compile(r"(?:instances|person_keypoints)_(.+)\.json")
_MOST_ROOTS = 12


def find_coco(tree: Tree) -> Layout | None:
    """Return the layout of a COCO dataset, None where there is none.

    Raises:
        DatasetError: Annotation files of two layouts are there, or several for one split, or keypoints without boxes.
    """
    roboflow = [key for key in tree.others if (match := _ROBOFLOW.fullmatch(key)) and _is_split(match[1])]
    instances = [key for key in tree.others if _INSTANCES.fullmatch(key)]
    if roboflow and instances:
        raise DatasetError(
            f"{tree.root} holds more than one dataset: COCO (roboflow layout: {tree.full(roboflow[0])}) and COCO "
            f"(standard layout: {tree.full(instances[0])}). Keep one, or give each a folder."
        )
    if roboflow:
        return _layout(tree, "roboflow", roboflow, 1.0)
    if instances:
        return _layout(tree, "cvat" if _is_default(instances) else "standard", instances, 1.0)
    keypoints = [key for key in tree.others if _KEYPOINTS.fullmatch(key)]
    if keypoints:
        refuse_keypoints_alone(tree, keypoints)
        return _layout(tree, "standard", keypoints, 1.0, "pose")
    bare = [key for key in coco_files(tree) if not posixpath.basename(key).startswith(_OTHER_TASKS)]
    refuse_keypoints_alone(tree, bare)
    return _layout(tree, _name_of_bare(bare), bare, 0.9) if bare else None


def _is_split(folder: str | None) -> bool:
    """Whether a folder of Roboflow is a split; the root is where an export without splits lies."""
    return folder is None or bool(split_of_folder(folder))


def _is_default(keys: Sequence[str]) -> bool:
    """Whether there is one subset, called as CVAT and Datumaro call it where nobody else did."""
    return [posixpath.basename(key) for key in keys] == ["instances_default.json"]


def _name_of_bare(keys: Sequence[str]) -> str:
    """Say who writes annotation files of these names."""
    if [posixpath.basename(key) for key in keys] == ["result.json"]:
        return "labelstudio"
    return "mmdetection" if all(key.startswith("annotations/") for key in keys) else "bare"


def _layout(tree: Tree, name: str, keys: Sequence[str], confidence: float, task: Task | None = None) -> Layout:
    """Return the layout of annotation files, each of one split.

    Raises:
        DatasetError: Two are of one split, or several do not say of which they are.
    """
    by_split, rest = sort_by_split(keys)
    if not by_split:
        if len(rest) > 1:
            names = ", ".join(map(tree.full, rest[:8]))
            raise DatasetError(
                f"There are {len(rest)} annotation files, and none says of which split it is: {names}. Call them "
                "train.json, valid.json and test.json, or keep one."
            )
        by_split["train"] = [(rest.pop(), "")]
        confidence = min(confidence, 0.7)
    places = []
    for split, files in by_split.items():
        if len(files) > 1:
            texts = " and ".join(sorted(tree.full(key) for key, _ in files))
            raise DatasetError(f"There are {len(files)} annotation files for the split '{split}': {texts}. Keep one.")
        ((key, word),) = files
        places.append(_place(tree, split, key, word))
    return Layout(
        format="coco",
        name=name,
        places=tuple(places),
        task=task,
        evidence=(f"Annotation files: {', '.join(place.annotations for place in places)}.",),
        confidence=confidence,
        notes=tuple(("unused-file", tree.full(key)) for key in rest),
    )


def _place(tree: Tree, split: str, key: str, word: str) -> Place:
    """Return where a split lies, with the folders in which its images may be."""
    folder, name = posixpath.split(key)
    subset = _SUBSET.fullmatch(name)
    source_name = subset[1] if subset else word or split
    roots = [root for root in _usual_roots(folder, source_name, word, split) if root in tree.folders]
    if not roots:
        roots = tree.image_folders()[:_MOST_ROOTS]
    # Names of images may also begin at the root.
    roots += [""]
    return Place(split, source_name, tree.full(key), tuple(dict.fromkeys(map(tree.full, roots))))


def _usual_roots(folder: str, *words: str) -> list[str]:
    """Return the folders in which the images of an annotation file usually are, the usual one first.

    Args:
        folder: That of the annotation file.
        words: What the split is called.
    """
    base, last = posixpath.split(folder)
    if split_of_folder(last):
        own = [folder, f"{folder}/images", f"{folder}/data"]
    elif last.lower().startswith(("annotation", "label")):
        own = []
    else:
        base, own = folder, []
    named = [path.format(word) for word in words if word for path in ("{}", "images/{}", "{}/images", "data/{}")]
    usual = [posixpath.join(base, path) for path in (*named, "images", "data")]
    return [*own, *usual, *([base] if base else [])]
