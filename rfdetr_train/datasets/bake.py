"""Writes an image file anew so that nobody needs to look at its orientation."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rfdetr_train.datasets.image_files import png, webp
from rfdetr_train.datasets.image_files.header import Header, pixel_limit
from rfdetr_train.datasets.image_files.read import PAGE, read_local_header
from rfdetr_train.datasets.image_files.source import Source
from rfdetr_train.datasets.kinds import KINDS
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.files import temporary_sibling

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 95
_ORIENTATION = 274  # tag of TIFF


def upright(path: Path, action: str) -> None:
    """Write an image file anew without its orientation; one that has none stays as it is.

    The new file takes the place of the old one in one step, and never changes it: other names of it, hard links to
    the user's own file, keep what they had. The same file always gives the same bytes.

    Args:
        path: The file.
        action: "strip" sets the tag to 1 and leaves every other byte: what was stored is shown. "rotate" turns the
            pixels as the tag says: what was shown is stored. JPEG is encoded again for it, at quality 95 with as fine
            colours as it had; the colour profile is kept, EXIF with its outdated thumbnail is not. "" does nothing.

    Raises:
        DatasetError: The image is too large or cannot be decoded.
        ParameterError: The action is unknown.
    """
    if action not in ("", "strip", "rotate"):
        raise ParameterError(f"The action '{action}' for {path} is unknown. Name 'strip' or 'rotate'.")
    if not action:
        return
    header = read_local_header(path, pixel_limit())
    if header.state:
        kind = KINDS[header.state]
        raise DatasetError(f"{path} cannot be turned upright: {header.state}. {kind.message} {kind.fix}")
    if header.orientation.value == 1:
        return
    with temporary_sibling(path) as temporary:
        (_strip if action == "strip" else _rotate)(path, header, temporary)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)


def _strip(path: Path, header: Header, destination: Path) -> None:
    """Copy a file with its orientation set to 1."""
    shutil.copyfile(path, destination)
    with destination.open("r+b", buffering=0) as file:
        file.seek(header.orientation.at)
        file.write(header.orientation.upright)
        if header.kind == "PNG":
            _sign(file)


def _sign(file: IO[bytes]) -> None:
    """Write the checksum of the EXIF chunk of a PNG file."""
    chunk = png.exif_chunk(_source(file))
    if chunk is not None:
        file.seek(chunk.start)
        content = file.read(chunk.length)
        file.write(struct.pack(">I", zlib.crc32(chunk.name + content)))


def _rotate(path: Path, header: Header, destination: Path) -> None:
    """Decode a file, turn its pixels and encode them in the same format."""
    try:
        with path.open("rb") as file, _decoder(file, header.kind) as image:
            if image.width * image.height > pixel_limit():
                raise ValueError("two of its headers give different sizes")
            options = _options(image, header.kind, file)
            _turned(image, header).save(destination, header.kind, **options)
    except Exception as error:
        # Pillow's decoders raise what they like on hostile bytes; each of it means the same here.
        raise DatasetError(
            f"{path} cannot be turned upright, for it cannot be decoded: {error}. Save the image again or remove it."
        ) from None


@contextmanager
def _decoder(file: IO[bytes], kind: str) -> Iterator[Image]:
    """Open an image with the decoder of the format that its header shows, and no other.

    Not ``Image.open``: it has its own limit of pixels, which can only be raised for the whole process.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    decoders: dict[str, Callable[[IO[bytes]], Image]] = {
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "TIFF": TiffImageFile,
        "WEBP": WebPImageFile,
    }
    with decoders[kind](file) as image:
        yield image


def _turned(image: Image, header: Header) -> Image:
    """Return the image as it is shown."""
    from PIL.Image import Transpose

    if header.kind == "TIFF":
        image.load()  # this turns it already
        return image
    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(methods[header.orientation.value])


def _options(image: Image, kind: str, file: IO[bytes]) -> dict[str, Any]:
    """Return how an image is encoded: everything that its source may set by itself is given."""
    options: dict[str, Any] = {"exif": b"", "icc_profile": image.info.get("icc_profile") or b""}
    if kind == "JPEG":
        from PIL.JpegImagePlugin import get_sampling

        # -1 is grey or CMYK, 0 is 4:4:4. A resolution halved one way would be halved the other way after a turn.
        sampling = {-1: -1, 0: 0}.get(get_sampling(image), 2)
        return {**options, "quality": _QUALITY, "subsampling": sampling, "comment": ""}
    if kind == "WEBP":
        return {**options, "quality": _QUALITY, "lossless": webp.is_lossless(_source(file))}
    if kind == "TIFF":
        # With the tag: without one Pillow believes the orientation in XMP, which is copied along.
        return {**options, "compression": "tiff_adobe_deflate", "tiffinfo": {_ORIENTATION: 1}}
    return options


def _source(file: IO[bytes]) -> Source:
    """Return a file as what parsers read from; its position stays."""
    number = file.fileno()
    return Source(lambda start, count: os.pread(number, count, start), os.fstat(number).st_size, PAGE)
