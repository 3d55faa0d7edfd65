"""The lease of a run: one job at a time writes it, and the next one knows when it may.

``lease.json`` is only ever replaced by a conditional write. A job that holds it renews it; one whose lease is not
renewed for its whole time to live, as a watcher's own clock counts it, has lost it. Its late writes are refused by
``Lease.check``, and sort before those of its successor, whose generation is higher.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable

import msgspec

from rfdetr_train.checkpoints.holder import is_gone, this_process
from rfdetr_train.checkpoints.lease_record import KEY, TTL, Record, patiently, read_record
from rfdetr_train.checkpoints.manifest import candidates, generation_of
from rfdetr_train.errors import InfrastructureError, Preempted, RfdetrTrainError
from rfdetr_train.storage import Conflict, Store

_RACES = 3  # a lost race is followed by watching the winner, so this is never reached by bad luck alone
_log = logging.getLogger(__name__)


class LeaseLost(InfrastructureError):
    """Another job writes the run now."""


class Lease:
    """A lease that is held and renewed by a thread.

    Attributes:
        generation: Higher than that of every job before.
        previous_step: The last step that the job before knew of; 0 when there was none.
        lost: Set when another job has taken the lease.
    """

    def __init__(self, store: Store, record: Record, version: str, step: Callable[[], int | None]) -> None:
        """Begin to renew; see :func:`acquire`."""
        self.generation = record.generation
        self.previous_step = record.step
        self.lost = threading.Event()
        self._store = store
        self._record = record
        self._version = version
        self._step = step
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failing = False
        self._on_lost: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)

    def start(self, on_lost: Callable[[], None]) -> None:
        """Renew from now on; ``on_lost`` is called once, from another thread."""
        self._on_lost = on_lost
        self._thread.start()

    def check(self, deadline: float | None = None) -> None:
        """Make sure that the lease is still ours, right before a write that counts.

        Args:
            deadline: For a store that does not answer, on the clock of ``time.monotonic``.

        Raises:
            LeaseLost: It is not.
            InfrastructureError: The store does not answer.
        """
        if not self.lost.is_set():
            found = read_record(self._store, deadline=deadline)
            if found is not None and found[0].token == self._record.token:
                return
            self._lose()
        raise LeaseLost(
            f"{self._store.uri}: another job has taken over this run (generation {self.generation} of the lease is no "
            "longer valid). Nothing more is written from here; what the other job writes stands."
        )

    def release(self) -> None:
        """End the lease in good order, so that the next job need not wait; generation and step stay."""
        self._stop.set()
        # A renewal may hang in a store that is away; the lease then runs out by itself.
        if self.lost.is_set() or not self._lock.acquire(timeout=5):
            return
        try:
            self._write(released=True)
        except (RfdetrTrainError, OSError) as error:
            _log.warning("The lease of %s could not be released and runs out by itself: %s", self._store.uri, error)
        finally:
            self._lock.release()

    def _renew_until_stopped(self) -> None:
        while not self.lost.is_set() and not self._stop.wait(self._record.ttl / 3):
            with self._lock:
                if not self._stop.is_set():
                    self._renew()

    def _renew(self) -> None:
        """Renew; a store that is away takes nothing from us before somebody else can write there."""
        try:
            try:
                self._write()
            except Conflict:
                found = read_record(self._store, deadline=time.monotonic())
                if found is None or found[0].token != self._record.token:
                    self._lose()
                    return
                self._version = found[1]  # an earlier attempt of ours, whose answer was lost
        except (RfdetrTrainError, OSError) as error:
            if not self._failing:
                _log.warning("The lease of %s cannot be renewed, trying on: %s", self._store.uri, error)
            self._failing = True
        else:
            self._failing = False

    def _write(self, *, released: bool = False) -> None:
        known = self._step()
        record = msgspec.structs.replace(
            self._record,
            step=self._record.step if known is None else known,
            renewals=self._record.renewals + 1,
            released=released,
        )
        self._version = self._store.write_if(KEY, msgspec.json.encode(record), self._version)
        self._record = record

    def _lose(self) -> None:
        if not self.lost.is_set():
            self.lost.set()
            _log.error("%s: another job has taken over this run.", self._store.uri)
            self._on_lost()


def acquire(
    store: Store,
    *,
    step: Callable[[], int | None] = lambda: None,
    ttl: float = TTL,
    on_wait: Callable[[str], None] = _log.info,
    on_lost: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> Lease:
    """Take the lease of a run; waits for that of a silent job to run out, and never for a living one.

    Args:
        store: The run's folder.
        step: The last known optimizer step, asked at each renewal; None while it is not known.
        ttl: Seconds without renewal after which others may take the lease.
        on_wait: Told once why there is something to wait for.
        on_lost: Called once, from another thread, when another job has taken the lease.
        stop: Ends the waiting early.

    Raises:
        InfrastructureError: Another job writes the run, or the store does not answer.
        Preempted: ``stop`` was set.
    """
    for _ in range(_RACES):
        found = _wait_until_free(store, ttl, on_wait, stop or threading.Event())
        before, version = found if found is not None else (None, None)
        known = [generation_of(key) for key in patiently(lambda: candidates(store))[:1]]
        record = Record(
            token=secrets.token_hex(16),
            # Of the manifests too: a lease that somebody deleted must not make them look older than they are.
            generation=1 + max([before.generation if before else 0, *known]),
            holder=this_process(),
            step=before.step if before else 0,
            ttl=ttl,
        )
        try:
            data = msgspec.json.encode(record)
            lease = Lease(store, record, patiently(lambda: store.write_if(KEY, data, version)), step)  # noqa: B023
        except Conflict:
            continue
        lease.start(on_lost)
        return lease
    raise InfrastructureError(f"{store.uri}: too many jobs want to write this run at once. Start only one of them.")


def _wait_until_free(
    store: Store, ttl: float, on_wait: Callable[[str], None], stop: threading.Event
) -> tuple[Record, str] | None:
    """Wait for a lease to be free, at most its time to live.

    Returns:
        What may be replaced; None when there is no lease.

    Raises:
        InfrastructureError: It is renewed.
    """
    first = found = read_record(store, ttl=ttl)
    begin = time.monotonic()
    while first is not None and found is not None:
        record, version = found
        if record.released or is_gone(record.holder):
            return found
        if version != first[1]:
            raise InfrastructureError(
                f"{store.uri}: another job writes this run: {record.holder}, at step {record.step}. Wait for its end "
                "or stop it, or start a run of your own."
            )
        left = begin + max(ttl, record.ttl) - time.monotonic()
        if left <= 0:
            return found
        if found is first:
            on_wait(f"{store.uri} is leased to {record.holder}; waiting {left:.0f} s for a sign of life.")
        if stop.wait(min(left, ttl / 10)):
            raise Preempted(f"{store.uri}: told to stop while waiting for the lease of the run.")
        found = read_record(store, ttl=ttl)
    return None
