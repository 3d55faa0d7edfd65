"""Tells COCO annotation files from other JSON by a look at their two ends."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import map_parallel

_END = 64 << 10  # bytes
_MOST_FILES = 64
_MOST_IN_A_FOLDER = 16
_LISTS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
# What one of the lists shows where the others are too far from both ends.
_FIELDS = re.compile(rb'"(file_name|image_id|category_id|supercategory)"\s*:')
# Our own manifest, which lists images and categories too.
_MANIFEST = re.compile(rb'"source_fingerprint"\s*:')


def coco_files(tree: Tree) -> list[str]:
    """Return the JSON files of any name that are COCO annotation files, in order.

    A folder with many JSON files has one for each image, which COCO never has.
    """
    files = [key for key in tree.others if key.endswith(".json")]
    in_folder = Counter(key.rpartition("/")[0] for key in files)
    few = [key for key in files if in_folder[key.rpartition("/")[0]] <= _MOST_IN_A_FOLDER]
    few.sort(key=lambda key: (key.count("/"), key))
    candidates = few[:_MOST_FILES]
    found = map_parallel(lambda key: _is_coco(tree, key), candidates, tree.parallelism)
    return sorted(key for key, is_coco in zip(candidates, found, strict=True) if is_coco)


def _is_coco(tree: Tree, key: str) -> bool:
    """Whether a file has the lists of a COCO annotation file."""
    head = tree.read_range(key, 0, _END)
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or _MANIFEST.search(head):
        return False
    size = tree.size(key)
    tail = tree.read_range(key, max(size - _END, _END), _END) if size > _END else b""
    lists = set(_LISTS.findall(head)) | set(_LISTS.findall(tail))
    fields = set(_FIELDS.findall(head)) | set(_FIELDS.findall(tail))
    return len(lists) >= 2 or (len(lists) == 1 and len(fields) >= 1)


def refuse_keypoints_alone(tree: Tree, keys: Sequence[str]) -> None:
    """Refuse annotation files that have keypoints and no boxes, as far as a look at three places shows.

    Raises:
        DatasetError: One is like that.
    """
    for key in keys:
        size = tree.size(key)
        places = sorted({0, max((size - _END) // 2, 0), max(size - _END, 0)})
        data = b"".join(tree.read_range(key, at, _END) for at in places)
        if b'"keypoints"' in data and b'"image_id"' in data and b'"bbox"' not in data:
            raise DatasetError(
                f"{printable(tree.full(key))} has keypoints and no boxes ('bbox'), which are what RF-DETR learns. "
                "Export it with boxes."
            )
