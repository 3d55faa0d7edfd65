"""How a step ended, told to whoever asks: the log, the exit code, and a record for the exit handler.

KFP keeps no exit code of a step. A failing step therefore leaves its class and message in Kubernetes' termination
message and, when ``RFDETR_STATUS_FILE`` names a file that all steps share (a local run), there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from rfdetr_train.errors import ExitCode, RfdetrTrainError
from rfdetr_train.files import atomic_write_bytes

STATUS_FILE_VARIABLE = "RFDETR_STATUS_FILE"
# Kubernetes shows what a container leaves here, up to 4096 bytes, as the reason of its end.
_TERMINATION_LOG = Path("/dev/termination-log")


class Failure(msgspec.Struct, frozen=True):
    """Why a step failed."""

    step: str
    exit_code: int
    message: str

    @property
    def meaning(self) -> str:
        """What the exit code means."""
        return ExitCode(self.exit_code).meaning


def log_to_stdout() -> None:
    """Send our log, and that of the libraries from warnings on, to the log of the step."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    logging.getLogger("rfdetr_train").setLevel(logging.INFO)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Run a step: a user's mistake ends it with a message and the exit code of its class, without a traceback.

    Args:
        name: The step, for the record.
    """
    log_to_stdout()
    try:
        yield
    except RfdetrTrainError as error:
        failure = Failure(name, error.exit_code, str(error))
        record(failure)
        print(
            f"{name} failed (exit code {failure.exit_code}, {failure.meaning}):\n{error}", file=sys.stderr, flush=True
        )
        sys.exit(failure.exit_code)
    except Exception as error:
        # A fault of ours or of a library: recorded for the exit handler, and its traceback is what helps.
        record(Failure(name, ExitCode.INFRASTRUCTURE, f"{type(error).__name__}: {error}"))
        raise


def record(failure: Failure) -> None:
    """Leave a failure where the exit handler and Kubernetes look for it."""
    shared = os.environ.get(STATUS_FILE_VARIABLE)
    if shared:
        atomic_write_bytes(shared, msgspec.json.encode(failure))
    if _TERMINATION_LOG.is_file() and os.access(_TERMINATION_LOG, os.W_OK):
        _TERMINATION_LOG.write_text(failure.message[:4000], encoding="utf-8")


def recorded() -> Failure | None:
    """The failure that a step of this run recorded, if there is one and it can be seen from here."""
    shared = os.environ.get(STATUS_FILE_VARIABLE)
    if not shared or not Path(shared).is_file():
        return None
    return msgspec.json.decode(Path(shared).read_bytes(), type=Failure)


def report(*, pipeline: str, state: str, error: str) -> str:
    """Describe the final state of a pipeline run as Markdown.

    Args:
        pipeline: Resource name of the run.
        state: ``SUCCEEDED``, ``FAILED`` or ``CANCELLED``, as KFP says.
        error: KFP's own error message; may be empty.
    """
    lines = [f"# {state}", "", f"Run `{pipeline}` ended with state **{state}**."]
    failure = recorded()
    if failure is not None:
        lines += ["", f"Step `{failure.step}` ended with exit code {failure.exit_code} ({failure.meaning}):", ""]
        lines += [f"    {line}" for line in failure.message.splitlines()]
    elif error:
        lines += ["", *(f"    {line}" for line in error.splitlines())]
    return "\n".join(lines) + "\n"
