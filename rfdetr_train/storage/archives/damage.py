"""The error of an archive that is not what it should be."""

from __future__ import annotations

from rfdetr_train.errors import DatasetError

CUT_OFF = "it ends before its time, cut off"


def damaged(where: str, found: str) -> DatasetError:
    """Build the error of an archive that cannot be read to its end.

    Args:
        where: The archive, or a file in it.
        found: What is wrong, as a sentence without its stop.
    """
    return DatasetError(f"{where} is damaged: {found}. Copy it again, or pack it again.")


def refused(where: str, name: str, reason: str) -> DatasetError:
    """Build the error of an entry that no dataset needs.

    Args:
        where: The archive.
        name: Of the entry.
        reason: What is wrong with it, as the rest of a sentence that begins with it.
    """
    return DatasetError(f"{where} is refused: its entry {name[:300]!r} {reason}. Pack it again without that.")
