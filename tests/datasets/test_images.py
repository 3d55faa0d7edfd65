"""What is found by comparing images with their annotations, and the frames of the boxes."""

import numpy as np
import pytest
from image_builders import table_of

from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.headers import Headers
from rfdetr_train.datasets.images import check_images

RAW, SHOWN = (200, 100), (100, 200)


def headers(*rows):
    """Rows of (kind, size, orientation, unusual, state), each with defaults from the left."""
    full = [(*row, *("JPEG", RAW, 1, False, "")[len(row) :]) for row in rows]
    kind, size, orientation, unusual, state = zip(*full, strict=True)
    return Headers(list(kind), np.array(size), np.array(orientation), np.array(unusual), list(state))


def check(table, found, exif="auto"):
    findings = Findings()
    return check_images(table, found, findings, exif), {f.code: f for f in findings.to_list()}


def turned(orientation, declared=(0, 0), *, relative=False, size=RAW, exif="auto"):
    """Frame and findings of one turned image."""
    frames, found = check(
        table_of(["a.jpg"], [declared], relative=relative), headers(("JPEG", size, orientation)), exif
    )
    return frames.action[0], tuple(frames.size[0].tolist()), found


def test_image_as_annotated_gives_no_finding():
    frames, found = check(table_of(["a.jpg", "b.JPG"], [RAW, (0, 0)]), headers((), ()))
    assert found == {}
    assert frames.action == ["", ""]
    assert frames.size.tolist() == [[200, 100], [200, 100]]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_coco_size_tells_the_frame_of_a_turned_image(orientation):
    action, size, found = turned(orientation, RAW)
    assert (action, size, list(found)) == ("strip", RAW, ["exif-orientation"])
    action, size, found = turned(orientation, SHOWN)
    assert (action, size, list(found)) == ("rotate", SHOWN, ["exif-orientation"])


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_half_turns_and_mirror_images_are_meant_as_displayed(orientation):
    action, size, found = turned(orientation, RAW)
    assert (action, size, list(found)) == ("rotate", RAW, ["exif-orientation"])


def test_turned_square_is_meant_as_displayed():
    assert turned(6, (50, 50), size=(50, 50))[:2] == ("rotate", (50, 50))


@pytest.mark.parametrize("declared", [RAW, SHOWN, (0, 0)])
def test_yolo_is_meant_as_displayed(declared):
    assert turned(6, declared, relative=True)[:2] == ("rotate", SHOWN)


def test_coco_without_sizes_is_meant_as_displayed():
    action, size, found = turned(6)
    assert (action, size, list(found)) == ("rotate", SHOWN, ["exif-orientation"])


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("declared", [RAW, SHOWN, (0, 0)])
def test_frame_is_decided_by_hand(declared, relative):
    assert turned(6, declared, relative=relative, exif="raw")[:2] == ("strip", RAW)
    assert turned(6, declared, relative=relative, exif="displayed")[:2] == ("rotate", SHOWN)


def test_refused_orientation_is_an_error_with_the_same_frames():
    action, size, found = turned(6, RAW, exif="refuse")
    assert (action, size, found["exif-orientation"].severity) == ("strip", RAW, "error")
    assert turned(6, RAW)[2]["exif-orientation"].severity == "warning"
    assert turned(1, RAW, exif="refuse")[2] == {}


def test_size_that_is_neither_stored_nor_displayed_is_a_mismatch():
    frames, found = check(
        table_of(["a.jpg", "b.jpg", "c.jpg"], [(640, 480), RAW, SHOWN]), headers((), (), ("JPEG", RAW, 6))
    )
    assert found["size-mismatch"].count == 1
    assert found["size-mismatch"].examples == ["train/a.json: image 1 'a.jpg'"]
    assert frames.size.tolist() == [[200, 100], [200, 100], [100, 200]]
    assert list(turned(6, (640, 480))[2]) == ["size-mismatch", "exif-orientation"]


def test_displayed_size_of_an_upright_image_is_a_mismatch():
    assert list(turned(1, SHOWN)[2]) == ["size-mismatch"]


def test_bad_images_are_errors_and_keep_the_declared_size():
    names = [f"{n}.jpg" for n in range(4)]
    found_headers = headers(
        ("", (0, 0), 1, False, "unreadable-image"),
        ("JPEG", (0, 0), 1, False, "truncated-image"),
        ("JPEG", RAW, 1, False, "truncated-image"),
        ("PNG", (90_000, 90_000), 1, False, "oversized-image"),
    )
    frames, found = check(table_of(names, [SHOWN, SHOWN, RAW, (90_000, 90_000)]), found_headers)
    assert {code: (f.severity, f.count) for code, f in found.items()} == {
        "unreadable-image": ("error", 1),
        "truncated-image": ("error", 2),
        "oversized-image": ("error", 1),
        "wrong-extension": ("warning", 1),
    }
    assert frames.size.tolist() == [[100, 200], [100, 200], [200, 100], [90_000, 90_000]]


def test_image_that_went_away_is_reported_and_one_that_never_was_is_not_again():
    missing = ("", (0, 0), 1, False, "missing-image")
    _, found = check(table_of(["never.jpg?", "gone.jpg"]), headers(missing, missing))
    assert {code: f.examples for code, f in found.items()} == {"missing-image": ["train/a.json: image 2 'gone.jpg'"]}


@pytest.mark.parametrize(
    ("name", "kind", "wrong"),
    [
        ("a.jpg", "JPEG", False),
        ("a.JPEG", "JPEG", False),
        ("b/a.mpo", "JPEG", False),
        ("a.jfif", "JPEG", False),
        ("a.tif", "TIFF", False),
        ("a.webp", "WEBP", False),
        ("a", "PNG", False),
        ("a.image", "PNG", False),
        ("a.jpg", "PNG", True),
        ("a.png", "JPEG", True),
        ("a.b.png", "GIF", True),
        ("a.BMP", "WEBP", True),
    ],
)
def test_extension_of_another_format_is_named(name, kind, wrong):
    _, found = check(table_of([name]), headers((kind,)))
    assert list(found) == (["wrong-extension"] if wrong else [])


def test_unusual_pixels_are_named():
    _, found = check(table_of(["a.jpg", "b.jpg"]), headers((), ("JPEG", RAW, 1, True)))
    assert found["unusual-pixels"].examples == ["train/a.json: image 2 'b.jpg'"]


def test_split_without_images_is_checked():
    frames, found = check(
        table_of([]), Headers([], np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0, bool), [])
    )
    assert (frames.size.shape, frames.action, found) == ((0, 2), [], {})
