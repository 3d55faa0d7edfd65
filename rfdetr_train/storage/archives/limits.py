"""What tells a dataset from a bomb: limits, each named in its error with the variable that raises it."""

from __future__ import annotations

import os
from typing import NamedTuple

from rfdetr_train.errors import DatasetError, ParameterError

_ENTRIES, _BYTES, _RATIO = "RFDETR_ARCHIVE_MAX_ENTRIES", "RFDETR_ARCHIVE_MAX_BYTES", "RFDETR_ARCHIVE_MAX_RATIO"
_DIRECTORY = 128 << 20  # bytes of names and their fields; those of 500,000 images take 60 MB
SMALL = 16 << 20
"""Bytes that may have any ratio: a file of one repeated value is no bomb."""


class Limits(NamedTuple):
    """What an archive may hold.

    Attributes:
        entries: Files, folders and whatever else has a name in it; each costs some 500 bytes of memory.
        bytes: Size of its content.
        ratio: Size of its content to its own. JSON reaches 20, the 42 kB bomb 100,000 a layer.
    """

    entries: int = 500_000
    bytes: int = 1 << 40
    ratio: int = 200

    @classmethod
    def from_environment(cls) -> Limits:
        """Return the limits with what the environment sets.

        Raises:
            ParameterError: A variable is no whole number above 0.
        """
        standard = cls()
        return cls(
            _variable(_ENTRIES, standard.entries), _variable(_BYTES, standard.bytes), _variable(_RATIO, standard.ratio)
        )

    def check_entries(self, where: str, found: int) -> None:
        """Refuse too many entries."""
        if found > self.entries:
            raise _over(where, f"{found:,} entries", f"{self.entries:,}", _ENTRIES)

    def check_directory(self, where: str, found: int) -> None:
        """Refuse names that would fill the memory, ``found`` bytes of them."""
        if found > _DIRECTORY:
            raise DatasetError(
                f"{where} is refused: its list of files takes {found:,} bytes, the limit is {_DIRECTORY:,}. "
                "Unpack it and give the folder."
            )

    def check_bytes(self, where: str, found: int) -> None:
        """Refuse too much content, in all or in one file of it."""
        if found > self.bytes:
            raise _over(where, f"{found:,} bytes of content", f"{self.bytes:,}", _BYTES)

    def check_ratio(self, where: str, size: int, packed: int) -> None:
        """Refuse content of ``size`` bytes that is packed into too few."""
        if size > SMALL and size > self.ratio * packed:
            raise _over(where, f"{size:,} bytes in {packed:,}", f"{self.ratio} times", _RATIO)


def _over(where: str, found: str, limit: str, variable: str) -> DatasetError:
    return DatasetError(
        f"{where} is refused: it holds {found}, the limit is {limit}. If it is a dataset and no bomb, raise {variable}."
    )


def _variable(name: str, standard: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return standard
    if not (text.isascii() and text.isdigit() and int(text[:20])):
        raise ParameterError(f"{name} must be a whole number above 0.")
    return int(text[:20])
