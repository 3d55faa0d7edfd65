"""GIF: RF-DETR reads its first picture."""

from __future__ import annotations

from struct import Struct

from rfdetr_train.datasets.image_files.header import UPRIGHT, Header, truncated_unless
from rfdetr_train.datasets.image_files.source import MalformedError, Source

_SCREEN = Struct("<6sHH")  # signature, width, height
_TRAILER = b";"


def parse(source: Source) -> Header:
    """Read the size of the screen."""
    signature, width, height = source.unpack(_SCREEN, 0)
    if signature not in (b"GIF87a", b"GIF89a"):
        raise MalformedError
    complete = source.tail(64).rstrip(b"\0").endswith(_TRAILER)
    return Header("GIF", width, height, UPRIGHT, False, truncated_unless(complete))
