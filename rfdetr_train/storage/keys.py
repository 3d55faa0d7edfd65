"""Which names an object may have."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from rfdetr_train.errors import DatasetError

LONGEST = 1024  # bytes of UTF-8, the limit of S3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Slashes that NFKC leaves as they are: fraction slash, division slash, big solidus, set minus, big reverse solidus.
_LOOKALIKES = re.compile("[\u2044\u2215\u29f8\u2216\u29f9]")


def check_key(key: str) -> str:
    """Return the key if it names something inside a store.

    Raises:
        DatasetError: It is empty, absolute, too long, not UTF-8, has a '..' or '.' part (also in letters that only
            look like these), a backslash or a control character.
    """
    if not _is_utf8(key) or _leaves(key) or _CONTROL.search(key) or (not key.isascii() and _misleads(key)):
        raise DatasetError(
            f"The name {key!r} is refused: it must be a relative path in UTF-8 with '/' that stays inside its folder "
            "(no '..', no leading '/', no backslash, no control character, nothing that looks like one of these). "
            "Rename the file."
        )
    return check_length(key)


def check_keys(keys: Sequence[str]) -> None:
    """Check many keys as ``check_key`` does, which would take 2 µs for each.

    Raises:
        DatasetError: One of them is refused.
    """
    if not keys:
        return
    # Between slashes, so that every part of every key, and an empty one, shows in the same way.
    joined = f"/{'/'.join(keys)}/"
    if not joined.isascii():
        check_keys([key for key in keys if key.isascii()])
        for key in keys:
            if not key.isascii():
                check_key(key)
    elif joined.isprintable() and "\\" not in joined and "//" not in joined and not _has_dots(joined):
        check_length(max(keys, key=len))
    else:
        for key in keys:
            check_key(key)


def check_names(folder: str, names: Sequence[str]) -> None:
    """Check the names of the files of a folder as ``check_keys`` does their keys.

    Raises:
        DatasetError: One of them, or the folder, is refused.
    """
    try:
        check_keys(names)
    except DatasetError:
        check_keys([f"{folder}/{name}" if folder else name for name in names])
        raise
    if folder:
        check_key(f"{folder}/{max(names, key=len)}")


def by_folder(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of files by the key of their folder; "" is the root."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        folder, _, name = key.rpartition("/")
        folders[folder].append(name)
    return dict(folders)


def check_length(key: str) -> str:
    """Return the key, the whole one of an S3 object, if S3 takes it.

    Raises:
        DatasetError: It is too long.
    """
    if len(key.encode()) > LONGEST:
        raise DatasetError(f"The name {key[:80]!r}… is refused: it is longer than {LONGEST} bytes. Rename the file.")
    return key


def _leaves(key: str) -> bool:
    """Whether a key, read as a path, is something else than a way down."""
    parts = key.split("/")
    return not all(parts) or ".." in parts or "." in parts or "\\" in key


def _has_dots(joined: str) -> bool:
    """Whether one of many keys between slashes has a part that is '.' or '..'."""
    return "/." in joined and ("/./" in joined or "/../" in joined)


def _misleads(key: str) -> bool:
    """Whether a key becomes another path when a program on the way normalises it, or looks like one that does."""
    plain = "".join(char for char in unicodedata.normalize("NFKC", key) if unicodedata.category(char) != "Cf")
    return plain.count("/") != key.count("/") or _leaves(plain) or _LOOKALIKES.search(key) is not None


def _is_utf8(key: str) -> bool:
    """Say whether a name can be written down; a local disk may hold names that cannot."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
