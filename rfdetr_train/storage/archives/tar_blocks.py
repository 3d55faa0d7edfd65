"""The blocks of 512 bytes that a .tar is made of, after POSIX 1003.1 (pax) and the manual of GNU tar.

``tarfile`` would do, but for its memory: it reads a header of any size as a whole. It also takes four times as long.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

BLOCK_BYTES = 512
FOLDER, LONG_NAME, LONG_LINK = b"5", b"L", b"K"
POSIX, POSIX_GLOBAL, POSIX_SUN = b"x", b"g", b"X"
FILES = (b"0", b"\0", b"7")
KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}
"""What is neither a file nor a folder, in words."""

# Name; mode, user and group; size; time; checksum; kind; target of a link; magic; version, names, devices; prefix; rest
_HEADER = struct.Struct("100s24s12s12s8sc100s6s82s155s12s")
_ZEROS = bytes(BLOCK_BYTES)
_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]{1,255})=")  # of a POSIX header: length of the record, keyword, value


class Block(NamedTuple):
    """A header.

    Attributes:
        name: As it is written, in UTF-8 where it is.
        kind: One byte.
        size: Bytes of what follows.
    """

    name: str
    kind: bytes
    size: int


def parse_block(block: bytes) -> Block | None:
    """Parse a header; None is the end mark.

    Raises:
        ValueError: It is none.
    """
    if block == _ZEROS:
        return None
    name, _, size, _, checksum, kind, _, magic, _, prefix, _ = _HEADER.unpack(block)
    if _number(checksum) != sum(block) - sum(checksum) + 8 * 0x20:
        raise ValueError("its checksum is wrong")
    name = name.split(b"\0", 1)[0]
    # GNU keeps times in the place of the prefix, and ends its magic with a space.
    if magic == b"ustar\0" and prefix[0]:
        name = prefix.split(b"\0", 1)[0] + b"/" + name
    return Block(decoded(name), kind, _number(size))


def parse_records(content: bytes) -> dict[bytes, bytes]:
    """Parse what follows a POSIX header.

    Raises:
        ValueError: It cannot be read.
    """
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position)
        end = position + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise ValueError(f"the POSIX record at byte {position} cannot be read")
        found[match[2]] = content[match.end() : end - 1]
        position = end
    return found


def decoded(name: bytes) -> str:
    """Return a name; bytes that are not UTF-8 become what ``check_key`` refuses."""
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Return a number: octal digits, or binary behind a mark."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if digits and not digits.isdigit():
        raise ValueError(f"{digits!r} is no number")
    return int(digits or b"0", 8)
