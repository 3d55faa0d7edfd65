"""Finds what a data file names: it was written on another machine, or names places from another folder than its own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from rfdetr_train.datasets.layouts.names import split_of_folder
from rfdetr_train.datasets.layouts.tree import Tree
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import check_key

_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")


class Found(NamedTuple):
    """What a data file names.

    Attributes:
        key: A file or a folder; "" is the root.
        foreign: Whether it had to be searched for by the end of what is written.
    """

    key: str
    foreign: bool


class Paths:
    """Finds places in a dataset by how its data file writes them."""

    def __init__(self, tree: Tree, base: str = "") -> None:
        """Search in a dataset; places are written relative to ``base``, a folder of it, or to its root."""
        self._tree = tree
        self._bases = (base, "") if base else ("",)

    def find(self, text: str, *, of_split: bool = False) -> Found | None:
        """Return what is there under a written path, None where nothing is.

        Args:
            text: The path.
            of_split: Whether the path says which split is meant: train/images is then never taken as images.
        """
        path = _plain(text)
        for key in self._direct(path):
            if self._exists(key):
                return Found(key, False)
        parts = _parts(path)
        for start in range(len(parts)):
            if of_split and _splits_of(parts[:start]) - _splits_of(parts[start:]):
                return None
            for base in self._bases:
                key = posixpath.join(base, *parts[start:])
                if self._exists(key):
                    return Found(key, True)
        return None

    def leaves(self, text: str) -> bool:
        """Whether a written path leads out of the dataset."""
        return not any(True for _ in self._direct(_plain(text)))

    def find_images(self, lines: Iterable[str], where: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Find the images that a list names.

        Args:
            lines: The list.
            where: Its key, for messages.

        Returns:
            Keys in the order of the list, each once, also of images that are not there; and findings.
        """
        keys: dict[str, None] = {}
        notes = []
        # All lines begin in the same way: what the first one needed is tried on each.
        cut, add = "", ""
        exists = self._tree
        for number, line in enumerate(lines, 1):
            text = line.removeprefix("./")
            key = add + text[len(cut) :] if text.startswith(cut) else ""
            if not text or text.startswith("#"):
                continue
            if key not in exists:
                found = self.find(text)
                if found is not None and found.key in exists:
                    key = found.key
                    cut, add = _change(text, key)
                else:
                    key = _missing(text)
            if not key:
                notes.append(("unsafe-file-name", f"{where}:{number}: {line}"))
                continue
            keys[key] = None
        return list(keys), notes

    def _exists(self, key: str) -> bool:
        return key in self._tree or key in self._tree.folders

    def _direct(self, path: str) -> Iterable[str]:
        """Yield what a path means when it is taken at its word."""
        if path.startswith("/"):
            below = posixpath.relpath(path, self._tree.root) if self._tree.root.startswith("/") else ".."
            candidates = [below]
        else:
            candidates = [posixpath.normpath(posixpath.join(base, path)) for base in self._bases]
            if path.startswith("../"):
                # Roboflow writes ../train/images for train/images beside data.yaml; Ultralytics reads it the same way.
                candidates += [posixpath.normpath(posixpath.join(base, path[3:])) for base in self._bases]
        for key in candidates:
            if key != ".." and not key.startswith(("../", "/")):
                yield "" if key == "." else key


def _plain(text: str) -> str:
    """Return a path with '/', without the drive of Windows."""
    return _DRIVE.sub("", text.strip().replace("\\", "/"))


def _parts(path: str) -> list[str]:
    """Return the parts of a path that name something."""
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _splits_of(parts: list[str]) -> set[str]:
    """Return the splits that parts of a path are named after."""
    return {split_of_folder(part) for part in parts} - {""}


def _missing(text: str) -> str:
    """Return the key of an image that is not there, "" where no key can say it."""
    try:
        return check_key("/".join(_parts(_plain(text))))
    except DatasetError:
        return ""


def _change(text: str, key: str) -> tuple[str, str]:
    """Return what begins a written path, and what takes its place in its key."""
    if text.endswith(key):
        return text[: -len(key)], ""
    return ("", key[: -len(text)]) if key.endswith(text) else ("\0", "")
