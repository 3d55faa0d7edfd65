"""Orientation baked in: the pixels that were stored, or the ones that were shown, without a tag that says otherwise."""

import io
import os
import stat

import numpy as np
import pytest
from image_builders import ORDERS, decoded, exif, grey_tiff, header_of, orientation_of, picture, save
from PIL import Image, ImageOps

from rfdetr_train.datasets.bake import upright
from rfdetr_train.errors import DatasetError, ParameterError

NAMES = {"JPEG": "a.jpg", "PNG": "a.png", "WEBP": "a.webp", "TIFF": "a.tif"}
TURNED = range(2, 9)


def turned(kind, orientation, order="<", image=None, **options):
    if kind == "TIFF":
        return grey_tiff(order, 23, 14, orientation)
    return save(kind, image, exif=exif(orientation, order, thumbnail=save("JPEG", picture(8, 4))), **options)


def stored(data):
    """Pixels as they lie in the file: an orientation of our own builders is taken off first."""
    for order in ORDERS.values():
        if orientation_of(data) != 1 and data[:2] in (b"II", b"MM"):
            data = grey_tiff(order, 23, 14, 1)
    return np.asarray(decoded(data))


def shown(data):
    return np.asarray(ImageOps.exif_transpose(decoded(data)))


def baked(tmp_path, kind, data, action):
    path = tmp_path / NAMES[kind]
    path.write_bytes(data)
    upright(path, action)
    return path.read_bytes()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", NAMES)
