"""Where the S3 credentials come from. Their values go to the client and nowhere else."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import S3Config

_FILE = "AWS_SHARED_CREDENTIALS_FILE"


def shared_credentials() -> S3Config:
    """The credentials of AWS_SHARED_CREDENTIALS_FILE under obstore's names, which does not read that file itself.

    A file in a mounted secret is renewed under a running pod, the environment is not. The environment comes first.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or not os.environ.get(_FILE):
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(os.environ[_FILE]).expanduser(), encoding="utf-8")
        section = parser[_profile()]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        return {}
    found: S3Config = {
        "access_key_id": section.get("aws_access_key_id", ""),
        "secret_access_key": section.get("aws_secret_access_key", ""),
    }
    if "aws_session_token" in section:
        found["session_token"] = section["aws_session_token"]
    return found


def credentials_source() -> str:
    """Name the source of the credentials, never their values."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        names = [name for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN") if os.environ.get(name)]
        return f"the environment ({', '.join(['AWS_ACCESS_KEY_ID', *names])})"
    if os.environ.get(_FILE):
        return f"the profile '{_profile()}' of the file {os.environ[_FILE]} ({_FILE})"
    if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return "the service account of the pod (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN)"
    if os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return "the container's credentials service (AWS_CONTAINER_CREDENTIALS_*)"
    return "the role of the machine, as no AWS_ACCESS_KEY_ID is set"


def _profile() -> str:
    return os.environ.get("AWS_PROFILE") or "default"
