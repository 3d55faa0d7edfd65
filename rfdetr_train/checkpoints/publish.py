"""Publish the commits of a run in the background, the newest first, while the training goes on."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rfdetr_train.checkpoints.held_commit import HeldCommit, clear_held, hold_newest, newest_waiting
from rfdetr_train.checkpoints.inventory import Inventory
from rfdetr_train.checkpoints.lease import Lease, LeaseLost
from rfdetr_train.checkpoints.manifest import OBJECTS, Manifest
from rfdetr_train.checkpoints.publication import RunWriter
from rfdetr_train.checkpoints.publish_state import Degraded, FlushResult, Published
from rfdetr_train.checkpoints.retention import collect
from rfdetr_train.checkpoints.select import Restored
from rfdetr_train.errors import RfdetrTrainError
from rfdetr_train.storage import Store, is_transient, retrying

PATIENCE = 300.0  # seconds of attempts for one commit; then the newest is taken
_LONGEST_PAUSE = 60.0  # seconds after a failure
_log = logging.getLogger(__name__)


class Publisher:
    """A thread that publishes the newest commit of an output folder whenever there is one.

    Every commit must name all interval checkpoints of the output folder: commits are skipped when newer ones come
    faster than the store takes them.

    Attributes:
        published: What was done so far.
        degraded: Set while publishing fails.
    """

    def __init__(
        self,
        output_dir: Path,
        store: Store,
        lease: Lease,
        *,
        run_id: str,
        parameters: dict[str, Any],
        protected: Callable[[], set[str] | None],
        on_published: Callable[[Manifest], None] = lambda manifest: None,
        patience: float = PATIENCE,
        poll: float = 1.0,
    ) -> None:
        """Prepare; :meth:`start` begins.

        Args:
            output_dir: Output folder of the run.
            store: The run's folder in the store.
            lease: Ours.
            run_id: The MLflow run, for the manifests.
            parameters: The parameters as sent, for the manifests.
            protected: Keys that retention must not remove; see ``retention.collect``.
            on_published: Called in the thread after each manifest, before anything is removed.
            patience: Seconds of attempts for one commit.
            poll: Seconds between two looks into the output folder.
        """
        self.published = Published()
        self.degraded: Degraded | None = None
        self._output_dir = output_dir
        self._store = store
        self._lease = lease
        self._run_id = run_id
        self._parameters = parameters
        self._protected = protected
        self._on_published = on_published
        self._patience = patience
        self._poll = poll
        self._restored: Restored | None = None
        self._writer: RunWriter | None = None
        self._unusable: set[str] = set()
        self._failures = 0
        self._logged = ""
        self._busy = False
        self._flush_deadline = float("inf")
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._turned = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def restored(self, restored: Restored) -> None:
        """Continue from a commit; to be called after ``restore`` and before :meth:`start`."""
        self._restored = restored
        if restored.manifest is not None:
            self.published = Published(restored.commit.sequence, restored.commit.step)

    def start(self) -> None:
        """Begin to publish."""
        clear_held(self._output_dir)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread; an upload that takes longer than ``timeout`` seconds ends with the process."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            clear_held(self._output_dir)

    def flush(self, deadline_seconds: float) -> FlushResult:
        """Publish the newest commit, and say what could not be published in time; it stays on the local disk."""
        begin = time.monotonic()
        self._flush_deadline = deadline = begin + deadline_seconds
        self._wake.set()
        with self._turned:
            while (left := deadline - time.monotonic()) > 0 and self._hopeful(begin):
                self._turned.wait(left)
        folder = newest_waiting(self._output_dir, self.published.sequence)
        if folder is None:
            return FlushResult(self.published.sequence, [], "")
        reason = self.degraded.reason if self.degraded else f"not finished within {deadline_seconds:.0f} s"
        if folder.name in self._unusable:
            reason = "it is damaged"
        pending = [str(path) for path in sorted(folder.iterdir())]
        return FlushResult(self.published.sequence, pending, reason)

    def _waiting(self) -> bool:
        folder = newest_waiting(self._output_dir, self.published.sequence)
        return folder is not None and folder.name not in self._unusable

    def _hopeful(self, begin: float) -> bool:
        """Whether there is something to wait for, and no attempt since ``begin`` has failed for good."""
        if self._stop.is_set() or not self._thread.is_alive() or not (self._busy or self._waiting()):
            return False
        return self.degraded is None or not self.degraded.permanent or self.degraded.tried < begin

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()  # before looking: what comes meanwhile is not missed
            self._busy = True
            pause = self._turn()
            self._busy = False
            with self._turned:
                self._turned.notify_all()
            self._wake.wait(pause)

    def _turn(self) -> float:
        """Publish the newest commit if there is one; the seconds until the next look."""
        begin = time.monotonic()
        held = None
        try:
            held = hold_newest(self._output_dir, self.published.sequence, self._unusable)
            if held is None:
                return self._poll
            self._publish(held, min(begin + self._patience, self._flush_deadline))
        except LeaseLost as error:
            self._fail(error, begin)
            self._stop.set()
        # Whatever a store or a disk raises: the training goes on, and the commit is where it was.
        except Exception as error:
            self._fail(error, begin)
            return random.uniform(0.5, 1) * min(_LONGEST_PAUSE, 2.0**self._failures)
        finally:
            if held is not None:
                held.release()
                self.published = replace(self.published, seconds=self.published.seconds + time.monotonic() - begin)
        return 0

    def _publish(self, held: HeldCommit, deadline: float) -> None:
        writer = self._writer = self._writer or self._prepare(deadline)
        manifest = writer.inventory.manifest_of(held.commit)
        if manifest is not None:
            # After a restart on the same disk: a second manifest of one commit would take the place of an older one.
            self._lease.check(deadline)
            self._succeed(replace(self.published, sequence=held.commit.sequence, step=held.commit.step))
        else:
            manifest = self._publish_anew(held, writer, deadline)
        self._follow_up(manifest, writer, deadline)

    def _publish_anew(self, held: HeldCommit, writer: RunWriter, deadline: float) -> Manifest:
        begin, before = time.monotonic(), writer.bytes_uploaded
        try:
            manifest = writer.publish(held.commit, held.folder, deadline)
        finally:
            uploaded = writer.bytes_uploaded - before
            self.published = replace(self.published, bytes=self.published.bytes + uploaded)
        self._succeed(self.published.after(manifest))
        _log.info(
            "The checkpoint of step %d is in %s (%.1f MB in %.1f s).",
            manifest.step,
            self._store.uri,
            uploaded / 1e6,
            time.monotonic() - begin,
        )
        return manifest

    def _prepare(self, deadline: float) -> RunWriter:
        """Look into the store once, and free it of what a killed process left there."""
        self._store.abort_uploads(OBJECTS)
        inventory = retrying(
            lambda: Inventory.read(self._store, self._restored),
            deadline=deadline,
            stop=self._stop,
            what="The list of checkpoints",
        )
        return RunWriter(
            self._store,
            self._lease,
            inventory,
            run_id=self._run_id,
            parameters=self._parameters,
            stop=self._stop,
        )

    def _follow_up(self, manifest: Manifest, writer: RunWriter, deadline: float) -> None:
        """Do what a commit is good without."""
        try:
            self._on_published(manifest)
            writer.update_aliases(manifest, deadline)
            collect(self._store, writer.inventory, protected=self._protected, check_lease=self._lease.check)
        except LeaseLost:
            raise
        except Exception as error:
            _log.warning("After the checkpoint of step %d: %s", manifest.step, error)

    def _succeed(self, published: Published) -> None:
        self.published = published
        if self.degraded is not None:
            _log.info("%s takes checkpoints again.", self._store.uri)
        self.degraded, self._failures, self._logged = None, 0, ""

    def _fail(self, error: Exception, begin: float) -> None:
        self._failures += 1
        reason = str(error) if isinstance(error, RfdetrTrainError) else f"{type(error).__name__}: {error}"
        since = self.degraded.since if self.degraded else begin
        self.degraded = Degraded(since, begin, reason, permanent=not is_transient(error))
        cause = re.sub(r"[0-9a-f]{64}|\d{6}-\d{8}", "…", reason)  # the same for every commit
        if cause != self._logged:
            _log.error("Checkpoints are on the local disk only, trying on: %s", reason)
            self._logged = cause
