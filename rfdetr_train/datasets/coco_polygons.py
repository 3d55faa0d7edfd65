"""The segmentations of COCO annotation files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import numpy as np

from rfdetr_train.datasets.coco import CocoAnnotation, CocoPolygons
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.table import Table

# With something between the brackets: exports for detection have "segmentation": [].
_POLYGON = re.compile(rb'"segmentation"\s*:\s*\[\s*[^\s\]]')
_MASK = re.compile(rb'"segmentation"\s*:\s*\{')
_DECODER = msgspec.json.Decoder(list[list[float]])


def has_segmentation(data: bytes, entries: Sequence[CocoAnnotation]) -> bool:
    """Whether annotations of a file have polygons or masks; those of crowd regions do not count.

    Args:
        data: The file.
        entries: Its annotations.
    """
    if _POLYGON.search(data) is not None:
        return True
    crowds = sum(bool(entry.iscrowd) for entry in entries)
    return sum(1 for _ in _MASK.finditer(data)) > crowds


def read_polygons(entries: Sequence[CocoAnnotation], table: Table, findings: Findings) -> None:
    """Parse the polygons of annotations into a table; masks are left."""
    malformed = []
    for row, entry in enumerate(entries):
        data = bytes(entry.segmentation) if isinstance(entry, CocoPolygons) else b""
        if data.startswith(b"["):
            parts = _parse(data)
            polygons = [np.array(part).reshape(-1, 2) for part in parts if len(part) >= 6 and not len(part) % 2]
            if len(polygons) < len(parts):
                malformed.append(row)
            if polygons:
                table.polygons[row] = polygons
    findings.add_boxes("malformed-polygon", table, np.array(malformed, np.int64))


def _parse(data: bytes) -> Sequence[Sequence[float]]:
    """Parse a list of polygons; what is none is one without points."""
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        return [()]