def test_strip_changes_the_tag_and_no_pixel(tmp_path, kind, orientation, order):
    data = turned(kind, orientation, order)
    result = baked(tmp_path, kind, data, "strip")
    assert orientation_of(result) == 1
    assert len(result) == len(data)
    # The value itself, and the four bytes of a checksum in PNG.
    assert sum(a != b for a, b in zip(result, data, strict=True)) <= (5 if kind == "PNG" else 1)
    np.testing.assert_array_equal(shown(result), stored(data))
    assert decoded(result).getexif().get(0x112, 1) == 1


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", NAMES)
def test_rotate_stores_what_was_shown(tmp_path, kind, orientation, order):
    data = turned(kind, orientation, order, **({"lossless": True} if kind == "WEBP" else {}))
    result = baked(tmp_path, kind, data, "rotate")
    assert (header_of(result).kind, orientation_of(result)) == (kind, 1)
    assert decoded(result).getexif().get(0x112, 1) == 1
    expected = shown(data).astype(int)
    assert header_of(result)[1:3] == (expected.shape[1], expected.shape[0])
    difference = abs(np.asarray(decoded(result)).astype(int) - expected)
    # A frame of one colour would differ by 100 and more if it were turned the wrong way.
    assert difference.max() <= (12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("action", ["strip", "rotate"])
@pytest.mark.parametrize("kind", NAMES)
def test_user_file_behind_a_hard_link_keeps_its_bytes(tmp_path, kind, action):
    data = turned(kind, 6)
    (tmp_path / "original").write_bytes(data)
    os.link(tmp_path / "original", tmp_path / NAMES[kind])
    upright(tmp_path / NAMES[kind], action)
    assert (tmp_path / "original").read_bytes() == data
    assert (tmp_path / NAMES[kind]).read_bytes() != data


@pytest.mark.parametrize("action", ["strip", "rotate"])
@pytest.mark.parametrize("kind", NAMES)
def test_same_file_gives_the_same_bytes_and_a_second_time_changes_nothing(tmp_path, kind, action):
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        results.append(baked(tmp_path / name, kind, turned(kind, 7), action))
    assert results[0] == results[1]
    before = (tmp_path / "one" / NAMES[kind]).stat()
    upright(tmp_path / "one" / NAMES[kind], action)
    assert (tmp_path / "one" / NAMES[kind]).stat().st_ino == before.st_ino


def test_upright_image_and_no_action_leave_the_file_alone(tmp_path):
    for data, action in ((save("JPEG"), "rotate"), (turned("JPEG", 6), "")):
        assert baked(tmp_path, "JPEG", data, action) == data


def test_nothing_is_left_beside_the_file_and_its_mode_stays(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(turned("JPEG", 6))
    path.chmod(0o640)
    upright(path, "rotate")
    assert [file.name for file in tmp_path.iterdir()] == ["a.jpg"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", NAMES)
def test_colour_profile_is_kept(tmp_path, kind):
    profile = bytes(range(256)) * 4
    image = picture()
    if kind == "TIFF":
        data = save("TIFF", image, tiffinfo={274: 6}, icc_profile=profile)
    else:
        data = turned(kind, 6, icc_profile=profile)
    assert decoded(baked(tmp_path, kind, data, "rotate")).info["icc_profile"] == profile


@pytest.mark.parametrize(("sampling", "expected"), [(0, 0), (1, 2), (2, 2)])
def test_colours_of_a_jpeg_stay_as_fine_as_they_were(tmp_path, sampling, expected):
    from PIL.JpegImagePlugin import get_sampling

    result = baked(tmp_path, "JPEG", turned("JPEG", 6, subsampling=sampling), "rotate")
    assert get_sampling(decoded(result)) == expected


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("PNG", "1"),
        ("PNG", "I;16"),
        ("WEBP", "RGBA"),
        ("TIFF", "CMYK"),
        ("TIFF", "1"),
        ("TIFF", "I;16"),
    ],
)
def test_every_mode_is_kept(tmp_path, kind, mode):
    image = Image.fromarray(np.arange(23 * 14, dtype=np.uint16).reshape(14, 23)) if mode == "I;16" else picture()
    image = image if mode == "I;16" else picture(mode="CMYK") if mode == "CMYK" else image.convert(mode)
    if mode == "RGBA":
        image.putalpha(picture(mode="L"))
    options = {"tiffinfo": {274: 8}} if kind == "TIFF" else {"exif": exif(8)}
    data = save(kind, image, **options, **({"lossless": True} if kind == "WEBP" else {}))
    result = decoded(baked(tmp_path, kind, data, "rotate"))
    assert (result.mode, result.size) == (mode, (14, 23))
    difference = abs(np.asarray(result).astype(int) - shown(data).astype(int)).max()
    assert difference <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("action", ["strip", "rotate"])
def test_orientation_in_the_xmp_of_a_tiff_does_not_turn_it_again(tmp_path, action):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = save("TIFF", tiffinfo={274: 6, 700: xmp})
    expected = picture() if action == "strip" else picture().transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(shown(baked(tmp_path, "TIFF", data, action)), np.asarray(expected))


def test_image_under_a_wrong_name_stays_of_its_format(tmp_path):
    assert header_of(baked(tmp_path, "JPEG", turned("PNG", 6), "rotate")).kind == "PNG"


def test_first_picture_of_an_mpo_is_turned(tmp_path):
    data = save("MPO", save_all=True, append_images=[picture(8, 8)], exif=exif(6))
    result = baked(tmp_path, "JPEG", data, "rotate")
    assert header_of(result)[:3] == ("JPEG", 14, 23)
    assert orientation_of(baked(tmp_path, "JPEG", data, "strip")) == 1


@pytest.mark.parametrize("action", ["strip", "rotate"])
def test_image_over_the_limit_is_refused(tmp_path, monkeypatch, action):
    monkeypatch.setenv("RFDETR_MAX_IMAGE_PIXELS", "100")
    with pytest.raises(
        DatasetError, match=r"a\.jpg cannot be turned upright: oversized-image.*RFDETR_MAX_IMAGE_PIXELS"
    ):
        baked(tmp_path, "JPEG", turned("JPEG", 6), action)


def test_raised_limit_goes_beyond_that_of_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert header_of(baked(tmp_path, "JPEG", turned("JPEG", 6), "rotate"))[1:3] == (14, 23)


def test_image_that_cannot_be_decoded_is_refused_and_stays(tmp_path):
    data = bytearray(turned("PNG", 6))
    at = data.index(b"IDAT") + 8
    data[at : at + 20] = bytes(20)
    with pytest.raises(DatasetError, match=r"a\.png cannot be turned upright, for it cannot be decoded: .*remove it"):
        baked(tmp_path, "PNG", bytes(data), "rotate")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.png", bytes(data))]


def test_truncated_image_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="truncated-image"):
        baked(tmp_path, "JPEG", turned("JPEG", 6)[:-30], "rotate")


def test_unknown_action_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"'turn' .* is unknown"):
        upright(tmp_path / "a.jpg", "turn")


def test_result_is_what_training_decodes(tmp_path):
    data = turned("JPEG", 6, image=picture(64, 32))
    result = baked(tmp_path, "JPEG", data, "rotate")
    with Image.open(io.BytesIO(result)) as image:
        assert image.convert("RGB").size == (32, 64)
