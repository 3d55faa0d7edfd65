"""The central directory of a .zip: what is in it and where, from the last kilobytes of the file.

After APPNOTE 6.3.10, which see for the names of the fields. The sizes in it are claims; ``zip_members`` holds every
member to them.
"""

from __future__ import annotations

import stat
import struct
from typing import NamedTuple

from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.archives.damage import damaged, refused
from rfdetr_train.storage.archives.limits import Limits
from rfdetr_train.storage.archives.ranges import RangeReader

STORED, DEFLATED = 0, 8
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # the member, the member strongly, the directory
_UTF8 = 1 << 11
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_EXTRA = struct.Struct("<HH")
LOCAL_BYTES = 30  # of a local header without name and extra fields
_TAIL = _END64.size + _LOCATOR.size + _END.size + 0xFFFF  # bytes of all that may follow the directory
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF


class ZipEntry(NamedTuple):
    """A file or folder in a .zip.

    Attributes:
        name: As it is written there.
        size: Bytes of its content.
        packed: Bytes that it takes in the archive.
        crc: CRC-32 of its content.
        method: ``STORED`` or ``DEFLATED``.
        header: Bytes of its local header, without the extra fields.
        start: Where its local header begins.
        end: Where the next one begins, or the directory.
    """

    name: str
    size: int
    packed: int
    crc: int
    method: int
    header: int
    start: int
    end: int


_Raw = tuple[int, str, int, int, int, int, int]  # start, and the fields of a ZipEntry up to ``header``


class _Directory(NamedTuple):
    """Where the directory lies, and how many entries it has."""

    entries: int
    size: int
    start: int


def read_directory(reader: RangeReader, limits: Limits) -> list[ZipEntry]:
    """Read the entries of a .zip, in the order of the archive.

    Raises:
        DatasetError: It is no .zip, damaged, encrypted or packed in a way that is not read, over a limit, or its
            members overlap.
    """
    where = reader.uri
    start = max(0, reader.size - _TAIL)
    tail = reader.read(start, reader.size - start)
    found = _find_directory(reader, tail, start)
    limits.check_entries(where, found.entries)
    limits.check_directory(where, found.size)
    here = found.start >= start
    data = tail[found.start - start :][: found.size] if here else reader.read(found.start, found.size)
    return _without_overlaps(_entries(data, found.entries, where), found.start, where)


def decoded_name(raw: bytes, flags: int, where: str) -> str:
    """Return a name. Without the flag for UTF-8 it should be code page 437, but macOS writes UTF-8 without it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise refused(where, raw.decode(errors="replace"), "has a name that is not UTF-8") from None
        return raw.decode("cp437")


def _find_directory(reader: RangeReader, tail: bytes, start: int) -> _Directory:
    """Return what the record at the end of the archive says.

    Args:
        reader: The archive.
        tail: Its last bytes.
        start: Where they begin.
    """
    where = reader.uri
    at = _end_record(tail, where)
    _, disk, first, _, count, size, offset, _ = _END.unpack_from(tail, at)
    end = start + at
    locator = at - _LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\6\7", locator):
        disk, first, count, size, offset, end = _zip64(reader, tail, locator, start)
    if disk or first:
        raise DatasetError(f"{where} is refused: it is one part of several (.z01, .z02, …). Join them to one .zip.")
    if offset + size > end:
        raise damaged(where, "its directory does not lie where the end record says")
    return _Directory(count, size, offset)


def _end_record(tail: bytes, where: str) -> int:
    """Return where the end record begins: the last one whose comment ends with the file."""
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at = tail.rfind(b"PK\5\6", 0, at)
    raise damaged(where, "it is no .zip, or it ends before its directory, cut off")


def _zip64(reader: RangeReader, tail: bytes, locator: int, start: int) -> tuple[int, int, int, int, int, int]:
    """Return disk, first disk, entries, size and offset of the directory, and where this record itself lies."""
    position = _LOCATOR.unpack_from(tail, locator)[2]
    if position + _END64.size > start + locator:
        raise damaged(reader.uri, "its zip64 record does not lie where its locator says")
    record = tail[position - start :] if position >= start else reader.read(position, _END64.size)
    signature, _, _, _, disk, first, _, count, size, offset = _END64.unpack_from(record)
    if signature != b"PK\6\6":
        raise damaged(reader.uri, "its zip64 record does not lie where its locator says")
    return disk, first, count, size, offset, position


def _entries(data: bytes, count: int, where: str) -> list[_Raw]:
    """Parse the directory."""
    found: list[_Raw] = []
    position = 0
    try:
        for _ in range(count):
            signature, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, attributes, offset = (
                _ENTRY.unpack_from(data, position)
            )
            fields = position + _ENTRY.size + name
            after = fields + extra + comment
            if signature != b"PK\1\2" or after > len(data):
                raise damaged(where, f"entry {len(found) + 1} of its directory is none")
            if _MAX32 in (packed, size, offset):
                size, packed, offset = _sizes64(data[fields : fields + extra], size, packed, offset)
            text = decoded_name(data[fields - name : fields], flags, where)
            _check(text, flags, method, attributes >> 16, where)
            if method == STORED and packed != size:
                raise damaged(where, f"'{text[:300]}' is stored as {packed:,} bytes and has {size:,}")
            found.append((offset, text, size, packed, crc, method, LOCAL_BYTES + name))
            position = after
    except struct.error:
        raise damaged(where, "its directory ends before its time") from None
    if position != len(data):
        raise damaged(where, f"its directory has more than its {count:,} entries")
    return found


def _sizes64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return size, packed size and offset with those of the zip64 field, which holds the ones that do not fit.

    Raises:
        struct.error: It does not hold them.
    """
    position = 0
    while position < len(extra):
        kind, length = _EXTRA.unpack_from(extra, position)
        position += _EXTRA.size
        if kind == 1:
            values = [size, packed, offset]
            wide = [index for index, value in enumerate(values) if value == _MAX32]
            for index, value in zip(wide, struct.unpack_from(f"<{len(wide)}Q", extra, position), strict=True):
                values[index] = value
            return values[0], values[1], values[2]
        position += length
    return size, packed, offset


def _check(name: str, flags: int, method: int, mode: int, where: str) -> None:
    """Refuse an entry that is not read, or no file."""
    if flags & _ENCRYPTED:
        raise refused(where, name, "is encrypted")
    if method not in (STORED, DEFLATED):
        packed = _METHODS.get(method, f"method {method}")
        raise refused(where, name, f"is packed with {packed} (Deflate and stored files are read)")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refused(where, name, f"is {_KINDS.get(stat.S_IFMT(mode), 'a device')}")


def _without_overlaps(found: list[_Raw], stop: int, where: str) -> list[ZipEntry]:
    """Return the entries by their place, with their ends; entries that share bytes are the mark of a bomb."""
    found.sort(reverse=True)
    entries: list[ZipEntry] = []
    for start, name, size, packed, crc, method, header in found:
        if start + header + packed > stop:
            raise refused(where, name, "shares its bytes with another one or with the directory")
        entries.append(ZipEntry(name, size, packed, crc, method, header, start, stop))
        stop = start
    entries.reverse()
    return entries
