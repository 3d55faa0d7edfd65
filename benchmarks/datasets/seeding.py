"""Copies of a generated dataset in which single defects are put in known places."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ENOUGH = 3  # boxes of an image that is picked: it stays labelled whatever happens to one of them


class Seeded:
    """A copy of a dataset; images are links until they are replaced.

    Attributes:
        root: Its folder.
        dice: Picks the places.
        places: Code of a finding -> text that an example of it holds, one for each time that it was put in or is there
            anyway: images without boxes.
    """

    def __init__(self, source: Path, root: Path, dice: random.Random) -> None:
        """Copy a dataset."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(source, root, copy_function=_link_image)
        self.root, self.dice = root, dice
        self.places: dict[str, list[str]] = defaultdict(list)

    def note(self, code: str, place: str) -> None:
        """Remember a defect."""
        self.places[code].append(place)

    def pick_image(self) -> Path:
        """Return an image of train that nothing was done to yet."""
        raise NotImplementedError

    def add_copy(self, image: Path, split: str, name: str) -> None:
        """Add an image to a split that is a copy of another, without boxes."""
        raise NotImplementedError

    def save(self) -> None:
        """Write what is still in memory."""


class SeededCoco(Seeded):
    """A copy in COCO format; its annotation files are written by ``save``."""

    def __init__(self, source: Path, root: Path, dice: random.Random) -> None:
        """Copy and read a dataset."""
        super().__init__(source, root, dice)
        self.content: dict[str, dict[str, Any]] = {
            split: json.loads(self._file(split).read_bytes()) for split in ("train", "val")
        }
        self.boxes: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for content in self.content.values():
            for annotation in content["annotations"]:
                self.boxes[annotation["image_id"]].append(annotation)
            for image in content["images"]:
                if image["id"] not in self.boxes:
                    self.note("unlabelled-images", image["file_name"])
        usable = [image for image in self.content["train"]["images"] if len(self.boxes[image["id"]]) >= _ENOUGH]
        self._unused: Iterator[dict[str, Any]] = iter(dice.sample(usable, len(usable)))
        self._ids = iter(range(10**7, 2 * 10**7))

    def pick(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return an image of train that nothing was done to yet, and its annotations."""
        image = next(self._unused)
        return image, self.boxes[image["id"]]

    def pick_like(self, image: dict[str, Any]) -> dict[str, Any]:
        """Return an image of the same size that nothing was done to yet."""
        return next(
            found for found in self._unused if (found["width"], found["height"]) == (image["width"], image["height"])
        )

    def pick_image(self) -> Path:
        """Return the file of an image that nothing was done to yet."""
        return self.root / "train2017" / self.pick()[0]["file_name"]

    def add_entry(self, image: dict[str, Any], split: str = "train", **changes: object) -> dict[str, Any]:
        """Add an entry to ``images`` that is like another, with an id of its own."""
        entry = {**image, "id": next(self._ids), **changes}
        self.content[split]["images"].append(entry)
        return entry

    def add_box(self, box: dict[str, Any], split: str = "train", **changes: object) -> dict[str, Any]:
        """Add an annotation that is like another, with an id of its own."""
        annotation = {**box, "id": next(self._ids), **changes}
        self.content[split]["annotations"].append(annotation)
        return annotation

    def add_copy(self, image: Path, split: str, name: str) -> None:
        """Add an image to a split that is a copy of another, without boxes."""
        shutil.copy(image, self.root / f"{split}2017" / name)
        entry = next(found for found in self.content["train"]["images"] if found["file_name"] == image.name)
        self.add_entry(entry, split, file_name=name)
        self.note("unlabelled-images", name)

    def save(self) -> None:
        """Write the annotation files."""
        for split, content in self.content.items():
            self._file(split).write_text(json.dumps(content))

    def _file(self, split: str) -> Path:
        return self.root / "annotations" / f"instances_{split}2017.json"


class SeededYolo(Seeded):
    """A copy in YOLO format."""

    def __init__(self, source: Path, root: Path, dice: random.Random) -> None:
        """Copy a dataset."""
        super().__init__(source, root, dice)
        for split in ("train", "val"):
            labelled = {path.stem for path in (root / "labels" / split).iterdir()}
            for image in (root / "images" / split).iterdir():
                if image.stem not in labelled:
                    self.note("missing-label", image.name)
        labels = sorted((root / "labels" / "train").iterdir())
        self._unused = iter(dice.sample(labels, len(labels)))

    def pick(self) -> tuple[Path, list[str]]:
        """Return a label file that nothing was done to yet, and its rows."""
        while True:
            path = next(self._unused)
            rows = path.read_text().splitlines()
            if len(rows) >= _ENOUGH:
                return path, rows

    def pick_image(self) -> Path:
        """Return an image that nothing was done to yet."""
        return self.root / "images" / "train" / f"{self.pick()[0].stem}.jpg"

    def add_copy(self, image: Path, split: str, name: str) -> None:
        """Add an image to a split that is a copy of another, without boxes."""
        shutil.copy(image, self.root / "images" / split / name)
        if Path(name).stem != image.stem:
            self.note("missing-label", name)


def replace(path: Path, data: bytes) -> None:
    """Write a file anew: in place, a link would change the dataset that it was copied from."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _link_image(source: str, destination: str) -> None:
    """Link images, copy everything else."""
    if source.endswith(".jpg"):
        os.link(source, destination)
    else:
        shutil.copy(source, destination)
