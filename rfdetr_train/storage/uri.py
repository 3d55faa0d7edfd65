"""Locations that users write: a folder, ``file:///folder`` or ``s3://bucket/prefix``, or an archive in one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from rfdetr_train.errors import ParameterError

ALLOWED = "a folder, file:///folder or s3://bucket/prefix, or a .zip or .tar (.gz, .zst) in one of them"
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd")
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")


class Location(NamedTuple):
    """A validated location.

    Attributes:
        scheme: ``file`` or ``s3``.
        root: The absolute folder, or the bucket.
        prefix: The key prefix in the bucket, without slashes at its ends; "" for a folder.
    """

    scheme: str
    root: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        """The location as one string, the same for every way of writing it."""
        if self.scheme == "s3":
            return f"s3://{self.root}/{self.prefix}".rstrip("/")
        return self.root

    @property
    def path(self) -> str:
        """The path of the folder, or the prefix in the bucket."""
        return self.prefix if self.scheme == "s3" else self.root

    @property
    def names_archive(self) -> bool:
        """Whether the path ends as that of an archive does."""
        return self.path.lower().endswith(_ARCHIVES)


def parse_location(text: str) -> Location:
    """Parse and validate a location.

    Args:
        text: What the user wrote. It is not repeated in messages: a URL may carry a password or a signature.

    Raises:
        ParameterError: Another scheme, an impossible bucket name, or nothing at all.
    """
    if not text.strip() or "\0" in text:
        raise ParameterError(f"The location is empty. Give {ALLOWED}.")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Location("file", str(Path(text).expanduser().resolve()))
    name = scheme.group(1).lower()
    rest = text[scheme.end() :]
    if name == "file":
        return _parse_file(rest)
    if name == "s3":
        return _parse_s3(rest)
    raise ParameterError(f"A location with the scheme '{name}' is not supported. Give {ALLOWED}.")


def _parse_file(rest: str) -> Location:
    """Parse what follows ``file:/``."""
    host, _, path = rest[1:].partition("/") if rest.startswith("/") else ("", "", rest)
    if host not in ("", "localhost"):
        raise ParameterError("A file location names a host. Write it with three slashes: file:///folder.")
    return Location("file", str(Path("/" + unquote(path)).resolve()))


def _parse_s3(rest: str) -> Location:
    """Parse what follows ``s3:/``."""
    bucket, _, prefix = rest.lstrip("/").partition("/")
    if not _BUCKET.match(bucket):
        raise ParameterError(
            "The bucket of an s3:// location must be 3 to 63 lower-case letters, digits, dots or hyphens. Write "
            "s3://bucket/prefix; credentials belong in the AWS_* environment, never in the location."
        )
    prefix = prefix.strip("/")
    if "?" in prefix or ".." in prefix.split("/"):
        raise ParameterError("The prefix of an s3:// location may hold neither '?' nor '..'. Write s3://bucket/prefix.")
    return Location("s3", bucket, prefix)
