"""Which tracking server a step talks to, and what its answers mean.

Imports MLflow, which the CPU image does not have, only where a server is talked to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from rfdetr_train.errors import InfrastructureError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVER_VARIABLE = "MLFLOW_TRACKING_URI"
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHORTEST_SECRET = 6  # characters; masking a shorter one would blot out ordinary words


def without_credentials(text: str) -> str:
    """A text without the user names and passwords of the URLs in it, nor any secret of the environment."""
    text = re.sub(r"(?<=://)[^/\s]+@", "", text)
    secrets = [os.environ.get(name, "") for name in _SECRETS] + [_password_of(os.environ.get(SERVER_VARIABLE, ""))]
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text


def _password_of(uri: str) -> str:
    try:
        return unquote(urlsplit(uri).password or "")
    except ValueError:  # not a URL; there is no password to find in it
        return ""


def tracking_uri(output_dir: Path) -> str:
    """The tracking server of the environment, else a database in the output folder."""
    return os.environ.get(SERVER_VARIABLE) or f"sqlite:///{output_dir.absolute()}/mlflow.db"


def require_server() -> str:
    """The tracking server of the environment, which the steps of a pipeline need in common.

    Raises:
        InfrastructureError: When the environment names none.
    """
    server = os.environ.get(SERVER_VARIABLE)
    if not server:
        raise InfrastructureError(
            f"{SERVER_VARIABLE} is not set, but the steps hand the checkpoints to each other through MLflow. "
            "Put it into the ConfigMap rfdetr-pipelines of the namespace, or into the environment of a local run."
        )
    return server


def connect(uri: str) -> MlflowClient:
    """MLflow's client for a server or a database."""
    from mlflow import MlflowClient

    # At the end of a run MLflow prints the address of its page, with the password of the server in it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    return MlflowClient(tracking_uri=uri)


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turn an error of MLflow into one for people, without the password of the address.

    Raises:
        InfrastructureError: When the server does not answer, or answers with an error.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise not_answered(uri, error) from None  # the error itself, and so its traceback, repeats the address


def not_answered(uri: str, error: BaseException) -> InfrastructureError:
    """Build the error of a server that does not answer as wanted."""
    return InfrastructureError(
        f"MLflow at {without_credentials(uri)} did not answer as wanted: {without_credentials(str(error))[:500]}. "
        f"Check {SERVER_VARIABLE} and the server."
    )


def is_final(error: BaseException) -> bool:
    """Whether asking again cannot help: the server understood and refused (unknown run, wrong password)."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    status = error.get_http_status_code()
    return 400 <= status < 500 and status not in (408, 409, 429, 499)
