"""What is kept of a run in the store, and what is removed: manifests first, then the objects that nothing names."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rfdetr_train.checkpoints.inventory import Inventory
from rfdetr_train.checkpoints.lease import LeaseLost
from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.storage import Store
from rfdetr_train.tracking.registry import is_protected

KEEP_RESUME_POINTS = 3
KEEP_INTERVALS = 50  # interval checkpoints, the newest
_log = logging.getLogger(__name__)


def collect(
    store: Store,
    inventory: Inventory,
    *,
    protected: Callable[[], set[str] | None],
    check_lease: Callable[[], None],
) -> list[str]:
    """Remove what is no longer needed; what cannot be removed now is tried again at the next call.

    Args:
        store: The run's folder.
        inventory: What it holds; updated.
        protected: Gives the keys that others name, such as the versions of a registered model; None when they cannot
            be asked, and then nothing is removed.
        check_lease: Raises when the lease is no longer ours: bytes that no manifest names may then be somebody's
            upload in progress.

    Returns:
        The keys that were removed.

    Raises:
        LeaseLost: By ``check_lease``.
    """
    if not inventory.usable:
        return []
    doomed = _manifests(inventory)
    if not (doomed or _objects(inventory) or _aliases(inventory)):
        return []
    kept = protected()
    if kept is None:
        _log.warning("%s: the model registry cannot be asked, so nothing is removed now.", store.uri)
        return []
    remover = _Remover(store, kept, check_lease)
    for key in doomed:
        if remover.remove(key):
            inventory.manifests.pop(key, None)
            inventory.damaged.discard(key)
    for key in _objects(inventory):
        if remover.remove(key):
            del inventory.objects[key]
    for key in _aliases(inventory):
        if remover.remove(key):
            del inventory.aliases[key]
    remover.report()
    return remover.removed


def _manifests(inventory: Inventory) -> list[str]:
    """The manifests older than the resume points that are kept."""
    usable = sorted(inventory.manifests.keys() - inventory.damaged, reverse=True)
    oldest = usable[:KEEP_RESUME_POINTS][-1]
    return sorted(key for key in inventory.manifests.keys() | inventory.damaged if key < oldest)


def _objects(inventory: Inventory) -> list[str]:
    """The objects that no manifest names; none while there is a manifest that nobody can read."""
    if inventory.unreadable():
        return []
    return sorted(inventory.objects.keys() - inventory.named())


def _aliases(inventory: Inventory) -> list[str]:
    """The plain names of interval checkpoints, or best files, that the newest manifest does not have."""
    return sorted(inventory.aliases.keys() - {file.name for file in inventory.usable[0].files})


class _Remover:
    """Removes objects, and remembers what could not be removed."""

    def __init__(self, store: Store, kept: set[str], check_lease: Callable[[], None]) -> None:
        self._store = store
        self._kept = kept
        self._check_lease = check_lease
        self._failures: list[str] = []
        self.removed: list[str] = []

    def remove(self, key: str) -> bool:
        """Remove an object if nobody protects it; say whether it is gone."""
        if is_protected(key, self._kept):
            return False
        try:
            self._check_lease()
            self._store.delete(key)
        except LeaseLost:
            raise
        except (RfdetrTrainError, OSError) as error:
            self._failures.append(f"{key}: {error}")
            return False
        self.removed.append(key)
        return True

    def report(self) -> None:
        """Say once what could not be removed."""
        if self._failures:
            _log.warning(
                "%s: %d objects could not be removed, which is tried again after the next checkpoint (%s).",
                self._store.uri,
                len(self._failures),
                self._failures[0],
            )
