"""One publication: the bytes that the store does not have, then the manifest that makes them a checkpoint."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rfdetr_train.checkpoints.commit import Commit
from rfdetr_train.checkpoints.files import JOURNAL
from rfdetr_train.checkpoints.inventory import Inventory, newest_intervals
from rfdetr_train.checkpoints.lease import Lease, LeaseLost
from rfdetr_train.checkpoints.manifest import VERSION, Manifest, PublishedFile, key_of, object_key, read_manifest
from rfdetr_train.checkpoints.retention import KEEP_INTERVALS
from rfdetr_train.errors import CheckpointError, RfdetrTrainError
from rfdetr_train.storage import Conflict, Store, retrying

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class RunWriter:
    """Writes commits of one job into the run's folder.

    Attributes:
        inventory: What the folder holds.
        bytes_uploaded: So far.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        inventory: Inventory,
        *,
        run_id: str,
        parameters: dict[str, Any],
        stop: threading.Event,
    ) -> None:
        """Take what is the same for all commits; ``stop`` ends the waiting between attempts."""
        self.inventory = inventory
        self.bytes_uploaded = 0
        self._store = store
        self._lease = lease
        self._run_id = run_id
        self._parameters = parameters
        self._stop = stop

    def publish(self, commit: Commit, folder: Path, deadline: float) -> Manifest:
        """Publish a commit.

        Args:
            commit: What is in the folder.
            folder: Where its files lie.
            deadline: No attempt begins after it, on the clock of ``time.monotonic``.

        Raises:
            LeaseLost: Another job writes the run; there is no manifest.
            RfdetrTrainError: The store failed. What was uploaded is not uploaded again.
            OSError: The same.
        """
        files = self._files(commit)
        for entry, file in zip(commit.files, files, strict=False):
            if not self.inventory.has(file):
                self._store.put_file(object_key(file), folder / entry.name, deadline=deadline)
                self.inventory.objects[object_key(file)] = file.bytes
                self.bytes_uploaded += file.bytes
        manifest = Manifest(
            version=VERSION,
            run_id=self._run_id,
            generation=self._lease.generation,
            sequence=commit.sequence,
            epoch=commit.epoch,
            step=commit.step,
            position=commit.position,
            fingerprint=commit.fingerprint,
            world_size=commit.world_size,
            parameters=self._parameters,
            files=newest_intervals(files, KEEP_INTERVALS),
            created_ms=int(time.time() * 1000),
        )
        self._lease.check(deadline)
        self._write(manifest, deadline)
        self.inventory.manifests[key_of(manifest)] = manifest
        return manifest

    def update_aliases(self, manifest: Manifest, deadline: float) -> None:
        """Copy the files to their plain names, for people; nothing here reads them, so a failure is only logged."""
        try:
            for file in manifest.files:
                if file.name != JOURNAL and self.inventory.aliases.get(file.name) != file.sha256:
                    self._copy(file, deadline)
        except (RfdetrTrainError, OSError) as error:
            _log.warning("%s: the plain names are not up to date: %s", self._store.uri, error)

    def _copy(self, file: PublishedFile, deadline: float) -> None:
        copied = self._retrying(
            lambda: self._store.copy(object_key(file), file.name), deadline, f"The copy to {file.name}"
        )
        if copied:
            self.inventory.aliases[file.name] = file.sha256

    def _files(self, commit: Commit) -> list[PublishedFile]:
        """The files of a commit, in its order, then the interval checkpoints of earlier ones."""
        objects: dict[str, str] = {}
        files = []
        for entry in commit.files:
            name = objects.setdefault(entry.sha256, self.inventory.object_name(entry) or entry.name)
            files.append(PublishedFile(entry.name, entry.bytes, entry.sha256, name))
        names = {file.name for file in files}
        return files + [file for file in self.inventory.intervals if file.name not in names]

    def _write(self, manifest: Manifest, deadline: float) -> None:
        data = msgspec.json.encode(manifest)
        key = key_of(manifest)
        try:
            self._retrying(lambda: self._store.write_if(key, data, None), deadline, "The manifest")
        except Conflict:
            # An earlier attempt of ours may have come through although its answer was lost.
            if not _same(self._read(key, deadline), manifest):
                raise LeaseLost(
                    f"{self._store.uri}/{key} was written by another job. Nothing more is written from here."
                ) from None

    def _read(self, key: str, deadline: float) -> Manifest | None:
        try:
            return self._retrying(lambda: read_manifest(self._store, key), deadline, "The manifest")
        except (CheckpointError, FileNotFoundError):
            return None

    def _retrying(self, call: Callable[[], Result], deadline: float, what: str) -> Result:
        return retrying(call, deadline=deadline, stop=self._stop, what=what)


def _same(found: Manifest | None, ours: Manifest) -> bool:
    """Whether two manifests say the same, whenever it was said."""
    return found is not None and msgspec.structs.replace(found, created_ms=ours.created_ms) == ours
