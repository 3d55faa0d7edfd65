"""Which names the files of an archive may have, and which folder of it is the root of the dataset."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.archives.damage import refused
from rfdetr_train.storage.keys import check_keys

_LONGEST_PART = 255  # bytes, of Linux file systems
# A dataset of one split, or of images only, is no dataset in a folder.
_MEANT = re.compile(r"(train|val|valid|validation|test|images|labels|annotations)\d*")


def plain_name(name: str) -> str:
    """Return a name without the './' at its front and the '/' at its end that tar writes; "" for the root itself."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return "" if name == "." else name.removesuffix("/")


def check_names(where: str, names: Sequence[str]) -> None:
    """Refuse names of files or folders that would leave the root, or that no disk can hold.

    Args:
        where: The archive.
        names: As ``plain_name`` gives them.

    Raises:
        DatasetError: One of them is refused.
    """
    try:
        check_keys(names)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None
    for name in names:
        if name[1:2] == ":" and name[0].isalpha():
            raise refused(where, name, "begins with a drive letter")
        if len(name) * 4 > _LONGEST_PART and any(len(part.encode()) > _LONGEST_PART for part in name.split("/")):
            raise refused(where, name, f"has a part of more than {_LONGEST_PART} bytes")


def is_ignored(name: str) -> bool:
    """Whether a file is what macOS leaves in archives: no part of what somebody packed."""
    last = name[name.rfind("/") + 1 :]
    return last.startswith("._") or last == ".DS_Store" or ("__MACOSX/" in name and "/__MACOSX/" in f"/{name}")


def keys_of(where: str, names: Sequence[str]) -> list[str]:
    """Return the keys of the files of an archive: their names below the root of the dataset.

    Args:
        where: The archive.
        names: All of them, each checked by itself.

    Raises:
        DatasetError: A file system may take two of them for one, so that one would be lost.
    """
    _check_clashes(where, names)
    skip = len(_root_folder(names))
    return [name[skip:] for name in names]


def _check_clashes(where: str, names: Sequence[str]) -> None:
    """Refuse names that are equal but for case or the way that Unicode writes a letter; a file that is a folder too."""
    folded = [_fold(name) for name in names]
    files = set(folded)
    if len(files) != len(names):
        first: dict[str, str] = {}
        for name, key in zip(names, folded, strict=True):
            other = first.get(key)
            if other is not None:
                what = "is there twice" if other == name else f"and {other[:300]!r} differ only in case or Unicode form"
                raise refused(where, name, what)
            first[key] = name
    folders = _folders(folded)
    for name, key in zip(names, folded, strict=True) if folders & files else ():
        if key in folders:
            raise refused(where, name, "is a file and a folder at once")


def _folders(names: Iterable[str]) -> set[str]:
    """Return all folders that files lie in."""
    found: set[str] = set()
    for name in {name.rpartition("/")[0] for name in names}:
        folder = name
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _root_folder(names: Iterable[str]) -> str:
    """Return the one folder that all files lie in, with its '/'; "" where there is none, or it means something."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(tops) != 1:
        return ""
    top = tops.pop()
    return "" if not top or _MEANT.fullmatch(top.lower()) else f"{top}/"


def _fold(name: str) -> str:
    """Return what is equal for names that differ only in case or Unicode form."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
