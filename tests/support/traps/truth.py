"""What is right of a dataset: images told apart by their colour, and the boxes on them in pixels.

Every image of a dataset has a colour of its own, so that an image keeps its identity through any renaming, and boxes
that ended up at another image are seen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

_LEVELS = (20, 80, 140, 200)
_WHITE = (255, 255, 255)
_KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF", "gif": "GIF"}
_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what makes the stored image from the displayed one."""


Case = Callable[[Path], "Right"]
"""Writes a dataset into a folder and returns what is right of it."""


class Box(NamedTuple):
    """A class name, the upper left corner, width and height in pixels."""

    name: str
    x: float
    y: float
    w: float
    h: float


@dataclass
class Picture:
    """An image and what is right of it.

    Attributes:
        name: Name below the image folder of its split.
        colour: Its number in the palette, 1 to 63; no other image of the dataset has it.
        size: Width and height in the frame of the boxes.
        boxes: What a converted dataset has.
        orientation: EXIF orientation; the boxes of a turned image are painted white.
        frame: Whether ``size`` and ``boxes`` are of the stored or of the displayed pixels.
        crowds: Crowd regions, which only COCO can hold.
    """

    name: str
    colour: int
    size: tuple[int, int] = (100, 60)
    boxes: list[Box] = field(default_factory=list)
    orientation: int = 1
    frame: str = "displayed"
    crowds: list[Box] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The name without extension."""
        return self.name.rpartition(".")[0]

    def data(self) -> bytes:
        """Return the image file."""
        kind = _KINDS[self.name.rpartition(".")[2].lower()]
        marks = tuple(tuple(map(int, box[1:])) for box in self.boxes) if self.orientation > 1 else ()
        return image_bytes(self.colour, self.size, kind, self.orientation, self.frame, marks)

    def put(self, path: Path) -> None:
        """Write the image file."""
        put(path, self.data())


@dataclass
class Right:
    """What is right of a dataset.

    Attributes:
        format: coco or yolo.
        splits: The images by canonical split, after what is wrong was left out.
        classes: Names in the order of the labels.
        findings: Code -> count, exactly those of ``inspect``.
        task: What ``detect`` says; "" where it cannot know.
        refused: Whether the policy by default refuses it.
        on_error: What makes a refused dataset one that can be trained on: the policy "drop"; "fix", which writes a copy
            anew, or the policy "warn"; "" is nothing but work.
        identical: Whether two images are the same, so that colours cannot tell which is which.
    """

    format: str
    splits: dict[str, list[Picture]]
    classes: list[str] = field(default_factory=lambda: ["cat", "dog"])
    findings: dict[str, int] = field(default_factory=dict)
    task: str = "detect"
    refused: bool = False
    on_error: str = "drop"
    identical: bool = False

    def picture(self, name: str) -> Picture:
        """Return the image of a name."""
        return next(picture for pictures in self.splits.values() for picture in pictures if picture.name == name)

    def refuse(self, findings: Mapping[str, int], on_error: str = "drop") -> None:
        """Expect errors, which the policy by default refuses."""
        self.findings.update(findings)
        self.refused, self.on_error = True, on_error


def one_split(right: Right) -> Right:
    """Expect a dataset without splits: it is named and counted, and refused for want of a valid split."""
    right.splits.pop("valid", None)
    right.refuse({"missing-split": 1}, on_error="")
    return right


def plain() -> dict[str, list[Picture]]:
    """Return two images in train and one in valid, with the classes cat and dog on both."""
    return {
        "train": [
            Picture("a.jpg", 1, (100, 60), [Box("cat", 10, 10, 20, 20), Box("dog", 0, 0, 50.5, 25.25)]),
            Picture("b.jpg", 2, (80, 120), [Box("dog", 30, 20, 40, 60)]),
        ],
        "valid": [Picture("v.jpg", 3, (64, 48), [Box("cat", 8, 8, 16, 16), Box("dog", 20, 10, 30, 20)])],
    }


def functions(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the functions of a module whose names begin with a letter, two digits and an underline."""
    return {name: value for name, value in names.items() if re.match(r"[a-z]\d\d_", name)}


def put(path: Path, data: bytes | str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


@cache
def image_bytes(
    colour: int,
    size: tuple[int, int] = (100, 60),
    kind: str = "JPEG",
    orientation: int = 1,
    frame: str = "displayed",
    marks: tuple[tuple[int, ...], ...] = (),
) -> bytes:
    """Return an image of one colour with white rectangles; each set of arguments is drawn once."""
    image = Image.new("RGB", size, palette(colour))
    for x, y, w, h in marks:
        image.paste(_WHITE, (x, y, x + w, y + h))
    options: dict[str, object] = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    if orientation > 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
        if frame == "displayed":
            image = image.transpose(_TURN_BACK[orientation])
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(colour: int) -> tuple[int, int, int]:
    """Return red, green and blue of a colour; any two differ by 60 in one of them."""
    return _LEVELS[colour % 4], _LEVELS[colour // 4 % 4], _LEVELS[colour // 16]


def colour_of(image: Image.Image) -> int:
    """Return the number of the colour of most of an image."""
    rgb = image.convert("RGB").resize((25, 25), Image.Resampling.NEAREST)
    shades = (sorted(rgb.getchannel(channel).tobytes())[312] for channel in "RGB")
    return sum(
        4**place * min((abs(level - shade), n) for n, level in enumerate(_LEVELS))[1]
        for place, shade in enumerate(shades)
    )
