"""Bring the metrics of the journal to MLflow: all, once, in order, and in the background."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from pathlib import Path

from rfdetr_train.tracking.journal import Record, read
from rfdetr_train.tracking.run import TrackedRun
from rfdetr_train.tracking.server import without_credentials

_LONGEST_PAUSE = 30.0  # seconds between two attempts while the server is away
_NOT_IN_A_NAME = re.compile(r"[^/\w.\- :]")  # what MLflow refuses in the name of a metric, such as brackets of a class
_log = logging.getLogger(__name__)


class Sender:
    """A background thread that sends what is new in a journal.

    Whether a record is in MLflow already, from this attempt or an earlier one, MLflow itself is asked: before the first
    record and after every failure, whose outcome nobody knows.
    """

    def __init__(self, run: TrackedRun, journal: Path, *, poll_seconds: float = 1.0) -> None:
        """Start sending.

        Args:
            run: Where to.
            journal: What; it may not exist yet.
            poll_seconds: How often the journal is looked at.
        """
        self._run, self._journal, self._poll = run, journal, poll_seconds
        self._logged: dict[str, int] = {}  # largest step in MLflow by metric; empty after a failure
        self._settled: set[int] = set()  # steps that MLflow has or refuses
        self._refused: set[int] = set()
        self._failures = 0
        self._state: tuple[int, int, int] | None = None
        self._hurried, self._closed = threading.Event(), threading.Event()
        threading.Thread(target=self._work, name="mlflow-metrics", daemon=True).start()

    def flush(self, deadline: float) -> int:
        """Wait until everything in the journal is in MLflow, at most until the deadline.

        Args:
            deadline: On the clock of ``time.monotonic``.

        Returns:
            The number of records that are not in MLflow; they stay in the journal.
        """
        while self._waiting() and time.monotonic() < deadline:
            self._hurried.set()
            self._closed.wait(min(0.05, max(0.0, deadline - time.monotonic())))
        return len(self._waiting()) + len(self._refused)

    def close(self) -> None:
        """Stop sending; a request that is under way is not waited for."""
        self._closed.set()
        self._hurried.set()

    def _waiting(self) -> list[Record]:
        return [record for record in read(self._journal) if record.step not in self._settled]

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                self._send_new()
            except Exception as error:  # of MLflow, its store or the network: a training goes on without all of them
                self._away(error)
            if self._hurried.wait(self._pause()):
                self._hurried.clear()
                self._closed.wait(min(0.1 * self._failures, 1.0))

    def _pause(self) -> float:
        if not self._failures:
            return self._poll
        return min(self._poll * 2**self._failures, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)

    def _send_new(self) -> None:
        state = _state(self._journal)
        if state == self._state and not self._failures:
            return
        for record in self._waiting():
            if self._closed.is_set():
                return
            if record.metrics and not self._is_logged(record):
                self._send(record)
            self._settled.add(record.step)
        self._back()
        self._state = state

    def _is_logged(self, record: Record) -> bool:
        # The last one, because MLflow's client sends more than 1000 metrics in several requests.
        key = _names(record)[-1]
        if key not in self._logged:
            history = self._run.client.get_metric_history(self._run.run_id, key)
            self._logged[key] = max((metric.step for metric in history), default=-1)
        return record.step <= self._logged[key]

    def _send(self, record: Record) -> None:
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        named = zip(_names(record), record.metrics.values(), strict=True)
        metrics = [Metric(name, value, record.time_ms, record.step) for name, value in named]
        try:
            self._run.client.log_batch(self._run.run_id, metrics=metrics)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            self._refused.add(record.step)
            _log.warning("MLflow refuses the metrics of step %d: %s", record.step, without_credentials(str(error)))
            return
        self._logged.update({metric.key: record.step for metric in metrics})

    def _away(self, error: BaseException) -> None:
        self._logged.clear()
        self._failures += 1
        if self._failures == 1:
            _log.warning(
                "MLflow does not take metrics (%s: %s). They wait in %s and are sent when it does.",
                type(error).__name__,
                without_credentials(str(error))[:300],
                self._journal,
            )

    def _back(self) -> None:
        if self._failures:
            _log.info("MLflow takes metrics again; none is missing up to step %d.", max(self._settled, default=0))
        self._failures = 0


def _names(record: Record) -> list[str]:
    return [_NOT_IN_A_NAME.sub("_", name)[:250] for name in record.metrics]


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
