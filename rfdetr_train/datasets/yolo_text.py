"""The text of YOLO label files as rows of numbers, for many files at once.

A file of plain numbers is parsed with all others of its chunk; one with anything else in it is rewritten first, line
by line, into plain numbers, and what is odd about it is reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.table import Flags, Floats, Ints

_PLAIN = b"0123456789.+-eE \t\r\n"
_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|[0-9]+,[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"([+-]?)(nan|inf)(?:inity)?", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """The rows of some label files, without blank lines.

    Attributes:
        file: (r,) index of the file.
        line: (r,) line number in it, from 1.
        start: (r,) index in ``values`` of the first number.
        count: (r,) how many numbers.
        decimal: (r,) whether the first number is written as a decimal.
        values: All numbers.
    """

    file: Ints
    line: Ints
    start: Ints
    count: Ints
    decimal: Flags
    values: Floats


def parse_rows(contents: Sequence[bytes], keys: Sequence[str], findings: Findings) -> Rows:
    """Parse label files.

    Args:
        contents: The files.
        keys: Their keys, for messages.
        findings: Where to report lines that hold something else than numbers; they are left out.
    """
    named = list(zip(contents, keys, strict=True))
    plain = [rewrite(data, key, findings) if data.translate(None, _PLAIN) else data for data, key in named]
    try:
        return _split(plain)
    except ValueError:
        # A word of the letters of numbers that is none, like 0.5.5 or 1e.
        return _split([rewrite(data, key, findings) for data, key in zip(plain, keys, strict=True)])


def _split(contents: Sequence[bytes]) -> Rows:
    """Split files of plain numbers.

    Raises:
        ValueError: A word is no number.
    """
    text = b"\n%b\n" % b"\n".join(contents)
    codes = np.frombuffer(text, np.uint8)
    blank = codes <= ord(" ")
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    # Of a text without a word numpy makes a number.
    values = np.fromstring(text, sep=" ") if len(starts) else np.empty(0)
    if len(values) != len(starts):
        raise ValueError("a word is no number")
    breaks = _line_breaks(text, codes)
    before = np.searchsorted(starts, breaks)  # words before each
    count = np.diff(before)
    rows = np.flatnonzero(count)
    first = before[rows]
    # The line break before the first line of each file.
    lengths = np.array([len(data) + 1 for data in contents], np.int64)
    opening = np.searchsorted(breaks, np.cumsum(lengths) - lengths)
    file = np.searchsorted(opening, rows, side="right") - 1
    return Rows(file, rows - opening[file] + 1, first, count[rows], _decimal(codes, starts[first], ends[first]), values)


def _line_breaks(text: bytes, codes: NDArray[np.uint8]) -> Ints:
    """Return the positions of line breaks: LF, or a CR that none follows."""
    breaks = codes == ord("\n")
    if b"\r" in text:
        breaks[:-1] |= (codes[:-1] == ord("\r")) & ~breaks[1:]
    return np.flatnonzero(breaks)


def _decimal(codes: NDArray[np.uint8], starts: Ints, ends: Ints) -> Flags:
    """Whether words have a point or an exponent."""
    marks = np.append(np.flatnonzero((codes == ord(".")) | (codes | 32 == ord("e"))), len(codes))
    return marks[np.searchsorted(marks, starts)] < ends


def rewrite(data: bytes, where: str, findings: Findings) -> bytes:
    """Return a label file as plain numbers, in the same lines; a line with anything else becomes blank.

    Args:
        data: The file.
        where: Its key, for messages.
        findings: Where to report.
    """
    if data.startswith(_MARK):
        findings.add("byte-order-mark", where)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        findings.add("malformed-row", f"{where}: not UTF-8")
        return b""
    lines = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        words = [_plain_number(word) for word in line.split()]
        if None in words:
            findings.add("malformed-row", f"{where}:{number}")
            words = []
        elif "," in line:
            findings.add("decimal-comma", f"{where}:{number}")
        lines.append(" ".join(words))  # type: ignore[arg-type]
    return "\n".join(lines).encode()


def _plain_number(word: str) -> str | None:
    """Return a number with a decimal point, or nan or inf; None for anything else."""
    if _NUMBER.fullmatch(word):
        return word.replace(",", ".")
    found = _NOT_FINITE.fullmatch(word)
    return found[1] + found[2].lower() if found else None
