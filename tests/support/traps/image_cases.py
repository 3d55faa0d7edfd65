"""Datasets with an image each that is not what it seems."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

from traps.truth import Box, Case, Picture, Right, functions, image_bytes, put
from traps.writing import Coco


def m20_wrong_extension(root: Path) -> Right:
    right = Coco(root).write()
    put(root / "train/a.jpg", image_bytes(1, (100, 60), "PNG"))
    right.findings = {"wrong-extension": 1}
    return right


def m21_truncated_image(root: Path) -> Right:
    return _broken(root, "truncated-image", image_bytes(10, (100, 60))[:-300])


def m22_image_of_no_bytes(root: Path) -> Right:
    return _broken(root, "unreadable-image", b"")


def m23_page_for_an_image(root: Path) -> Right:
    """What a download of a link that has expired leaves."""
    return _broken(root, "unreadable-image", b"<!DOCTYPE html><html><body>Sign in</body></html>")


def m24_image_bomb(root: Path) -> Right:
    """A file of some bytes that says that it has 100,000 x 100,000 pixels."""
    right = _broken(root, "oversized-image", png_header(100_000, 100_000))
    right.findings["size-mismatch"] = 1
    return right


def m25_unusual_pixels(root: Path) -> Right:
    data = Coco(root)
    right = data.write()
    with Image.open(root / "train/a.jpg") as image:
        image.convert("CMYK").save(root / "train/a.jpg", quality=95)
    right.findings = {"unusual-pixels": 1}
    return right


def m26_leaked_image(root: Path) -> Right:
    """A score on an image that was learned measures memory; it is left out of the split that measures."""
    data = Coco(root)
    data.add_image(Picture("w.jpg", 11, (64, 48), [Box("cat", 1, 2, 30, 40)]), "valid")
    data.add_image(Picture("other name.jpg", 3, (64, 48), [Box("dog", 20, 10, 30, 20)]))
    data.right.refuse({"leaked-image": 1})
    right = data.write()
    del right.splits["valid"][0]
    return right


def m27_same_image_twice_in_a_split(root: Path) -> Right:
    """Worth a line, and no more: nothing is measured wrongly."""
    data = Coco(root)
    data.add_image(Picture("again.jpg", 1))
    data.right.findings = {"duplicate-image": 1, "unlabelled-images": 1}
    data.right.identical = True
    return data.write()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file of one small chunk of pixels that declares a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _broken(root: Path, code: str, content: bytes) -> Right:
    """Make a dataset one image of which cannot be used, and goes with its box where that is asked for."""
    data = Coco(root)
    name = "broken.png" if content.startswith(b"\x89PNG") else "broken.jpg"
    data.add_image(Picture(name, 10, boxes=[Box("cat", 1, 2, 30, 40)]))
    data.right.refuse({code: 1})
    right = data.write()
    put(root / "train" / name, content)
    right.splits["train"].pop()
    return right


IMAGE_CASES: dict[str, Case] = functions(globals())
