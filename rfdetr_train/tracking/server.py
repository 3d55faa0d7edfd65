"""Which tracking server a step talks to. Imports no MLflow, which the CPU image does not have."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rfdetr_train.errors import InfrastructureError

SERVER_VARIABLE = "MLFLOW_TRACKING_URI"


def without_credentials(text: str) -> str:
    """A text without the user names and passwords of the URLs in it."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)


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
