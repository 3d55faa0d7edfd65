"""What goes on beside a training: the lease of its run, the publisher of its checkpoints, the sender of its metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rfdetr_train.checkpoints.files import BEST_TOTAL, JOURNAL
from rfdetr_train.checkpoints.lease import Lease, acquire
from rfdetr_train.checkpoints.manifest import Manifest, PublishedFile, object_key
from rfdetr_train.checkpoints.publish import FlushResult, Publisher
from rfdetr_train.checkpoints.select import Restored
from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.storage import Store
from rfdetr_train.tracking.artifacts import open_artifacts
from rfdetr_train.tracking.registry import protected_keys
from rfdetr_train.tracking.run import CHECKPOINTS, TrackedRun, within
from rfdetr_train.tracking.sender import Sender
from rfdetr_train.tracking.session import Session
from rfdetr_train.training.stopwatch import read_progress

GOODPUT = "goodput"  # folder of the attempts' records, beside the manifests
_TAG_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Publication:
    """Publishes the checkpoints and metrics of one attempt, from the moment that MLflow and the store answer.

    Attributes:
        run: The MLflow run; None until MLflow has answered.
        store: The run's ``checkpoints`` folder; None until then.
        lease: Ours; None until then.
        manifest: The last published one of this attempt.
        lost: Set when another job has taken the run.
        on_published: Called after each publication, from the publisher's thread.
    """

    def __init__(self, session: Session, output_dir: Path, parameters: dict[str, Any]) -> None:
        """Prepare.

        Args:
            session: Opens the run.
            output_dir: Output folder of the run.
            parameters: As sent.
        """
        self.run: TrackedRun | None = None
        self.store: Store | None = None
        self.lease: Lease | None = None
        self.manifest: Manifest | None = None
        self.lost = threading.Event()
        self.on_published: Callable[[], object] = lambda: None
        self._session = session
        self._output_dir = output_dir
        self._parameters = parameters
        self._publisher: Publisher | None = None
        self._sender: Sender | None = None
        self._stop_training: Callable[[], None] = lambda: None
        self._closed = threading.Event()

    def connect(self) -> bool:
        """Take the lease of the run; False when MLflow has not answered yet.

        Raises:
            InfrastructureError: When another job writes the run, or the store does not answer.
        """
        self.run = self._session.run
        if self.run is None:
            return False
        self.store = open_artifacts(self.run.tracking_uri, self.run.run_id)
        self.lease = acquire(self.store, step=self._step, on_lost=self._on_lost)
        return True

    def start(self, restored: Restored | None) -> None:
        """Begin to publish, now or as soon as MLflow answers.

        Args:
            restored: The commit that the run continues from.
        """
        if self.lease is not None:
            self._publish(restored)
        else:
            threading.Thread(target=self._connect_later, args=(restored,), name="connect", daemon=True).start()

    def stop_training_with(self, stop: Callable[[], None]) -> None:
        """Name what ends the training when the run is lost to another job."""
        self._stop_training = stop

    def finish(self, seconds: float) -> FlushResult:
        """Publish what is left, within so many seconds."""
        self._closed.set()
        deadline = time.monotonic() + seconds
        if self._publisher is None:
            return FlushResult(0, [str(self._output_dir)], "MLflow did not answer")
        result = self._publisher.flush(seconds)
        assert self._sender is not None
        left = self._sender.flush(max(deadline, time.monotonic() + 5))
        if left:
            _log.warning("The metrics of %d epoch(s) are not in MLflow; they are in %s.", left, self._output_dir)
        return result

    def record(self, name: str, content: bytes) -> None:
        """Put a small file beside the manifests; a store that is away costs a warning."""
        if self.store is None or self.lost.is_set():
            return
        try:
            self.store.write(name, content)
        except (RfdetrTrainError, OSError) as error:
            _log.warning("%s could not be written to %s: %s", name, self.store.uri, error)

    def close(self) -> None:
        """End the threads and release the lease."""
        self._closed.set()
        if self._publisher is not None:
            self._publisher.stop()
        if self._sender is not None:
            self._sender.close()
        if self.lease is not None:
            self.lease.release()

    def address_of(self, name: str = BEST_TOTAL) -> str | None:
        """The unchanging address of a published file, ``runs:/…``; None when it is not published."""
        if self.manifest is None or self.run is None:
            return None
        for entry in self.manifest.files:
            if entry.name == name:
                return self._address(entry)
        return None

    def _address(self, entry: PublishedFile) -> str:
        assert self.run is not None
        return self.run.artifact_uri(object_key(entry), CHECKPOINTS)

    def _connect_later(self, restored: Restored | None) -> None:
        while not self._closed.wait(1.0):
            try:
                if self.connect():
                    self._publish(restored)
                    return
            except RfdetrTrainError as error:
                _log.error("The checkpoints of this training cannot be published: %s", error)
                self._on_lost()
                return

    def _publish(self, restored: Restored | None) -> None:
        run, store, lease = self.run, self.store, self.lease
        assert run is not None and store is not None and lease is not None
        self._sender = Sender(run, self._output_dir / JOURNAL)
        publisher = Publisher(
            self._output_dir,
            store,
            lease,
            run_id=run.run_id,
            parameters=self._parameters,
            protected=lambda: protected_keys(run.client, run.run_id),
            on_published=self._on_published,
        )
        if restored is not None:
            publisher.restored(restored)
            self.manifest = restored.manifest
        publisher.start()
        self._publisher = publisher

    def _on_published(self, manifest: Manifest) -> None:
        self.manifest, run = manifest, self.run
        assert run is not None
        tags = {f"rfdetr.checkpoint.{entry.name}": self._address(entry) for entry in manifest.files}
        weights = {name: value for name, value in tags.items() if name.endswith(".pth")}
        within(_TAG_SECONDS, "the addresses of the checkpoints", lambda: run.set_tags(weights))
        self.on_published()

    def _on_lost(self) -> None:
        self.lost.set()
        self._stop_training()

    def _step(self) -> int | None:
        return read_progress(self._output_dir).step or None


def read_attempts(store: Store, kind: type[msgspec.Struct]) -> list[Any]:
    """The records of the attempts so far, in their order; one that is damaged is left out."""
    found = []
    for item in store.list(f"{GOODPUT}/"):
        try:
            found.append(msgspec.json.decode(store.read(item.key, max_bytes=1 << 20), type=kind))
        except (msgspec.DecodeError, FileNotFoundError):
            continue
    return found
