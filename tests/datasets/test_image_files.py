"""Image files of every format: kind, size and orientation, as Pillow reads them but without decoding."""

import struct
from functools import partial

import numpy as np
import pytest
from image_builders import (
    FORMATS,
    ORDERS,
    big_tiff,
    decoded,
    exif,
    grey_tiff,
    header_of,
    insert,
    orientation_of,
    picture,
    png_header,
    save,
    segment,
)
from PIL import Image

SIZES = [(1, 1), (23, 14), (300, 7), (641, 480)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_kind_and_size_are_those_of_pillow(name, size):
    data = FORMATS[name](picture(*size))
    header = header_of(data)
    expected = "JPEG" if name == "mpo" else decoded(data).format
    assert (header.kind, header.width, header.height, header.state) == (expected, *decoded(data).size, "")
    assert header.orientation.value == 1
    assert not header.unusual


@pytest.mark.parametrize("step", [16, 64, 256, 4096])
@pytest.mark.parametrize("name", FORMATS)
def test_the_size_of_a_window_changes_nothing(name, step):
    data = FORMATS[name](picture(300, 200))
    assert header_of(data, step) == header_of(data, 10**6)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_read(kind, orientation, order):
    header = header_of(save(kind, exif=exif(orientation, order)))
    assert (header.orientation.value, header.width, header.height) == (orientation, 23, 14)


@pytest.mark.parametrize(
    "make", [big_tiff, *(partial(grey_tiff, order) for order in ORDERS.values())], ids=["big", *ORDERS]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_tiff_is_read_and_its_size_is_the_stored_one(make, orientation):
    data = make(9, 5, orientation)
    header = header_of(data)
    assert (header.kind, header.width, header.height) == ("TIFF", 9, 5)
    assert (header.orientation.value, header.state) == (orientation, "")
    # Pillow turns a TIFF on reading.
    assert decoded(data).size == ((5, 9) if orientation >= 5 else (9, 5))


@pytest.mark.parametrize("value_type", [1, 3, 4])
def test_orientation_of_every_whole_type_is_read(value_type):
    assert orientation_of(save("JPEG", exif=exif(6, kind=value_type))) == 6
    assert orientation_of(save("JPEG", exif=exif(6, ">", kind=value_type))) == 6


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_orientation_that_does_not_exist_is_none(value):
    assert orientation_of(save("JPEG", exif=exif(value))) == 1


def test_first_exif_block_counts():
    data = save("JPEG", exif=exif(6))
    second = save("JPEG", exif=exif(3))
    at = data.index(b"\xff\xdb")
    assert orientation_of(data[:at] + segment(0xE1, exif(8)) + data[at:]) == 6
    assert orientation_of(second[:at] + segment(0xE1, exif(8)) + second[at:]) == 3


def test_frame_header_of_a_thumbnail_is_not_taken():
    small = save("JPEG", picture(8, 4))
    header = header_of(save("JPEG", picture(640, 480), exif=exif(6, thumbnail=small)))
    assert (header.width, header.height, header.orientation.value) == (640, 480, 6)


def test_what_looks_like_a_frame_header_in_a_comment_is_not_taken():
    comment = segment(0xFE, b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03")
    assert header_of(insert(save("JPEG"), comment))[1:3] == (23, 14)


def test_fill_bytes_and_junk_between_segments_are_skipped_as_decoders_do():
    data = insert(save("JPEG"), segment(0xFE, b"x"), b"\xff\xff\xff", segment(0xFE, b"y"), b"\x00junk\xff\xd0\xff\x00")
    assert decoded(data).size == (23, 14)
    assert header_of(data)[:3] == ("JPEG", 23, 14)


def test_xmp_beside_exif_is_not_taken_for_it():
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"II*\0" + bytes(60))
    assert orientation_of(insert(save("JPEG", exif=exif(8)), xmp)) == 8


def test_exif_of_a_webp_is_found_behind_its_pixels_with_and_without_prefix():
    data = save("WEBP", picture(400, 300), exif=exif(6), icc_profile=bytes(3001))
    assert orientation_of(data) == 6
    # Some writers put the prefix of JPEG there.
    at = data.index(b"EXIF") + 4
    length = struct.unpack("<I", data[at : at + 4])[0]
    prefixed = data[:at] + struct.pack("<I", length + 6) + b"Exif\0\0" + data[at + 4 :]
    prefixed = prefixed[:4] + struct.pack("<I", len(prefixed) - 8) + prefixed[8:]
    assert orientation_of(prefixed) == 6


@pytest.mark.parametrize(
    "data",
    [
        save("JPEG", picture(mode="CMYK")),
        save("TIFF", picture(mode="CMYK")),
        save("PNG", Image.fromarray(np.ones((4, 5), np.uint16))),
        save("TIFF", Image.fromarray(np.ones((4, 5), np.uint16))),
        png_header(10, 10, bits=16),
    ],
    ids=["jpeg-cmyk", "tiff-cmyk", "png-16", "tiff-16", "png-rgb-16"],
)
def test_cmyk_and_16_bits_are_unusual(data):
    assert header_of(data).unusual
    assert header_of(data).state == ""


def test_jpeg_that_rfdetr_cannot_decode_is_unreadable():
    data = save("JPEG")
    at = data.index(b"\xff\xc0") + 4
    twelve_bits = data[:at] + b"\x0c" + data[at + 1 :]
    with pytest.raises(Image.UnidentifiedImageError):
        decoded(twelve_bits)
    assert header_of(twelve_bits).state == "unreadable-image"


@pytest.mark.parametrize("height", [-14, 14])
def test_bmp_stored_from_the_top_has_its_size(height):
    data = bytearray(save("BMP"))
    data[22:26] = struct.pack("<i", height)
    assert header_of(bytes(data))[1:3] == (23, 14)


def test_bmp_of_negative_width_is_unreadable():
    data = bytearray(save("BMP"))
    data[18:22] = struct.pack("<i", -23)
    assert header_of(bytes(data)).state == "unreadable-image"


def test_bmp_of_os2_has_its_size():
    pixels = bytes(4 * 3 * 2)
    data = b"BM" + struct.pack("<IHHI", 26 + len(pixels), 0, 0, 26) + struct.pack("<IHHHH", 12, 3, 2, 1, 24) + pixels
    assert decoded(data).size == (3, 2)
    assert header_of(data)[:3] == ("BMP", 3, 2)
