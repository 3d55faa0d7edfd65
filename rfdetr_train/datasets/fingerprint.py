"""Names for the data itself, and for the state of the place where it lies.

The fingerprint covers what training reads: class names, annotation and label files, and the name and size of every
image. It is equal for the same data in a folder, in S3 and in an archive, in whatever order they list it, and under
other names of the folders of the splits. An image that is replaced by another of exactly the same size is not seen,
because that would take reading every image; on S3 ``revision`` changes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from rfdetr_train.datasets.table import Category, Table
from rfdetr_train.datasets.yolo import label_key
from rfdetr_train.storage import ObjectInfo


def fingerprint(
    format: str, categories: Sequence[Category], tables: Mapping[str, Table], listing: Mapping[str, ObjectInfo]
) -> str:
    """Return 64 hexadecimal digits that change when, and only when, the data changes.

    Args:
        format: coco or yolo.
        categories: The classes of the model.
        tables: The splits, read completely.
        listing: The objects of the dataset.
    """
    lines = [format, *(f"{category.id!r} {category.name!r}" for category in categories)]
    for name, table in tables.items():
        lines.append(f"split {name}")
        if not table.relative:
            lines += [digest.hex() for digest in sorted(table.digests.values())]
        lines += sorted(_images(table, listing))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def revision(listing: Iterable[ObjectInfo]) -> str:
    """Return 64 hexadecimal digits that change with every write to an object; "" where there are no content tags."""
    infos = sorted(listing)
    if not all(info.etag for info in infos):
        return ""
    lines = [f"{info.key}\0{info.size}\0{info.etag}" for info in infos]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _images(table: Table, listing: Mapping[str, ObjectInfo]) -> set[str]:
    """Return a line for every image that is there: its name, its size, and the digest of its label file.

    A key of a listing has no control characters, which therefore part what is in a line.
    """
    lines = set()
    for name, key in zip(table.images.names, table.images.keys, strict=True):
        if key:
            digest = table.digests.get(label_key(key, table.digests), b"") if table.relative else b""
            lines.add(f"{name}\0{listing[key].size}\0{digest.hex()}")
    return lines
