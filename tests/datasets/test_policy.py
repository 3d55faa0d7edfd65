"""Findings: how they are counted, and what a policy makes of them."""

import numpy as np
import pytest

from rfdetr_train.datasets.findings import DEFAULT_POLICY, Findings, Policy
from rfdetr_train.datasets.kinds import KINDS
from rfdetr_train.datasets.table import Boxes, Images, Table
from rfdetr_train.errors import ParameterError


def table(name="train", images=4, boxes=(0, 0, 1, 3, -1)):
    """Four images, and annotations of some of them."""
    image = np.array(boxes)
    return Table(
        name=name,
        source_name=name,
        annotations=f"{name}.json",
        image_root="",
        relative=False,
        images=Images([f"{n}.png" for n in range(images)], [""] * images, range(images), np.zeros((images, 2), int)),
        boxes=Boxes(image, image * 0, np.zeros((len(image), 4)), image < -1, image * 0),
        where=lambda row: f"{name}.json: annotation {row}",
    )


def counted(findings):
    return [(found.code, found.severity, found.count, found.examples) for found in findings.to_list()]


@pytest.mark.parametrize("count", [1, 4, 5, 6, 1000])
def test_all_places_are_counted_and_five_are_named(count):
    findings = Findings()
    findings.add_boxes("degenerate-box", table(boxes=(0,) * count), np.ones(count, bool))
    [(_, _, found, examples)] = counted(findings)
    assert (found, len(examples)) == (count, min(count, 5))
    assert examples[0] == "train.json: annotation 0"


def test_places_come_by_mask_or_by_index_with_a_note():
    findings = Findings()
    findings.add_boxes("missing-bbox", table(), np.array([False, True, False, True, False]), note=lambda row: f"!{row}")
    findings.add_images("missing-image", table(), [2])
    findings.add_images("missing-image", table(), [])
    assert counted(findings) == [
        ("missing-image", "error", 1, ["train.json: image 2 '2.png'"]),
        ("missing-bbox", "error", 2, ["train.json: annotation 1!1", "train.json: annotation 3!3"]),
    ]


def test_errors_come_first_and_a_kind_may_have_two_severities():
    findings = Findings()
    findings.add("unlabelled-images", "a")
    findings.add("empty-split", "b", severity="warning")
    findings.add("empty-split", "c")
    findings.add("polygon-row", "d\x1b[0m", count=7)
    assert counted(findings) == [
        ("empty-split", "error", 1, ["c"]),
        ("empty-split", "warning", 1, ["b"]),
        ("polygon-row", "warning", 7, ["d?[0m"]),
        ("unlabelled-images", "info", 1, ["a"]),
    ]


@pytest.mark.parametrize(
    ("code", "policy", "refused"),
    [
        ("missing-image", Policy(), True),
        ("missing-image", Policy("warn"), False),
        ("missing-image", Policy("drop"), False),
        ("empty-split", Policy("drop"), True),  # nothing that could be left out would help
        ("duplicate-class-name", Policy("drop"), False),
        ("polygon-row", Policy(), False),
        ("polygon-row", Policy("fail", "fail"), True),
        ("polygon-row", Policy("fail", "drop"), False),
        ("unlabelled-images", Policy("fail", "fail"), False),
    ],
)
def test_policy_refuses_what_it_says(code, policy, refused):
    findings = Findings()
    findings.add(code, "")
    assert findings.refused(policy) is refused


def test_drop_leaves_out_the_box_or_the_image_with_its_boxes():
    findings, train = Findings(), table()
    findings.add_boxes("degenerate-box", train, np.array([2]))
    findings.add_images("missing-image", train, np.array([0]))
    findings.add_boxes("polygon-row", train, np.array([3]))
    for policy, images, boxes in (
        (DEFAULT_POLICY, [], []),
        (Policy("warn", "warn"), [], []),
        (Policy("drop", "warn"), [0], [0, 1]),
        (Policy("fail", "drop"), [], [2]),
        (Policy("drop", "drop"), [0], [0, 1, 2]),
    ):
        dropped = findings.dropped(train, policy)
        assert [np.flatnonzero(part).tolist() for part in dropped] == [images, boxes]
    assert not np.any(findings.dropped(table("valid"), Policy("drop", "drop"))[1])


def test_severity_of_the_place_of_use_decides_what_is_dropped():
    findings, train = Findings(), table()
    findings.add_images("missing-image", train, [1], severity="warning")
    assert findings.dropped(train, Policy("drop", "warn"))[0].tolist() == [False] * 4
    assert findings.dropped(train, Policy("fail", "drop"))[0].tolist() == [False, True, False, False]


def test_forgotten_kind_refuses_and_drops_nothing():
    findings, train = Findings(), table()
    findings.add_images("missing-image", train, [1])
    findings.add_images("unreadable-image", train, [2])
    findings.forget("missing-image")
    assert [found[0] for found in counted(findings)] == ["unreadable-image"]
    assert findings.dropped(train, Policy("drop"))[0].tolist() == [False, False, True, False]


def test_policy_of_unknown_action_is_refused_by_name():
    assert Policy.parse("drop", "fail") == Policy("drop", "fail")
    with pytest.raises(ParameterError, match=r"on_warning: 'ignore' is not valid. Give one of fail, warn, drop"):
        Policy.parse("fail", "ignore")


def test_every_kind_says_what_is_wrong_and_what_to_do_in_sentences():
    for code, kind in KINDS.items():
        assert code == code.lower()
        assert kind.message.endswith(".")
        assert kind.fix.endswith(".")
