"""Bring many files of a folder to another: hard links where the disk has them, else copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rfdetr_train.files import copy_file, digest, temporary_sibling
from rfdetr_train.storage.fetch import check_size, make_folders
from rfdetr_train.storage.parallel import map_unordered
from rfdetr_train.storage.store import Conflict, Wanted

_COPIES = 8  # at once: on a network disk each waits


class Fetch:
    """The files of one folder."""

    def __init__(self, uri: str, source: Callable[[str], tuple[str, int]]) -> None:
        """Prepare.

        Args:
            uri: The folder, for messages.
            source: Gives the real path of a key and its size.
        """
        self._uri, self._source = uri, source

    def all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``; where the first file cannot be linked, nor can most others, and many are copied."""
        make_folders(wanted)
        linked = 0
        while link and linked < len(wanted) and self._link(wanted[linked]):
            yield wanted[linked]
            linked += 1
        yield from map_unordered(lambda item: self._bring(item, link), wanted[linked:], _COPIES)

    def _bring(self, item: Wanted, link: bool) -> Wanted:
        """Bring a file, as a copy unless a link will do."""
        if not (link and self._link(item)):
            source = self._checked(item)
            with temporary_sibling(item.destination) as temporary:
                copy_file(source, temporary)
                check_size(self._uri, item, temporary.stat().st_size)
                temporary.replace(item.destination)
        return item

    def _link(self, item: Wanted) -> bool:
        """Make a hard link to a file, False where the system does not allow one."""
        source = self._checked(item)
        if not item.destination.exists():
            return hard_link(source, item.destination)
        with temporary_sibling(item.destination) as temporary:
            if not hard_link(source, temporary):
                return False
            temporary.replace(item.destination)
        return True

    def _checked(self, item: Wanted) -> str:
        """Return the path of a file that is as it is wanted."""
        try:
            path, size = self._source(item.key)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self._uri}/{item.key}") from None
        check_size(self._uri, item, size)
        if item.version:
            check_version(path, item.version, f"{self._uri}/{item.key}")
        return path


def hard_link(source: str, destination: Path) -> bool:
    """Make a hard link where the system allows one."""
    try:
        os.link(source, destination)
    except OSError:
        # Another disk, a file of another user, or a file system without hard links.
        return False
    return True


def check_version(path: str, version: str, address: str) -> None:
    """Refuse a file of another version."""
    found = version_of(path)
    if found and found != version:
        raise Conflict(f"{address} has changed: it has version {found}, {version} was expected.")


def version_of(path: str) -> str | None:
    """Return the version of a file, None where there is none."""
    try:
        return digest(Path(path))
    except FileNotFoundError:
        return None
