"""Names of splits, as people write them into names of files and folders."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from rfdetr_train.datasets.model import SPLITS

_ALIASES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}
# Understood where nothing has the proper name of the split.
_WEAK = {"trainval": "train", "dev": "valid"}
_WORD = re.compile(
    r"(?<![a-z])(training|train|validation|valid|val|testing|test|trainval|dev)((?:19|20)\d\d)?(?![a-z0-9])",
    re.IGNORECASE,
)


class Named(NamedTuple):
    """A split that a name speaks of.

    Attributes:
        split: train, valid or test.
        word: How the name says it, for example val2017.
        weak: Whether it may mean something else too.
    """

    split: str
    word: str
    weak: bool


def named_split(name: str) -> Named | None:
    """Return the split that a name speaks of, None where it speaks of none or of several.

    Args:
        name: The name of a file without folder and extension, or that of a folder.
    """
    found = [(match[1].lower(), match[0]) for match in _WORD.finditer(name)]
    proper = [(_ALIASES[word], text) for word, text in found if word in _ALIASES]
    splits = {split for split, _ in proper}
    if splits == {"train", "valid"}:
        return Named("train", name, True)
    if proper:
        return Named(*proper[0], False) if len(splits) == 1 else None
    return Named(_WEAK[found[0][0]], found[0][1], True) if found else None


def split_of_folder(name: str) -> str:
    """Return the split that a folder is named after, and nothing else; "" where it is not."""
    found = named_split(name)
    return found.split if found is not None and found.word == name and not found.weak else ""


def sort_by_split(keys: Sequence[str]) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """Sort files by the split that their name, or else a folder above them, is of.

    Returns:
        Split -> (key, word), in the order of ``SPLITS``; and the files that say nothing.
    """
    found: dict[bool, defaultdict[str, list[tuple[str, str]]]] = {False: defaultdict(list), True: defaultdict(list)}
    rest = []
    for key in keys:
        *folders, name = key.split("/")
        named = named_split(name.rpartition(".")[0])
        folder = next((folder for folder in reversed(folders) if split_of_folder(folder)), "")
        if named is not None and not (named.weak and folder):
            found[named.weak][named.split].append((key, named.word))
        elif folder:
            found[False][split_of_folder(folder)].append((key, folder))
        else:
            rest.append(key)
    strong, weak = found[False], found[True]
    rest += [key for split in weak if split in strong for key, _ in weak[split]]
    return {split: strong.get(split) or weak[split] for split in SPLITS if split in strong or split in weak}, rest
