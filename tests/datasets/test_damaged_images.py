"""Image files that are cut off, hostile or none: named as such, at a bounded cost, and never an exception."""

import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_builders import (
    FORMATS,
    Counted,
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
    tiff,
)

from rfdetr_train.datasets.image_files.read import read_header
from rfdetr_train.datasets.image_files.source import Source


@pytest.mark.parametrize("name", FORMATS)
def test_file_that_was_cut_off_anywhere_is_not_taken_for_whole(name):
    data = FORMATS[name](picture(61, 47))
    cuts = {*range(1, 40), *range(40, len(data), max(len(data) // 60, 1)), *range(len(data) - 10, len(data) - 1)}
    if name == "mpo":  # its first picture is what is used
        cuts = {cut for cut in cuts if cut < data.index(b"\xff\xd9\xff\xd8") + 1}
    if name.startswith("bmp"):
        cuts -= {len(data) - 2, len(data) - 3}  # padding of the last row
    if name == "tiff-lzw":
        cuts -= set(range(len(data) - 4, len(data)))  # behind its directory only the place of a second one
    states = {cut: header_of(data[:cut]).state for cut in cuts}
    assert {cut for cut, state in states.items() if state not in ("truncated-image", "unreadable-image")} == set()
    assert states[max(cuts)] == "truncated-image"


def test_truncated_image_still_has_its_size():
    header = header_of(save("JPEG", picture(640, 480))[:-100])
    assert header[:3] == ("JPEG", 640, 480)
    assert header.state == "truncated-image"


@pytest.mark.parametrize("trailer", [bytes(10), bytes(10_000), b"ftypmp42" + os.urandom(100) * 5000], ids=len)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_phones_and_tools_append_is_no_truncation(kind, trailer):
    trailer = trailer.replace(b"\xff\xd9", b"")
    assert header_of(save(kind) + trailer).state == ""
    assert header_of(save(kind, picture(300, 200))[:-20] + trailer).state == "truncated-image"


@pytest.mark.parametrize("length", [256 * 1024 - 1, 256 * 1024, 3])
def test_end_of_a_jpeg_is_found_wherever_it_lies(length):
    data = save("JPEG")
    frame = data.index(b"\xff\xc0")
    data = data[:-2].ljust(frame + length, b"\0") + b"\xff\xd9" + bytes(300_000)
    assert header_of(data).state == ""


def test_zeros_behind_a_gif_are_no_truncation():
    assert header_of(FORMATS["gif"]() + bytes(20)).state == ""


def test_tiff_whose_last_strip_is_cut_is_truncated():
    # Two strips of 100 bytes; their offsets and lengths lie between the directory and them.
    fields = [(256, 4, 20), (257, 4, 10), (258, 3, 8), (262, 3, 1), (273, 4, 98, 2), (278, 4, 5), (279, 4, 106, 2)]
    data = tiff("<", fields, struct.pack("<4I", 114, 214, 100, 100) + bytes(200))
    assert len(decoded(data).tag_v2[273]) == 2
    assert header_of(data).state == ""
    assert header_of(data[:-1]).state == "truncated-image"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"<!DOCTYPE html><html>404</html>",
        b"BMW is no bitmap" * 10,
        b"II is no TIFF either" * 10,
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        b"\0\0\0\x18ftypheic" + bytes(300),
        bytes(5000),
        b"\xff\xd8\xff\xd9" + bytes(20),
        save("JPEG")[:2] + b"\xff\xda" + save("JPEG")[2:],
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
    ids=range(11),
)
def test_file_that_is_no_image_is_unreadable(data):
    assert header_of(data).state == "unreadable-image"
    assert (header_of(data).width, header_of(data).height) == (0, 0)


def test_image_of_too_many_pixels_is_named_before_anything_is_decoded():
    header = header_of(png_header(100_000, 100_000))
    assert (header.width, header.height, header.state) == (100_000, 100_000, "oversized-image")
    assert header_of(png_header(100, 100), max_pixels=9999).state == "oversized-image"
    assert header_of(png_header(100, 100), max_pixels=10_000).state == ""
    assert header_of(png_header(2**32 - 1, 2**32 - 1)).state == "oversized-image"


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_image_without_pixels_is_unreadable(size):
    assert header_of(png_header(*size)).state == "unreadable-image"


HOSTILE_EXIF = {
    "directory far outside": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "directory at the end": b"Exif\0\0II*\0\x08\0\0\0",
    "65535 fields": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(40),
    "directory in its own header": b"Exif\0\0II*\0\0\0\0\0",
    "no byte order": b"Exif\0\0XX*\0\x08\0\0\0\x01\0",
    "prefix only": b"Exif\0\0",
    "values elsewhere": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x03\0\0\0\x06\0\0\0",
    "a rational": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x06\0\0\0",
}


@pytest.mark.parametrize("step", [16, 256])
@pytest.mark.parametrize("content", HOSTILE_EXIF.values(), ids=HOSTILE_EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_without_sense_leaves_the_image_upright(kind, content, step):
    header = header_of(save(kind, exif=content), step)
    assert header[:3] == (kind, 23, 14)
    assert (header.orientation.value, header.state) == (1, "")


def test_orientation_behind_the_end_of_its_block_is_not_read():
    # The directory is cut by the length of the segment; the field that follows belongs to the next one.
    block = exif(6)
    cut = len(block) - 4 - 12
    data = insert(save("JPEG"), segment(0xE1, block[:cut]), block[cut:])
    assert orientation_of(data) == 1


def test_jpeg_of_endless_segments_is_given_up():
    reader = Counted(b"\xff\xd8" + segment(0xE0, bytes(1000)) * 5000)
    assert read_header(Source(reader, len(reader.data), 256), 10**8).state == "unreadable-image"
    assert len(reader.reads) < 300


def test_png_of_endless_chunks_is_given_up():
    chunk = struct.pack(">I4s", 1000, b"tEXt") + bytes(1004)
    reader = Counted(save("PNG")[:33] + chunk * 5000 + save("PNG")[33:])
    assert read_header(Source(reader, len(reader.data), 256), 10**8)[:3] == ("PNG", 23, 14)
    assert len(reader.reads) < 100


@pytest.mark.parametrize("tag", [256, 257, 273])
def test_tiff_without_what_it_needs_is_unreadable(tag):
    fields = [(256, 4, 5), (257, 4, 5), (273, 4, 8), (279, 4, 5)]
    assert header_of(tiff("<", fields, bytes(40))).state == ""
    assert header_of(tiff("<", [field for field in fields if field[0] != tag], bytes(40))).state == "unreadable-image"


SEEDS = [make() for make in FORMATS.values()]
SEEDS += [save(kind, exif=exif(6, order)) for kind in ("JPEG", "PNG", "WEBP") for order in "<>"]
SEEDS += [grey_tiff(">", 9, 5, 6), big_tiff(9, 5, 6)]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_never_raise_and_cost_few_reads(data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(content), 400) - 1))
        content[at : at + 1] = data.draw(st.binary(max_size=5))
    reader = Counted(bytes(content))
    header = read_header(Source(reader, len(content), 256), 10**8)
    assert header.state in ("", "truncated-image", "unreadable-image", "oversized-image")
    assert header.orientation.value in range(1, 9)
    assert len(reader.reads) < 600


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"GIF89a", b""]),
    st.binary(),
)
def test_any_bytes_behind_a_signature_give_an_answer(signature, content):
    header = header_of(signature + content)
    assert header.state in ("", "truncated-image", "unreadable-image", "oversized-image")
    assert header.width >= 0
    assert header.height >= 0
