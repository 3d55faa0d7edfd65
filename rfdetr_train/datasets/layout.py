"""Where the parts of a dataset lie: what naming its format gives, and what readers start from."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Format = Literal["coco", "yolo"]
Task = Literal["detect", "segment", "obb", "pose"]


class Place(msgspec.Struct, frozen=True):
    """Where a split lies.

    Attributes:
        name: train, valid or test.
        source_name: What the dataset calls it, for example val2017.
        annotations: COCO: key of the annotation file. YOLO: key of the folder of the label files, for messages.
        image_roots: Keys of the folders of its images; "" is the root. COCO: candidates, the usual one first. YOLO:
            all of them, each listed with the folders below it; empty where ``images`` lists the images.
        images: YOLO with a list file: keys of the images, in the order of the list.
    """

    name: str
    source_name: str
    annotations: str
    image_roots: tuple[str, ...]
    images: tuple[str, ...] | None = None


class Layout(msgspec.Struct, frozen=True):
    """A dataset of a known format, as a listing and a few small files show it.

    Attributes:
        format: How the annotations are written: coco or yolo.
        name: Who writes it like this, for example roboflow, standard, mmdetection, ultralytics, darknet, cvat.
        places: The splits.
        classes: Names by class id where a file lists them (YOLO); None where annotations do (COCO).
        class_source: The file that the names come from, and the key in it.
        task: What the hints outside the label rows say; None where they say nothing.
        keypoints: Keypoints and values of each, from ``kpt_shape``; None where there are none.
        evidence: What it was told from, in sentences.
        confidence: 0 to 1; under 0.5 somebody should look.
        notes: (code, example) of findings that naming the format gave.
    """

    format: Format
    name: str
    places: tuple[Place, ...]
    classes: dict[int, str] | None = None
    class_source: str = ""
    task: Task | None = None
    keypoints: tuple[int, int] | None = None
    evidence: tuple[str, ...] = ()
    confidence: float = 1.0
    notes: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain JSON values."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result
