"""Finds images that are in a dataset more than once, byte for byte, and reads as little of them as possible."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.image_files.source import Read
from rfdetr_train.datasets.ranges import map_files
from rfdetr_train.datasets.table import Table
from rfdetr_train.storage import ObjectInfo, Store

_SAMPLE = 64
_BLOCK = 4 << 20
_CHECKSUM = re.compile("[0-9a-f]{8}")  # CRC-32, the content tag of an archive


def find_duplicates(
    store: Store, tables: Mapping[str, Table], listing: Mapping[str, ObjectInfo], findings: Findings
) -> None:
    """Report images of valid and test that train has too, and copies inside a split.

    Only images of equal size can be equal. Of these, equal content tags (ETag on S3, CRC-32 in an archive) settle it
    without a request. Different ETags settle nothing, for they also depend on how an object was uploaded (multipart)
    and encrypted (KMS). So 64 bytes from the middle of each are compared, where even images of one camera differ, and
    whole files are hashed only where these are equal too.

    Valid and test may share images: many a dataset without a test set of its own names valid twice.

    Args:
        store: Where the images lie.
        tables: The splits; without train nothing leaks.
        listing: The objects of the store by key.
        findings: Where to report.
    """
    contents = _contents(store, {key: listing[key] for table in tables.values() for key in table.images.keys if key})
    train = {contents[key] for key in tables["train"].images.keys if key in contents} if "train" in tables else set()
    for name, table in tables.items():
        found = [contents.get(key) for key in table.images.keys]
        leaked = [row for row, content in enumerate(found) if content in train] if name != "train" else []
        for code, rows in (("leaked-image", leaked), ("duplicate-image", _copies(table.images.keys, found))):
            findings.add_images(code, table, rows)


def _copies(keys: Sequence[str], contents: Sequence[Hashable]) -> list[int]:
    """Return the rows of images whose content an earlier row has under another key."""
    first: dict[Hashable, str] = {}
    return [
        row
        for row, (key, content) in enumerate(zip(keys, contents, strict=True))
        if content is not None and first.setdefault(content, key) != key
    ]


def _contents(store: Store, infos: Mapping[str, ObjectInfo]) -> dict[str, Hashable]:
    """Return something for every image that is equal where the content is; nothing for empty files."""
    tagged = {key: (info.size, info.etag or key) for key, info in infos.items() if info.size}
    # One of each tag stands for all.
    different = list({tag: infos[key] for key, tag in tagged.items()}.values())
    candidates = _shared(different, ["" if not _CHECKSUM.fullmatch(info.etag) else info.etag for info in different])
    samples = map_files(store, candidates, _sample, "comparing images of equal size")
    candidates = _shared(candidates, samples)
    digests = map_files(store, candidates, _digest, "comparing images")
    equal = {
        (info.size, info.etag or info.key): digest for info, digest in zip(candidates, digests, strict=True) if digest
    }
    return {key: equal.get(tag, tag) for key, tag in tagged.items()}


def _shared(infos: Sequence[ObjectInfo], marks: Sequence[Hashable]) -> list[ObjectInfo]:
    """Return the files that are not alone with their size and their mark."""
    keys = [(info.size, mark) for info, mark in zip(infos, marks, strict=True)]
    counts = Counter(keys)
    return [info for info, key in zip(infos, keys, strict=True) if counts[key] > 1]


def _sample(read: Read, info: ObjectInfo) -> bytes:
    """Read the middle of a file."""
    return read(info.size // 2, _SAMPLE)


def _digest(read: Read, info: ObjectInfo) -> bytes:
    """Hash a file, part by part."""
    content = hashlib.sha256()
    for start in range(0, info.size, _BLOCK):
        content.update(read(start, _BLOCK))
    return content.digest()
