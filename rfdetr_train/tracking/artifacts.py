"""The artifact folder of an MLflow run as a store: directly where the machine can reach it, else through the server."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rfdetr_train.errors import InfrastructureError
from rfdetr_train.files import digest, temporary_sibling
from rfdetr_train.storage import Conflict, ObjectInfo, Store, TransientError, Wanted, check_key, open_store, retrying
from rfdetr_train.storage.fetch import check_size
from rfdetr_train.storage.keys import by_folder
from rfdetr_train.storage.store import Listing, Names, too_large
from rfdetr_train.tracking.run import CHECKPOINTS
from rfdetr_train.tracking.server import SERVER_VARIABLE, connect, without_credentials

if TYPE_CHECKING:
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_PATIENCE = 600.0  # seconds for one file
_SETTINGS = {
    # Proxied uploads go through the server in one request by default: 480 MiB took 74 s, in parts 6.7 s.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(32 << 20),
    # A bar for every look at the lease would be most of a log.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def open_artifacts(tracking_uri: str, run_id: str, folder: str = CHECKPOINTS) -> Store:
    """Open an artifact folder of a run.

    Args:
        tracking_uri: The tracking server or database.
        run_id: MLflow's id.
        folder: Artifact folder of the run.

    Raises:
        InfrastructureError: When the tracking server does not answer or does not know the run.
    """
    with _explained(tracking_uri):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        root = f"{connect(tracking_uri).get_run(run_id).info.artifact_uri}/{check_key(folder)}"
        if root.startswith(("s3://", "file:", "/")):
            return open_store(root)
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)  # MLflow has no other way in
        return ProxiedStore(get_artifact_repository(root, tracking_uri=tracking_uri), f"runs:/{run_id}/{folder}")


class ProxiedStore:
    """Artifacts that only the tracking server can reach. It can neither copy nor compare and write in one step."""

    parallelism = 4
    has_ranges = False

    def __init__(self, repository: ArtifactRepository, uri: str) -> None:
        """Open the folder.

        Args:
            repository: MLflow's client of the folder.
            uri: Name of the folder, for messages.
        """
        self.uri = uri
        self._repository = repository

    def exists(self, key: str) -> bool:
        """See ``Store.exists``."""
        return any(found.path == key and not found.is_dir for found in self._entries(posixpath.dirname(check_key(key))))

    def size(self, key: str) -> int:
        """See ``Store.size``."""
        return len(self.read(key))

    def read(self, key: str, max_bytes: int | None = None) -> bytes:
        """See ``Store.read``."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._download(key, Path(folder))
            if max_bytes is not None and path.stat().st_size > max_bytes:
                raise too_large(self.uri, key, max_bytes)
            return path.read_bytes()

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """See ``Store.read_range``; the server only hands out whole files."""
        return self.read(key)[start : start + count]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """See ``Store.read_versioned``; the version is the digest of the content."""
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def write(self, key: str, data: bytes) -> None:
        """See ``Store.write``."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, posixpath.basename(check_key(key)))
            path.write_bytes(data)
            self._upload(path, key)

    def write_if(self, key: str, data: bytes, version: str | None) -> str:
        """See ``Store.write_if``. Best effort: two writers within the same moment may both believe they were first."""
        new = hashlib.sha256(data).hexdigest()
        found = self._version(key)
        if found not in (new, version):
            raise self._conflict(key, found, version)
        self.write(key, data)
        found = self._version(key)
        if found != new:
            raise self._conflict(key, found, new)
        return new

    def put_file(self, key: str, path: Path, *, deadline: float | None = None) -> None:
        """See ``Store.put_file``."""
        with tempfile.TemporaryDirectory() as folder:
            # MLflow names the artifact after the file.
            link = Path(folder, posixpath.basename(check_key(key)))
            link.symlink_to(path.resolve(strict=True))
            end = time.monotonic() + _PATIENCE if deadline is None else deadline
            retrying(lambda: self._upload(link, key), deadline=end, what=f"The upload of {key}")

    def copy(self, source: str, destination: str) -> bool:
        """See ``Store.copy``."""
        return False

    def abort_uploads(self, prefix: str = "") -> int:
        """See ``Store.abort_uploads``; MLflow aborts its own, and the server lists none."""
        return 0

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        with _explained(self.uri):
            self._repository.delete_artifacts(check_key(key))

    def fetch(self, key: str, destination: Path, *, link: bool = True, version: str = "") -> None:
        """See ``Store.fetch``."""
        with temporary_sibling(destination) as temporary, tempfile.TemporaryDirectory(dir=destination.parent) as folder:
            self._download(key, Path(folder)).replace(temporary)
            found = digest(temporary) if version else ""
            if found != version:
                raise self._conflict(key, found, version)
            temporary.replace(destination)

    def fetch_all(self, wanted: Sequence[Wanted], *, link: bool) -> Iterator[Wanted]:
        """See ``Store.fetch_all``."""
        for item in wanted:
            with temporary_sibling(item.destination) as temporary:
                self.fetch(item.key, temporary, version=item.version)
                check_size(self.uri, item, temporary.stat().st_size)
                temporary.replace(item.destination)
            yield item

    def names(self, prefix: str = "") -> Names:
        """See ``Store.names``."""
        return [found.key for found in self._walk(prefix.strip("/"))]

    def folders(self) -> dict[str, Names]:
        """See ``Store.folders``."""
        return by_folder(self.names())

    def list(self, prefix: str = "") -> Listing:
        """See ``Store.list``."""
        return sorted(self._walk(prefix.strip("/")))

    def _walk(self, folder: str) -> Iterator[ObjectInfo]:
        for found in self._entries(folder):
            if found.is_dir:
                yield from self._walk(found.path)
            else:
                yield ObjectInfo(check_key(found.path), found.file_size or 0, "")

    def _entries(self, folder: str) -> Sequence[FileInfo]:
        with _explained(self.uri):
            return self._repository.list_artifacts(folder or None)

    def _download(self, key: str, folder: Path) -> Path:
        # Asked first: for a missing file a server with S3 behind it answers 500, which MLflow retries for minutes.
        if not self.exists(key):
            raise FileNotFoundError(f"{self.uri}/{key}")
        with _explained(f"{self.uri}/{key}"):
            return Path(self._repository.download_artifacts(key, str(folder)))

    def _upload(self, path: Path, key: str) -> None:
        with _explained(f"{self.uri}/{key}"):
            self._repository.log_artifact(str(path), posixpath.dirname(key) or None)

    def _version(self, key: str) -> str | None:
        try:
            return self.read_versioned(key)[1]
        except FileNotFoundError:
            return None

    def _conflict(self, key: str, found: str | None, expected: str | None) -> Conflict:
        return Conflict(f"{self.uri}/{key} was written by somebody else: it has version {found}, not {expected}.")


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn the errors of MLflow and of its HTTP client into ours."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        status = _status(error)
        kind = TransientError if status in (408, 429) or status >= 500 else InfrastructureError
        # A presigned URL carries its signature behind the question mark.
        reason = re.sub(r"\?[^\s'\"]+", "", without_credentials(str(error)))[:300]
        raise kind(
            f"The request to MLflow for {without_credentials(where)} failed: {reason}. Check {SERVER_VARIABLE} and the "
            "server; where this machine cannot reach the storage behind the server, set "
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=false."
        ) from None  # the error itself, and so its traceback, repeats the address with its password


def _status(error: Exception) -> int:
    """The HTTP status that an error stands for; 503 where there was no answer."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    response = getattr(error, "response", None)
    return 503 if response is None else int(response.status_code)
