"""TIFF, and EXIF, which is a TIFF without pixels."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, Orientation, truncated_unless
from rfdetr_train.datasets.image_files.source import EndedError, MalformedError, Source

EXIF_PREFIX = b"Exif\0\0"
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_PIECES = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_SEPARATED = 5  # photometric interpretation: CMYK
_MOST_FIELDS = 512
_BYTE, _SHORT, _LONG, _LONG8 = 1, 3, 4, 16


class Dialect(NamedTuple):
    """Byte order and widths.

    Attributes:
        first: Where the offset of the first directory stands.
        offset: An offset in the file.
        length: The number of fields of a directory.
        field: Tag, type and number of values; a value or its offset follows.
        numbers: Whole numbers, by type.
    """

    first: int
    offset: Struct
    length: Struct
    field: Struct
    numbers: dict[int, Struct]


def _dialect(order: str, first: int, offset: str, length: str, field: str) -> Dialect:
    letters = {_BYTE: "B", _SHORT: "H", _LONG: "I", _LONG8: "Q"}
    numbers = {kind: Struct(order + letter) for kind, letter in letters.items()}
    return Dialect(first, Struct(order + offset), Struct(order + length), Struct(order + field), numbers)


_LITTLE, _MOTOROLA = (_dialect(order, 4, "I", "H", "HHI4x") for order in "<>")
_BIG = _dialect("<", 8, "Q", "Q", "HHQ8x")  # BigTIFF, which Pillow reads in this order only
_DIALECTS = {
    b"II*\0": _LITTLE,
    b"MM\0*": _MOTOROLA,
    # Written by mistake, and read by Pillow.
    b"II\0*": _LITTLE,
    b"MM*\0": _MOTOROLA,
    b"II+\0": _BIG,
}


class Field(NamedTuple):
    """A field of a directory.

    Attributes:
        tag: What it is.
        type: Of its values.
        values: How many it has.
        at: Where the value stands, or the offset of the values if they do not fit there.
    """

    tag: int
    type: int
    values: int
    at: int


def read_exif(source: Source, start: int, end: int) -> Orientation:
    """Find the orientation in an EXIF block; upright where it says nothing that makes sense.

    Args:
        source: The file.
        start: Where the block begins, with or without its prefix.
        end: Where it ends; nothing beyond is looked at.
    """
    try:
        if source.take(start, len(EXIF_PREFIX)) == EXIF_PREFIX:
            start += len(EXIF_PREFIX)
        dialect = _read_dialect(source, start)
        (offset,) = source.unpack(dialect.offset, start + dialect.first)
        for field in _fields(source, dialect, start + offset, end):
            if field.tag == _ORIENTATION:
                return _orientation(source, dialect, field)
    except (EndedError, MalformedError):
        # The image itself may be whole; where the file ends too early, what reads on will notice.
        return UPRIGHT
    return UPRIGHT


def parse(source: Source) -> Header:
    """Read the first directory of a TIFF file."""
    dialect = _read_dialect(source, 0)
    (start,) = source.unpack(dialect.offset, dialect.first)
    fields = {field.tag: field for field in _fields(source, dialect, start, source.size)}
    width, height = (_number(source, dialect, fields, tag) for tag in (_WIDTH, _HEIGHT))
    bits = _number(source, dialect, fields, _BITS) if _BITS in fields else 1
    separated = _PHOTOMETRIC in fields and _number(source, dialect, fields, _PHOTOMETRIC) == _SEPARATED
    orientation = _orientation(source, dialect, fields[_ORIENTATION]) if _ORIENTATION in fields else UPRIGHT
    state = truncated_unless(_is_complete(source, dialect, fields))
    return Header("TIFF", width, height, orientation, separated or bits > 8, state)


def _read_dialect(source: Source, start: int) -> Dialect:
    """Read the byte order."""
    dialect = _DIALECTS.get(source.take(start, 4))
    if dialect is None:
        raise MalformedError
    return dialect


def _fields(source: Source, dialect: Dialect, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of a directory that lie before ``end``."""
    first, size = start + dialect.length.size, dialect.field.size
    if first > end:
        raise MalformedError
    (count,) = source.unpack(dialect.length, start)
    count = min(count, _MOST_FIELDS, (end - first) // size)
    at = first + size - dialect.offset.size
    for tag, kind, values in dialect.field.iter_unpack(source.take(first, count * size)):
        yield Field(tag, kind, values, at)
        at += size


def _number(source: Source, dialect: Dialect, fields: dict[int, Field], tag: int) -> int:
    """Return the last value of a field, which is also the first of most."""
    field = fields.get(tag)
    form = dialect.numbers.get(field.type) if field else None
    if field is None or form is None or not field.values:
        raise MalformedError
    at = field.at
    if field.values * form.size > dialect.offset.size:
        (at,) = source.unpack(dialect.offset, at)
    (number,) = source.unpack(form, at + (field.values - 1) * form.size)
    return int(number)


def _orientation(source: Source, dialect: Dialect, field: Field) -> Orientation:
    """Return the orientation that a field gives."""
    if field.type not in (_BYTE, _SHORT, _LONG) or field.values != 1:
        return UPRIGHT
    form = dialect.numbers[field.type]
    (value,) = source.unpack(form, field.at)
    return Orientation(value, field.at, form.pack(1)) if 2 <= value <= 8 else UPRIGHT


def _is_complete(source: Source, dialect: Dialect, fields: dict[int, Field]) -> bool:
    """Whether the last strip or tile ends inside the file; where its length is not given, whether it begins there."""
    for offsets, counts in _PIECES:
        if offsets in fields:
            start = _number(source, dialect, fields, offsets)
            count = _number(source, dialect, fields, counts) if counts in fields else 1
            return start + count <= source.size
    raise MalformedError
