"""Archives for tests: of plain files, and with single fields that no tool would write."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd")


def pack(files: Mapping[str, bytes], suffix: str) -> bytes:
    """Return an archive of the kind that a suffix names."""
    return make_zip(files.items()) if suffix == ".zip" else compress(make_tar(files.items()), suffix)


def make_zip(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip; a ZipInfo in the place of a name gives its fields."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def make_tar(files: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a .tar; a TarInfo in the place of a name gives its fields."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def compress(data: bytes, suffix: str) -> bytes:
    """Pack a .tar as a suffix says."""
    if suffix.endswith("gz"):
        return gzip.compress(data, 1, mtime=0)
    if suffix.endswith(("zst", "zstd")):
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return data


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return one block, with a size that need not be that of what follows."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def patch(data: bytes, place: int, form: str, *values: int) -> bytes:
    """Write little-endian fields into an archive."""
    changed = bytearray(data)
    struct.pack_into(f"<{form}", changed, place, *values)
    return bytes(changed)


def entry_of(data: bytes, number: int = 0) -> int:
    """Return where an entry of the directory of a .zip begins."""
    place = -1
    for _ in range(number + 1):
        place = data.index(b"PK\1\2", place + 1)
    return place


def write(folder: Path, name: str, data: bytes) -> str:
    """Write an archive and return its path."""
    path = folder / name
    path.write_bytes(data)
    return str(path)
