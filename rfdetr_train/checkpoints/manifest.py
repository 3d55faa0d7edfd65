"""The manifest of a published commit. Only what a manifest names exists: bytes without one are invisible."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rfdetr_train.checkpoints.commit import Commit, FileEntry
from rfdetr_train.checkpoints.files import LATEST, is_interval_name, is_published_name
from rfdetr_train.errors import CheckpointError, DatasetError
from rfdetr_train.storage import Store

VERSION = 1
MANIFESTS = "manifests"
OBJECTS = "objects"
MAX_BYTES = 1 << 20  # of a manifest; one of 60 files and all parameters has some 20 KB
_KEY = re.compile(rf"{MANIFESTS}/(\d{{6}})-(\d{{8}})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class PublishedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a manifest.

    Attributes:
        name: One of the names of ``checkpoints.files``.
        bytes: Size.
        sha256: Of the content.
        object: The name under which these bytes were first uploaded; equal bytes are one object.
    """

    name: str
    bytes: Annotated[int, Meta(ge=0, le=1 << 40)]
    sha256: str
    object: str

    def __post_init__(self) -> None:
        """Refuse what would not be a checkpoint file inside the run's folder."""
        for name in (self.name, self.object):
            if not is_published_name(name):
                raise ValueError(f"{name!r} is no file of a checkpoint")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"the sha256 of {self.name} is not 64 hexadecimal digits")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was published, and of which moment of which run.

    Attributes:
        version: Of this format.
        run_id: The MLflow run.
        generation: Counts the jobs that wrote the run, one after the other; see ``lease``.
        sequence: Of the commit; see ``Commit`` for this and the next five.
        epoch: Completed epochs.
        step: Optimizer steps since the beginning.
        position: Samples of the current epoch that have been seen.
        fingerprint: Of the dataset.
        world_size: Processes that trained.
        parameters: The parameters as sent.
        files: The files of the commit, then interval checkpoints of earlier ones.
        created_ms: Unix time, for people only.
    """

    version: int
    run_id: str
    generation: Annotated[int, Meta(ge=1, le=999_999)]
    sequence: Annotated[int, Meta(ge=0, le=99_999_999)]
    epoch: _Count
    step: _Count
    position: _Count
    fingerprint: str
    world_size: Annotated[int, Meta(ge=1, le=1 << 20)]
    parameters: dict[str, Any]
    files: Annotated[list[PublishedFile], Meta(max_length=1000)]
    created_ms: _Count

    def __post_init__(self) -> None:
        """Refuse a manifest that names a file twice or nothing to resume from."""
        names = [file.name for file in self.files]
        if len(set(names)) != len(names):
            raise ValueError("it names a file twice")
        if LATEST not in names:
            raise ValueError(f"it names no {LATEST}")

    @property
    def progress(self) -> tuple[int, int]:
        """How far the training had come: completed epochs, optimizer steps."""
        return self.epoch, self.step

    @property
    def intervals(self) -> list[PublishedFile]:
        """The interval checkpoints."""
        return [file for file in self.files if is_interval_name(file.name)]

    def commit(self) -> Commit:
        """The commit that a resume needs: all files but the interval checkpoints, which it does not fetch."""
        files = [FileEntry(file.name, file.bytes, file.sha256) for file in self.files if file not in self.intervals]
        return Commit(
            self.sequence, self.epoch, self.step, self.position, self.fingerprint, self.world_size, files=files
        )


class _Versioned(msgspec.Struct):
    version: int


def key_of(manifest: Manifest) -> str:
    """Where a manifest lies; the keys sort as generation and sequence do."""
    return f"{MANIFESTS}/{manifest.generation:06d}-{manifest.sequence:08d}.json"


def object_key(file: PublishedFile) -> str:
    """Where the bytes of a file lie, which never change."""
    return f"{OBJECTS}/{file.sha256}/{file.object}"


def is_object_key(key: str) -> bool:
    """Whether a key is one that ``object_key`` gives."""
    folder, *rest = key.split("/")
    return folder == OBJECTS and len(rest) == 2 and bool(_SHA256.fullmatch(rest[0])) and is_published_name(rest[1])


def candidates(store: Store) -> list[str]:
    """The keys of all manifests, newest first."""
    return manifest_keys([found.key for found in store.list(MANIFESTS)])


def manifest_keys(keys: list[str]) -> list[str]:
    """The keys of manifests among those of a listing, newest first."""
    return sorted((key for key in keys if _KEY.fullmatch(key)), reverse=True)


def generation_of(key: str) -> int:
    """The generation that the key of a manifest names."""
    return int(key.removeprefix(f"{MANIFESTS}/").partition("-")[0])


def read_manifest(store: Store, key: str) -> Manifest:
    """Read and validate a manifest.

    Raises:
        CheckpointError: It is damaged, of another version, or names what it must not.
        FileNotFoundError: There is none.
    """
    where = f"{store.uri}/{key}"
    try:
        data = store.read(key, MAX_BYTES)
    except DatasetError as error:
        raise CheckpointError(f"{where} is refused: {error}") from None
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            raise CheckpointError(
                f"{where} has version {version}, {VERSION} is known here. Continue the run with the rfdetr-train "
                "that wrote it, or with a newer one."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{where} is damaged: {error}.") from None
    if key_of(manifest) != key:
        raise CheckpointError(f"{where} is refused: it says that it is {key_of(manifest)}.")
    return manifest
