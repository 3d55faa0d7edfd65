"""What a run's folder in a store holds, known without a listing for each commit: there is one writer at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from rfdetr_train.checkpoints.commit import Commit, FileEntry
from rfdetr_train.checkpoints.files import is_interval_name, is_published_name
from rfdetr_train.checkpoints.manifest import (
    OBJECTS,
    Manifest,
    PublishedFile,
    is_object_key,
    manifest_keys,
    object_key,
    read_manifest,
)
from rfdetr_train.checkpoints.select import Restored
from rfdetr_train.errors import CheckpointError
from rfdetr_train.storage import Store

_DAMAGED = -1
_log = logging.getLogger(__name__)


@dataclass
class Inventory:
    """What there is.

    Attributes:
        manifests: Those that can be read, by key.
        damaged: Keys of manifests that cannot be used: their own text is unreadable, or what they name is damaged.
        objects: Size of each object, by key.
        aliases: Digest of what each plain name was last copied from, "" where unknown.
    """

    manifests: dict[str, Manifest] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    objects: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store, restored: Restored | None = None) -> Inventory:
        """Read what a store holds.

        Args:
            store: The run's folder.
            restored: What the run continues from.
        """
        sizes = {found.key: found.size for found in store.list()}
        inventory = cls(objects={key: size for key, size in sizes.items() if is_object_key(key)})
        for key in manifest_keys(list(sizes)):
            try:
                inventory.manifests[key] = read_manifest(store, key)
            except CheckpointError as error:
                _log.warning("%s", error)
                inventory.damaged.add(key)
        if restored is not None:
            inventory._distrust(restored)
        inventory.aliases = dict.fromkeys((name for name in sizes if is_published_name(name)), "")
        # The plain names of interval checkpoints are up to date: to copy all of them at each restart takes minutes.
        inventory.aliases.update({file.name: file.sha256 for file in inventory.intervals if file.name in sizes})
        return inventory

    def _distrust(self, restored: Restored) -> None:
        """Do not count on manifests that did not verify, nor on what only they name."""
        good = {object_key(file) for file in restored.manifest.files} if restored.manifest else set()
        for key in self.manifests.keys() & set(restored.rejected):
            self.damaged.add(key)
            manifest = self.manifests[key]
            # Interval checkpoints are not fetched, so nothing is known against them.
            suspects = {object_key(file) for file in manifest.files if file not in manifest.intervals} - good
            self.objects.update(dict.fromkeys(suspects & self.objects.keys(), _DAMAGED))

    @property
    def usable(self) -> list[Manifest]:
        """The manifests that can be used, newest first."""
        return [self.manifests[key] for key in sorted(self.manifests.keys() - self.damaged, reverse=True)]

    def manifest_of(self, commit: Commit) -> Manifest | None:
        """The manifest by which a commit was published already, if it was."""
        wanted = {(entry.name, entry.sha256) for entry in commit.files}
        for manifest in self.usable:
            if manifest.step == commit.step and wanted <= {(file.name, file.sha256) for file in manifest.files}:
                return manifest
        return None

    @property
    def intervals(self) -> list[PublishedFile]:
        """The interval checkpoints that are still there, as the newest usable manifest names them."""
        return [file for manifest in self.usable[:1] for file in manifest.intervals if self.has(file)]

    def has(self, file: PublishedFile) -> bool:
        """Whether the bytes of a file are there."""
        return self.objects.get(object_key(file)) == file.bytes

    def object_name(self, entry: FileEntry) -> str | None:
        """The name under which the bytes of a file are there, if they are."""
        prefix = f"{OBJECTS}/{entry.sha256}/"
        names = (key.removeprefix(prefix) for key, size in self.objects.items() if size == entry.bytes)
        return next((name for name in names if "/" not in name), None)

    def named(self) -> set[str]:
        """The keys of all objects that a readable manifest names."""
        return {object_key(file) for manifest in self.manifests.values() for file in manifest.files}

    def unreadable(self) -> set[str]:
        """The keys of the manifests of which nobody knows what they name."""
        return self.damaged - self.manifests.keys()


def newest_intervals(files: list[PublishedFile], limit: int) -> list[PublishedFile]:
    """All files, but of the interval checkpoints only the newest."""
    names = [file.name for file in files if is_interval_name(file.name)]
    kept = set(sorted(names, key=lambda name: (len(name), name))[-limit:])  # by number: longer names are later
    return [file for file in files if not is_interval_name(file.name) or file.name in kept]
