"""The files of a .tar in order: ustar, GNU and POSIX headers. Everything that is no file or folder is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rfdetr_train.storage.archives import tar_blocks as tar
from rfdetr_train.storage.archives.damage import damaged, refused
from rfdetr_train.storage.archives.limits import Limits
from rfdetr_train.storage.archives.names import check_names, is_ignored, plain_name
from rfdetr_train.storage.archives.tape import Tape

_FOLLOWING = 1 << 20  # bytes of a header that belongs to the next one; macOS puts whole attributes there
_HEADERS = 8  # such headers in a row; there are at most four kinds
_PADDING = 16 << 20  # bytes behind the end mark


class TarEntry(NamedTuple):
    """A file in a .tar.

    Attributes:
        name: Checked by itself, and not against other names.
        size: Bytes of its content.
        start: Where its content begins.
    """

    name: str
    size: int
    start: int


def tar_entries(tape: Tape, limits: Limits, where: str) -> Iterator[TarEntry]:
    """Yield the files that belong to the dataset; the caller may take their content from the tape.

    Raises:
        DatasetError: The archive is damaged, cut off or over a limit, or an entry is no file or has a name that is
            refused.
    """
    count = names = 0
    while header := _next_header(tape, where):
        count, names = count + 1, names + len(header.name)
        limits.check_entries(where, count)
        limits.check_directory(where, names)
        stop = tape.position + _blocks(header.size)
        limits.check_bytes(where, stop)
        name = plain_name(header.name)
        if name or header.kind != tar.FOLDER:
            check_names(where, [name])
        if header.kind != tar.FOLDER and not is_ignored(name):
            yield TarEntry(name, header.size, tape.position)
        tape.skip(stop - tape.position)
    _expect_end(tape, where)


def _next_header(tape: Tape, where: str) -> tar.Block | None:
    """Read the headers of the next entry; None at the end mark."""
    name: str | None = None
    size: int | None = None
    for _ in range(_HEADERS + 1):
        header = _read_header(tape, where)
        if header is None:
            return None
        if header.kind == tar.LONG_NAME:
            name = tar.decoded(_following(tape, header, where).split(b"\0", 1)[0])
        elif header.kind == tar.POSIX:
            name, size = _from_records(_following(tape, header, where), name, size, where)
        elif header.kind in (tar.POSIX_GLOBAL, tar.POSIX_SUN, tar.LONG_LINK):
            _following(tape, header, where)
        else:
            return _entry(header.name if name is None else name, header, header.size if size is None else size, where)
    raise damaged(where, f"it has more than {_HEADERS} headers for one entry")


def _read_header(tape: Tape, where: str) -> tar.Block | None:
    """Read one header; None at the end mark."""
    block = b"".join(tape.pieces(tar.BLOCK_BYTES))
    try:
        return tar.parse_block(block)
    except ValueError as error:
        place = tape.position - len(block)
        raise damaged(where, f"there is no header of a .tar at byte {place:,}: {error}") from None


def _entry(name: str, header: tar.Block, size: int, where: str) -> tar.Block:
    """Return an entry, if it is a file or a folder."""
    if header.kind not in (*tar.FILES, tar.FOLDER):
        what = tar.KINDS.get(header.kind, f"of the unknown kind {header.kind.decode('latin-1')!r}")
        raise refused(where, name, f"is {what}")
    # Old archives know folders only by the slash.
    return tar.Block(name, tar.FOLDER if name.endswith("/") else header.kind, size)


def _following(tape: Tape, header: tar.Block, where: str) -> bytes:
    """Read the content of a header that belongs to the next one."""
    if header.size > _FOLLOWING:
        raise damaged(where, f"it has a header of {header.size:,} bytes, the limit is {_FOLLOWING:,}")
    return b"".join(tape.pieces(_blocks(header.size)))[: header.size]


def _from_records(content: bytes, name: str | None, size: int | None, where: str) -> tuple[str | None, int | None]:
    """Return name and size as a POSIX header gives them, else those that are given."""
    try:
        records = tar.parse_records(content)
        if b"path" in records:
            name = tar.decoded(records[b"path"])
        if b"size" in records:
            size = int(records[b"size"])
    except ValueError as error:
        raise damaged(where, f"it has a POSIX header that cannot be read: {error}") from None
    if size is not None and size < 0:
        raise damaged(where, f"it has a POSIX header with the size {size}")
    if any(key.startswith(b"GNU.sparse") for key in records):
        raise refused(where, name or "", "is a sparse file")
    return name, size


def _blocks(size: int) -> int:
    """Return the bytes of the blocks that a content takes."""
    return -(-size // tar.BLOCK_BYTES) * tar.BLOCK_BYTES


def _expect_end(tape: Tape, where: str) -> None:
    """Read what is behind the end mark, so that the checksum of a packed archive is checked too."""
    count = 0
    for piece in tape.rest():
        count += len(piece)
        if count > _PADDING or bytes(piece).strip(b"\0"):
            raise damaged(where, "something follows its end mark, perhaps a second .tar")
