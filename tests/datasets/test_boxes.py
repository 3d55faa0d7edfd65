import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rfdetr_train.datasets.boxes import fit_boxes


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([10, 10, 20, 20], [10, 10, 20, 20]),
        ([0, 0, 100, 50], [0, 0, 100, 50]),
        ([90, 40, 20, 5], [90, 40, 10, 5]),
        ([-5, -7, 20, 20], [0, 0, 15, 13]),
        ([-10, -10, 500, 500], [0, 0, 100, 50]),
        ([10, 10, 0, 5], None),
        ([10, 10, 5, -1], None),
        ([100, 10, 5, 5], None),
        ([-5, 10, 5, 5], None),
        ([math.nan, 10, 5, 5], None),
        ([10, 10, math.inf, 5], None),
        ([-math.inf, 10, math.inf, 5], None),
    ],
)
def test_box_is_clipped_or_degenerate(box, expected):
    fitted = fit_boxes(np.array([box], float), np.array([[100, 50]]))
    assert fitted.degenerate.tolist() == [expected is None]
    if expected is not None:
        assert fitted.xywh.tolist() == [expected]
        assert fitted.changed.tolist() == [expected != box]


def test_rounding_of_six_digits_is_no_overshoot_and_changes_no_digit():
    boxes = np.array([[-7e-7, 0.5, 0.3, 0.5000007], [-3e-6, 0.5, 0.3, 0.1], [0.9, 0.2, 0.1000007, 0.1]])
    fitted = fit_boxes(boxes, np.ones(2))
    assert fitted.changed.tolist() == [False, True, False]
    assert fitted.xywh[[0, 2]].tolist() == boxes[[0, 2]].tolist()


def test_nothing_is_outside_an_image_of_unknown_size():
    fitted = fit_boxes(np.array([[-5.0, 900, 10, 10], [5, 5, 0, 1]]), np.array([[0, 0], [0, 0]]))
    assert fitted.changed.tolist() == [False, False]
    assert fitted.degenerate.tolist() == [False, True]


def test_no_boxes_are_no_boxes():
    assert fit_boxes(np.empty((0, 4)), np.ones(2)).xywh.shape == (0, 4)


@given(arrays(float, (5, 4), elements=st.floats(-200, 200) | st.floats()), st.integers(1, 150), st.integers(1, 150))
def test_what_is_kept_lies_in_its_image_and_has_area(boxes, width, height):
    fitted = fit_boxes(boxes, np.array([width, height]))
    assert not (fitted.changed & fitted.degenerate).any()
    kept = fitted.xywh[~fitted.degenerate]
    slack = 1e-6 * 150 + 1e-9
    assert (kept[:, 2:] > 0).all()
    assert (kept[:, :2] >= -slack).all()
    assert (kept[:, 0] + kept[:, 2] <= width + slack).all()
    assert (kept[:, 1] + kept[:, 3] <= height + slack).all()
    again = fit_boxes(fitted.xywh, np.array([width, height]))
    assert not again.changed.any()
