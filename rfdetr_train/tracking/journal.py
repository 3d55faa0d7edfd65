"""The metrics of every epoch in a file, one line each, so that none depends on a server that may be away."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rfdetr_train.files import atomic_write_bytes, sync


class Record(msgspec.Struct, frozen=True):
    """A line of the journal.

    Attributes:
        step: Completed epochs.
        time_ms: When the epoch ended, in milliseconds since 1970.
        metrics: Finite values by name.
    """

    step: int
    time_ms: int
    metrics: dict[str, float]


def append(path: Path, step: int, metrics: Mapping[str, float], time_ms: int) -> None:
    """Add the metrics of an epoch; they are on the disk itself when this returns.

    Args:
        path: The journal; made when it is not there.
        step: Completed epochs.
        metrics: Values by name; those that are not finite are left out, JSON has no way to write them.
        time_ms: When the epoch ended.
    """
    finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    new = not path.exists()
    with path.open("a+b") as file:
        _drop_unfinished_line(file.fileno())
        file.write(_line(Record(step, time_ms, finite)))
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def read(path: Path) -> list[Record]:
    """Read the journal, oldest first; an unfinished or damaged line, as a killed process leaves it, is passed over."""
    if not path.is_file():
        return []
    *lines, _unfinished = path.read_bytes().split(b"\n")
    return [record for record in map(_decoded, lines) if record is not None]


def truncate_after(path: Path, step: int) -> None:
    """Forget the epochs after ``step``, which will be trained again; the file is replaced in one step."""
    records = read(path)
    kept = [record for record in records if record.step <= step]
    if len(kept) < len(records):
        atomic_write_bytes(path, b"".join(map(_line, kept)))


def _line(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _decoded(line: bytes) -> Record | None:
    try:
        return msgspec.json.decode(line, type=Record)
    except msgspec.DecodeError:
        return None


def _drop_unfinished_line(descriptor: int) -> None:
    """Cut off what follows the last line end, or the new line would be lost together with it."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.truncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
