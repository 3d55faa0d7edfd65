"""Which store reads an archive: its name says."""

from __future__ import annotations

from rfdetr_train.storage.archives.limits import Limits
from rfdetr_train.storage.archives.ranges import FileReader, RangeReader
from rfdetr_train.storage.archives.tar_store import TarStore
from rfdetr_train.storage.archives.tar_stream import TarStreamStore
from rfdetr_train.storage.archives.zip_store import ZipStore
from rfdetr_train.storage.uri import Location


def open_archive(location: Location) -> ZipStore | TarStore | TarStreamStore:
    """Open the archive at a location whose ``names_archive`` holds; nothing is read yet.

    Raises:
        ParameterError: The environment sets a limit that is no number, or names an endpoint that is not allowed.
    """
    reader = _reader(location)
    limits = Limits.from_environment()
    name = location.path.lower()
    if name.endswith(".zip"):
        return ZipStore(reader, limits)
    if name.endswith((".gz", ".tgz")):
        return TarStreamStore(reader, limits, "gzip")
    if name.endswith((".zst", ".zstd")):
        return TarStreamStore(reader, limits, "zstd")
    return TarStreamStore(reader, limits, "") if location.scheme == "s3" else TarStore(reader, limits)


def _reader(location: Location) -> RangeReader:
    if location.scheme == "s3":
        from rfdetr_train.storage.archives.s3_ranges import S3Reader

        return S3Reader(location)
    return FileReader(location.root)
