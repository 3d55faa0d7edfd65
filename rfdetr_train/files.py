"""Write files so that a reader finds the old content or the new, never half of it."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The ioctl of Linux that lets a file share the blocks of another one, on btrfs, xfs and the like.
_FICLONE = 0x40049409

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}(\..*)?")


@contextmanager
def temporary_sibling(destination: Path) -> Iterator[Path]:
    """Give a free path beside ``destination``, whose folder is made; what is still there on leaving is removed.

    Not ``tempfile.mkstemp``: its mode 0600 would stay on the finished file and lock out other users.

    Args:
        destination: The path that the file will have in the end.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(temporary_name(str(destination)))
    try:
        yield temporary
    finally:
        # Also after success: a rename onto a hard link of the same file leaves the old name behind.
        temporary.unlink(missing_ok=True)


def temporary_name(path: str) -> str:
    """Make up a free name beside a path; ``TEMPORARY`` knows it again."""
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    # 200 bytes of a name of at most 255 leave room for what is added.
    short = stem.encode()[:200].decode(errors="ignore")
    return f"{folder}{slash}.{short}.{secrets.token_hex(4)}{dot}{suffix[:31]}"


def copy_file(source: str | os.PathLike[str], destination: Path) -> None:
    """Copy the content of a file; where the disk can, both share it until one of them is written to."""
    with Path(source).open("rb") as original, destination.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            shutil.copyfile(source, destination)


@contextmanager
def atomic_replace(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a free path beside ``path``, to be written by name; on a clean exit it takes the place of ``path``.

    The content is on the disk when the block is left. When the block raises, ``path`` stays as it was.

    Args:
        path: File to create or replace. Its folder is created.
    """
    target = Path(path)
    with temporary_sibling(target) as temporary:
        yield temporary
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        sync(temporary)
        temporary.replace(target)
    # The rename itself is lost in a power cut unless the folder is synced too.
    sync(target.parent)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` in one step."""
    with atomic_replace(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8 in one step, line ends unchanged."""
    atomic_write_bytes(path, text.encode())


def sync(path: Path) -> None:
    """Have a file or a folder on the disk itself, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """Hash a file with SHA-256."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return hashlib.sha256().hexdigest()
        # Mapped and hashed in one call, which lets other threads run: in chunks of 256 kB, hashing 480 MB beside a busy
        # training thread took 19 s in the place of 1, for the interpreter lock is fought for at every chunk.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()
