"""What a text file beside images is, told from its first row."""

from __future__ import annotations

from typing import Literal

Kind = Literal["yolo", "dota", "empty", "other"]


def kind_of_rows(head: bytes) -> Kind:
    """Name the rows of a label file.

    Args:
        head: Its beginning.
    """
    lines = head.decode("utf-8-sig", "replace").split("\n")
    # DOTA has two lines about the image first.
    if lines[0].startswith(("imagesource:", "gsd:")):
        return "dota"
    fields = next((fields for line in lines if (fields := line.split())), None)
    if fields is None:
        return "empty"
    numbers = [_is_number(field) for field in fields]
    if len(fields) >= 9 and all(numbers[:8]) and not numbers[8]:
        return "dota"
    return "yolo" if len(fields) >= 5 and all(numbers) else "other"


def _is_number(text: str) -> bool:
    """Whether a field is a number, perhaps with a decimal comma."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
