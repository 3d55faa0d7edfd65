"""Makes the datasets of the benchmarks: like COCO, as COCO and as YOLO, the same bytes from the same seed.

    .venv/bin/python benchmarks/datasets/generator.py [--scale 20k|118k] [--data FOLDER]

``118k`` is as large as COCO's train2017: 118,287 images, 848,838 boxes, 473 MB of JSON with polygons and crowd regions,
80 classes whose ids have gaps, annotations in no order. ``20k`` has 20,000 images and 145,183 boxes without polygons,
for peers that cannot finish the large one. Image files are JPEGs of 2 to 6 kB with true headers, no two of them
equal, and hard links in the second format. Each has a small second split, ``valid``. They stay in FOLDER.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from setting import Setting, arguments

VERSION = 4  # of what is made
SEED = 2017
VALID_IMAGES, VALID_BOXES = 200, 1_452


class Scale(NamedTuple):
    """How large a dataset is."""

    images: int
    boxes: int
    polygons: bool


SCALES = {"20k": Scale(20_000, 145_183, polygons=False), "118k": Scale(118_287, 848_838, polygons=True)}


class Sets(NamedTuple):
    """The folders of a dataset."""

    coco: Path
    yolo: Path

    @property
    def annotations(self) -> Path:
        """The large annotation file."""
        return self.coco / "annotations" / "instances_train2017.json"


def make(setting: Setting) -> Sets:
    """Return the dataset of a scale, and make it where it is not there yet."""
    sets = Sets(setting.data / f"coco{setting.scale}", setting.data / f"yolo{setting.scale}")
    marker, wanted = setting.data / f"{setting.scale}.json", {"version": VERSION, "seed": SEED}
    if not marker.exists() or json.loads(marker.read_text()) != wanted:
        started = time.process_time()
        for folder in sets:
            shutil.rmtree(folder, ignore_errors=True)
        _make(SCALES[setting.scale], sets)
        marker.write_text(json.dumps(wanted))
        print(f"generator: {setting.data}, {setting.scale}, {time.process_time() - started:.0f} CPU s", flush=True)
    return sets


def _make(scale: Scale, sets: Sets) -> None:
    """Draw and write both splits in both formats."""
    import numpy as np
    from drawn import draw
    from jpegs import draw_bases
    from written import link_images, write_coco, write_data_yaml, write_images, write_yolo

    rng = np.random.default_rng(SEED)
    bases = draw_bases(random.Random(SEED))
    train = draw(0, scale.images, scale.boxes, rng, crowds=scale.polygons)
    valid = draw(scale.images, VALID_IMAGES, VALID_BOXES, rng, crowds=scale.polygons)
    for name, split in (("train", train), ("val", valid)):
        write_images(split, bases, sets.coco / f"{name}2017", rng)
        link_images(split, sets.coco / f"{name}2017", sets.yolo / "images" / name)
        write_coco(split, sets.coco / "annotations" / f"instances_{name}2017.json", rng, polygons=scale.polygons)
        write_yolo(split, sets.yolo / "labels" / name)
    write_data_yaml(sets.yolo)


def main() -> None:
    """Make a dataset."""
    for folder in make(arguments(__doc__, default_scale="20k")):
        print(folder)


if __name__ == "__main__":
    main()
