"""Image files of every format, whole, cut off and hostile, and tables that name them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from rfdetr_train.datasets.image_files.header import Header
from rfdetr_train.datasets.image_files.read import read_header
from rfdetr_train.datasets.image_files.source import Source
from rfdetr_train.datasets.table import Boxes, Images, Table

ORDERS = {"little": "<", "big": ">"}


def picture(width: int = 23, height: int = 14, mode: str = "RGB") -> Image.Image:
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [4 * x + 6 * y, 200 - 5 * x, 9 * y, 255 - 3 * x]
    pixels = np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., :3]).convert(mode) if mode != "CMYK" else Image.fromarray(pixels, "CMYK")


def save(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(order: str, fields: Sequence[tuple[int, ...]], data: bytes = b"") -> bytes:
    """A TIFF of one directory; every field is (tag, type, value) or (tag, type, offset, values); the data follows."""
    form = {1: "B3x", 3: "H2x", 4: "I"}
    directory = struct.pack(order + "H", len(fields))
    for tag, kind, value, *values in fields:
        directory += struct.pack(f"{order}HHI{form[kind]}", tag, kind, *(values or [1]), value)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", 8) + directory + bytes(4) + data


def exif(orientation: int, order: str = "<", *, kind: int = 3, thumbnail: bytes = b"") -> bytes:
    """An EXIF block as cameras write it: a few tags before the orientation, the thumbnail behind the directory."""
    return b"Exif\0\0" + tiff(order, [(256, 4, 4000), (257, 4, 3000), (0x112, kind, orientation)], thumbnail)


def big_tiff(width: int, height: int, orientation: int) -> bytes:
    """A BigTIFF with one strip of 8-bit grey."""
    values = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 16, 0)]
    values += [(274, 3, orientation), (277, 3, 1), (278, 4, height), (279, 16, width * height)]
    start = 16 + 8 + 20 * len(values) + 8
    form = {3: "H6x", 4: "I4x", 16: "Q"}
    directory = struct.pack("<Q", len(values))
    for tag, kind, value in values:
        directory += struct.pack(f"<HHQ{form[kind]}", tag, kind, 1, start if tag == 273 else value)
    return b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + directory + bytes(8) + bytes(width * height)


def grey_tiff(order: str, width: int, height: int, orientation: int) -> bytes:
    """A TIFF with one strip of 8-bit grey in a byte order of choice."""
    fields = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8 + 2 + 120 + 4)]
    fields += [(274, 3, orientation), (277, 3, 1), (278, 4, height), (279, 4, width * height)]
    return tiff(order, fields, picture(width, height, "L").tobytes())


class Counted:
    """Reads a file in memory and remembers what was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def __call__(self, start: int, count: int) -> bytes:
        part = self.data[start : start + count]
        self.reads.append((start, len(part)))
        return part

    @property
    def moved(self) -> int:
        return sum(count for _, count in self.reads)


def header_of(data: bytes, step: int = 256, max_pixels: int = 10**8) -> Header:
    return read_header(Source(Counted(data), len(data), step), max_pixels)


def orientation_of(data: bytes) -> int:
    return header_of(data).orientation.value


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def table_of(
    names: list[str], sizes: list[tuple[int, int]] | None = None, *, name: str = "train", relative: bool = False
) -> Table:
    """A split with images and no boxes; an image is missing where its name ends in '?'."""
    keys = ["" if file.endswith("?") else f"{name}/{file}" for file in names]
    images = Images(names, keys, range(1, len(names) + 1), np.array(sizes or [(0, 0)] * len(names)).reshape(-1, 2))
    none = np.zeros(0, np.int64)
    boxes = Boxes(none, none, np.zeros((0, 4)), none.astype(bool), none)
    return Table(name, name, f"{name}/a.json", name, relative, images, boxes, lambda row: f"{name}/a.json: {row}")


FORMATS = {
    "jpeg": partial(save, "JPEG"),
    "jpeg-grey": lambda image=None: save("JPEG", (image or picture()).convert("L")),
    "jpeg-progressive": partial(save, "JPEG", progressive=True),
    "jpeg-optimized": partial(save, "JPEG", optimize=True, restart_marker_blocks=1),
    "jpeg-icc": partial(save, "JPEG", icc_profile=bytes(3000)),
    "png": partial(save, "PNG"),
    "png-palette": lambda image=None: save("PNG", (image or picture()).convert("P")),
    "png-icc": partial(save, "PNG", icc_profile=os.urandom(3000)),
    "bmp": partial(save, "BMP"),
    "bmp-palette": lambda image=None: save("BMP", (image or picture()).convert("P")),
    "bmp-bits": lambda image=None: save("BMP", (image or picture()).convert("1")),
    "webp": partial(save, "WEBP"),
    "webp-lossless": partial(save, "WEBP", lossless=True),
    "webp-alpha": lambda image=None: save("WEBP", (image or picture()).convert("RGBA")),
    "webp-icc": partial(save, "WEBP", icc_profile=bytes(3000)),
    "tiff": partial(save, "TIFF"),
    "tiff-lzw": partial(save, "TIFF", compression="tiff_lzw"),
    "tiff-big": partial(save, "TIFF", big_tiff=True),
    "tiff-strips": lambda image=None: save("TIFF", image, tiffinfo={278: 2}, compression="tiff_adobe_deflate"),
    "gif": lambda image=None: save("GIF", (image or picture()).convert("P")),
    "mpo": lambda image=None: save("MPO", image, save_all=True, append_images=[picture(8, 8)]),
}
"""Makes a file of every kind from a picture."""


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def insert(data, *parts):
    """Put bytes behind the first two of a JPEG."""
    return data[:2] + b"".join(parts) + data[2:]


def png_header(width, height, bits=8):
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + chunk + bytes(4) + b"IDAT" + bytes(4) + bytes(4) + b"IEND\xaeB`\x82"
