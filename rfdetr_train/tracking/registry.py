"""The model registry: moving an alias when two want to, and what its versions keep from being deleted.

MLflow sets an alias whatever it was before, so the comparison needs a turn that only one process has. A turn is a
version of the bookkeeping model ``<name>.turns``: its number is a primary key that MLflow's SQL stores never give out
twice, not even after a deletion, so the lowest number that is not deleted has the turn, and every process sees the
same one. (``mlflow.store.model_registry.sqlalchemy_store.create_model_version``, MLflow 3.17.2.)
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rfdetr_train.errors import ExitCode, InfrastructureError, RfdetrTrainError
from rfdetr_train.tracking.find import RunState
from rfdetr_train.tracking.run import CHECKPOINTS
from rfdetr_train.tracking.server import reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ABANDONED_AFTER = 600  # seconds; a move takes three requests, so whoever had the turn for longer is dead
_log = logging.getLogger(__name__)


def move_alias(client: MlflowClient, name: str, alias: str, version: str, *, expected: str | None) -> None:
    """Point an alias of a registered model to another version, if it still points to the one that was compared with.

    Args:
        client: MLflow's client.
        name: Registered model.
        alias: Such as ``champion``.
        version: Where it shall point.
        expected: Where it points now; None where there is no such alias yet.

    Raises:
        InfrastructureError: Another process is moving the alias just now (the message says which), or MLflow does not
            answer.
        RfdetrTrainError: The alias points elsewhere by now, or the version comes from a training that did not finish.
    """
    with reachable(client.tracking_uri):
        _check_promotable(client, name, version)
        with _turn(client, name, alias) as began:
            found = client.get_registered_model(name).aliases.get(alias)
            if found is not None:
                found = str(found)
            if found != expected:
                raise RfdetrTrainError(
                    f"the alias {alias!r} of model {name!r} is held by version {found or 'none'} by now, not by "
                    f"{expected or 'none'}, which version {version} was compared with. Compare again.",
                    ExitCode.NOT_PROMOTED,
                )
            if time.monotonic() - began > ABANDONED_AFTER / 2:
                raise InfrastructureError(f"MLflow took too long to move the alias {alias!r} of {name!r}; try again.")
            client.set_registered_model_alias(name, alias, version)


def protected_keys(client: MlflowClient, run_id: str) -> set[str] | None:
    """Say what registered model versions name of a run's ``checkpoints/`` folder.

    Returns:
        Keys relative to that folder; a folder protects what is in it, and "" protects everything. None when MLflow
        cannot say, in which case nothing may be deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        root = client.get_run(run_id).info.artifact_uri.rstrip("/")
        if "'" in root:
            return None  # a filter of MLflow has no way to write it
        roots = (root, f"runs:/{run_id}")
        filters = [f"run_id = '{run_id}'", *(f"source_path LIKE '{place}/%'" for place in roots)]
        sources = {version.source for found in filters for version in _versions(client, found)}
    except MlflowException:
        return None
    keys = {_protected(source or "", roots) for source in sources}
    return {key for key in keys if key is not None}


def is_protected(key: str, protected: set[str]) -> bool:
    """Whether a key is one of the protected ones or lies in a protected folder."""
    return any(held in ("", key) or key.startswith(f"{held}/") for held in protected)


def _protected(source: str, roots: tuple[str, ...]) -> str | None:
    """The key that a source names; None for another folder of the run; "" for what cannot be told."""
    for root in roots:
        if source.startswith(f"{root}/"):
            folder, _, key = source.removeprefix(f"{root}/").strip("/").partition("/")
            return key if folder == CHECKPOINTS else None
    return ""


def _versions(client: MlflowClient, filter_string: str) -> Iterator[ModelVersion]:
    token = None
    while True:
        page = client.search_model_versions(filter_string, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _check_promotable(client: MlflowClient, name: str, version: str) -> None:
    source = client.get_model_version(name, version).run_id
    run = client.get_run(source) if source else None
    state = run.data.tags.get("rfdetr.state", RunState.FINISHED) if run else ""
    if run is None or run.info.status != "FINISHED" or state != RunState.FINISHED:
        status = f"run {source} is {run.info.status} ({state})" if run else "it names no run"
        raise RfdetrTrainError(
            f"version {version} of model {name!r} is not promoted: its training must have FINISHED, but {status}.",
            ExitCode.NOT_PROMOTED,
        )


@contextmanager
def _turn(client: MlflowClient, name: str, alias: str) -> Iterator[float]:
    """Have the turn for an alias; gives the time (monotonic) from which on it counts.

    Raises:
        InfrastructureError: Another process has it.
    """
    book = f"{name}.turns"
    _make_book(client, book, name)
    began = time.monotonic()
    owner = f"{socket.gethostname()}, process {os.getpid()}, {uuid.uuid4().hex[:8]}"
    tags = {"rfdetr.owner": owner, "rfdetr.alias": alias}
    mine = client.create_model_version(book, source=f"turn:/{alias}", tags=tags, await_creation_for=0)
    try:
        for other in _versions(client, f"name = '{book}'"):
            if int(other.version) < int(mine.version) and other.tags.get("rfdetr.alias") == alias:
                _pass_over_or_raise(client, other, mine, alias)
        yield began
    finally:
        _end_turn(client, mine)


def _pass_over_or_raise(client: MlflowClient, other: ModelVersion, mine: ModelVersion, alias: str) -> None:
    # Both times are the server's, so the clocks of the two processes do not matter.
    seconds = (mine.creation_timestamp - other.creation_timestamp) / 1000
    owner = other.tags.get("rfdetr.owner", "an unknown process")
    if owner == mine.tags.get("rfdetr.owner"):  # made by a request whose answer was lost, and repeated
        _end_turn(client, other)
        return
    if seconds <= ABANDONED_AFTER:
        raise InfrastructureError(
            f"the alias {alias!r} is being moved by {owner} since {seconds:.0f} s. "
            "Compare with the new holder when that is done."
        )
    _log.warning("The move of %r by %s was abandoned %.0f s ago; going on without it.", alias, owner, seconds)
    _end_turn(client, other)


def _make_book(client: MlflowClient, book: str, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(book)
    except MlflowException:
        with suppress(MlflowException):  # another process makes it just now; if not, taking a turn says why
            client.create_registered_model(book, description=f"Whose turn it is to move an alias of {name}. No models.")


def _end_turn(client: MlflowClient, turn: ModelVersion) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_model_version(turn.name, turn.version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # passed over by somebody else
            _log.warning("Version %s of %s could not be removed; it expires by itself.", turn.version, turn.name)
