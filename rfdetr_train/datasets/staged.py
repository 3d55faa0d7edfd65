"""A folder that is staged to: whose it is, and which images are there, so that a restart brings only the others."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from rfdetr_train.datasets.manifest import PreparedImage
from rfdetr_train.datasets.model import SPLITS
from rfdetr_train.errors import ParameterError
from rfdetr_train.files import TEMPORARY, atomic_write_bytes, temporary_sibling
from rfdetr_train.storage import Wanted, parse_location
from rfdetr_train.storage.local import LocalStore
from rfdetr_train.storage.walk import LOCK

MARKER = ".staged.json"
INDEX = ".staged.images"
_log = logging.getLogger(__name__)
_ENCODER = msgspec.json.Encoder()


class Marker(msgspec.Struct, frozen=True):
    """The marker of a staged folder.

    Attributes:
        fingerprint: Of the dataset.
        complete: False until everything is there.
    """

    fingerprint: str
    complete: bool


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A line of the index: an image that is there as a whole.

    Attributes:
        place: Its path in the folder.
        key: Where it came from.
        size: Bytes that came.
        etag: Content tag that it had.
        action: What was done with it.
        stored: Bytes of the file, other than ``size`` where it was written anew.
    """

    place: str
    key: str
    size: int
    etag: str
    action: str
    stored: int


class Missing(NamedTuple):
    """An image that is still to be brought.

    Attributes:
        wanted: What to bring.
        action: What to do with it then.
    """

    wanted: Wanted
    action: str


_DECODER = msgspec.json.Decoder(Record)


class StagedFolder:
    """The images of a folder that this process alone may change."""

    def __init__(self, folder: Path) -> None:
        """Read the index."""
        self._folder = folder
        self._skip = len(str(folder)) + 1
        self._records = _read_index(folder / INDEX)

    def missing(self, images: Mapping[str, PreparedImage]) -> dict[str, Missing]:
        """Return what is not there, or not as it is wanted, and forget it; remove what killed processes left.

        Args:
            images: By their paths in the folder.
        """
        store = LocalStore(parse_location(str(self._folder)))
        sizes = {found.key: found.size for found in store.list()}
        result = {}
        for place, image in images.items():
            there = Record(place, image.key, image.size, image.etag, image.action, sizes.pop(place, -1))
            if self._records.get(place) != there:
                wanted = Wanted(image.key, image.size, self._folder / place, image.etag)
                result[place] = Missing(wanted, image.action)
                self._records.pop(place, None)
        for place in sizes:
            if TEMPORARY.fullmatch(place.rpartition("/")[2]):
                (self._folder / place).unlink(missing_ok=True)
        return result

    @contextmanager
    def noting(self) -> Iterator[Callable[[Missing], None]]:
        """Give what notes an image that is there now, from any thread; what is to be brought is not noted before."""
        path = self._folder / INDEX
        put_in_place(path, _ENCODER.encode_lines(self._records.values()))
        with path.open("ab", buffering=0) as index:

            def add(image: Missing) -> None:
                wanted = image.wanted
                stored = wanted.destination.stat().st_size
                place = str(wanted.destination)[self._skip :]
                record = Record(place, wanted.key, wanted.size, wanted.version, image.action, stored)
                index.write(_ENCODER.encode(record) + b"\n")  # one call, which other threads cannot divide

            yield add


@contextmanager
def staging_to(folder: Path, fingerprint: str) -> Iterator[StagedFolder]:
    """Take a folder for a dataset, waiting for others that stage to it; it is marked complete when the block ends well.

    What belongs to this dataset is kept, what was staged of another one is removed.

    Raises:
        ParameterError: The folder holds something else.
    """
    _refuse_foreign(folder)
    with _locked(folder):
        _refuse_foreign(folder)
        _clear_other(folder, fingerprint)
        _mark(folder, fingerprint, complete=False)
        yield StagedFolder(folder)
        _mark(folder, fingerprint, complete=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another process stages to %s: waiting for it", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with something that we did not stage."""
    if folder.exists() and _read_marker(folder) is None:
        if folder.is_dir() and all(path.name == LOCK or TEMPORARY.fullmatch(path.name) for path in folder.iterdir()):
            return
        raise ParameterError(f"{folder} is not empty and was not staged by us. Name a new or empty folder.")


def _clear_other(folder: Path, fingerprint: str) -> None:
    """Remove what was staged of another dataset."""
    marker = _read_marker(folder)
    if marker is not None and marker.fingerprint != fingerprint:
        for name in SPLITS:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / INDEX).unlink(missing_ok=True)


def _read_marker(folder: Path) -> Marker | None:
    """Return the marker of a folder, None where there is none."""
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError):
        return None


def _mark(folder: Path, fingerprint: str, *, complete: bool) -> None:
    """Write the marker; the first one at once, for without it the folder is not ours."""
    write = put_in_place if (folder / MARKER).exists() else atomic_write_bytes
    write(folder / MARKER, msgspec.json.encode(Marker(fingerprint, complete)))


def put_in_place(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and do not wait for the disk: what is staged can be staged again."""
    with temporary_sibling(path) as temporary:
        temporary.write_bytes(data)
        temporary.replace(path)


def _read_index(path: Path) -> dict[str, Record]:
    """Return the images of an index by their paths; the last line may be cut off, and later lines count."""
    try:
        lines = path.read_bytes()
        records = _DECODER.decode_lines(lines[: lines.rfind(b"\n") + 1])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {record.place: record for record in records}
