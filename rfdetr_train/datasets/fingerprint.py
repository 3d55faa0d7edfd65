"""A name for the data itself.

Equal for the same data in another folder, with other file times or with comments added to ``data.yaml``. It covers
what training reads: class names, annotation bytes, label files, and the name and size of every image. On S3 the
server's content tag of an image is known for free and counts too; on a local disk an image that is replaced by
another of exactly the same size is not seen, because that would take reading every image. For the same reason a
dataset has one fingerprint on disk and another one on S3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from rfdetr_train.storage import ObjectInfo


class Fingerprint:
    """A running hash of the parts of a dataset."""

    def __init__(self, format_name: str, classes: Iterable[str]) -> None:
        """Start with what is common to all splits."""
        self._hash = hashlib.sha256()
        self._add(format_name, *classes)

    def add_split(self, name: str) -> None:
        """Begin a split."""
        self._add("split", name)

    def add_image(self, name: str, image: ObjectInfo) -> None:
        """Add an image by the name that annotations give it."""
        self._add("image", name, str(image.size), image.etag)

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add the content of an annotation or label file."""
        self._add("bytes", name, hashlib.sha256(data).hexdigest())

    def hexdigest(self) -> str:
        """Return the fingerprint: 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def _add(self, *fields: str) -> None:
        """Hash fields with their lengths, so that no two sequences of fields give the same bytes."""
        for field in fields:
            data = field.encode("utf-8", "surrogatepass")
            self._hash.update(b"%d:" % len(data) + data)
        self._hash.update(b"\n")
