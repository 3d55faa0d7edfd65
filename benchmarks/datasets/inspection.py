"""The inspection of 20,000 images: how long it takes, and whether it finds what was put there to be found.

    .venv/bin/python benchmarks/datasets/inspection.py [--scale 20k|118k] [--data FOLDER] [--repeats N]

The first table compares ``inspect``, which reads every annotation and every image header, checks them against each
other and looks for images that are there twice, with opening each image with Pillow: alone, with asking for the EXIF
orientation, and with decoding it, without which Pillow does not notice that an image is truncated. Each run is a fresh
process on files in memory; shown are the medians of interleaved repeats, ``net`` without the imports. Goal: Pillow
needs 5 times our CPU seconds.
The second is of copies of the datasets in which every defect was put ten times in places drawn from a seed, and small
ones for the defects of a dataset as a whole: how many were put in and how many were found, a finding that nobody put
in being an error too, and whether the examples name these places. Goal: all of them, and nothing else.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison import Goal, compare
from defects import COCO_DEFECTS, EACH, YOLO_DEFECTS
from generator import SCALES, SEED, Sets, make
from peers import OURS, Way
from seeding import Seeded, SeededCoco, SeededYolo
from setting import Setting, arguments, print_machine
from whole_defects import WHOLE_COCO, WHOLE_YOLO, write_coco, write_yolo

if TYPE_CHECKING:
    from rfdetr_train.datasets import DatasetReport

GOALS = {"Pillow": Goal(cpu=5), "Pillow decoding": Goal(cpu=5)}
_OPEN = """
import os
for split in ("train2017", "val2017"):
    for name in os.listdir(source / split):
        with Image.open(source / split / name) as image:
            image.size{more}
"""
WAYS = {
    "Pillow": Way("pillow", "from PIL import Image", _OPEN.format(more="")),
    "Pillow with EXIF": Way("pillow", "from PIL import Image", _OPEN.format(more=", image.getexif().get(0x112)")),
    "Pillow decoding": Way("pillow", "from PIL import Image", _OPEN.format(more=", image.load()")),
    "ours": Way(OURS, "from rfdetr_train.datasets import inspect", "inspect(str(source))"),
}


def put_and_find(
    seeded: Seeded, defects: dict[str, Callable[[Any, str], None]], label: str
) -> tuple[set[str], int, int]:
    """Put all defects into a dataset, inspect it, and print a row for each kind.

    Returns:
        The kinds, how many findings are right, and how many of them there were.
    """
    from rfdetr_train.datasets import inspect

    natural = sum(map(len, seeded.places.values()))
    for code, put in defects.items():
        for _ in range(EACH):
            put(seeded, code)
    seeded.save()
    report = inspect(str(seeded.root))
    found = {finding.code: finding for finding in report.findings}
    right = 0
    for code in sorted({*seeded.places, *found}):
        places = seeded.places[code]
        count = found[code].count if code in found else 0
        named = code in found and all(_names_one(example, places) for example in found[code].examples)
        verdict = "" if count == len(places) and named else "WRONG"
        right += len(places) if not verdict else min(count, len(places))
        print(f"{label:12}{code:26}{len(places):8}{count:8}{'yes' if named else 'no':>8}  {verdict}")
        if verdict and code in found:
            print(f"{'':12}  {found[code].examples}")
    print(f"{label:12}images without boxes that were there before, in the figures above: {natural}")
    shutil.rmtree(seeded.root)
    return set(defects), sum(map(len, seeded.places.values())), right


def find_whole(folder: Path, label: str) -> tuple[set[str], int, int]:
    """Do the same for the defects of a dataset as a whole."""
    cases, write = (WHOLE_COCO, write_coco) if label == "coco, small" else (WHOLE_YOLO, write_yolo)
    right = 0
    for code, (count, change) in cases.items():
        shutil.rmtree(folder, ignore_errors=True)
        change(write(folder, random.Random(SEED)))
        found = _inspect_or_refuse(folder, code)
        right += min(found, count)
        print(f"{label:12}{code:26}{count:8}{found:8}{'':8}  {'' if found == count else 'WRONG'}")
    shutil.rmtree(folder)
    return set(cases), sum(count for count, _ in cases.values()), right


def _inspect_or_refuse(folder: Path, code: str) -> int:
    """Return how often a kind was found."""
    from rfdetr_train.datasets import inspect

    report: DatasetReport = inspect(str(folder))
    return sum(finding.count for finding in report.findings if finding.code == code)


def _names_one(example: str, places: list[str]) -> bool:
    """Whether an example names one of the places, and not one whose number begins with the same digits."""
    return any(place in example and not example.split(place, 1)[1][:1].isdigit() for place in places)


def find_all(sets: Sets, setting: Setting) -> None:
    """Print the second table."""
    from rfdetr_train.datasets.kinds import KINDS

    print(f"{'dataset':12}{'defect':26}{'put in':>8}{'found':>8}{'places':>8}")
    scratch = setting.scratch
    results = [
        put_and_find(SeededCoco(sets.coco, scratch / "seeded", random.Random(SEED)), COCO_DEFECTS, "coco"),
        put_and_find(SeededYolo(sets.yolo, scratch / "seeded", random.Random(SEED)), YOLO_DEFECTS, "yolo"),
        find_whole(scratch / "small", "coco, small"),
        find_whole(scratch / "small", "yolo, small"),
    ]
    put, right = sum(result[1] for result in results), sum(result[2] for result in results)
    print(f"found {right} of {put} ({100 * right / put:.2f} %, goal 100 %)")
    print(f"kinds that were not put in: {', '.join(sorted(set(KINDS).difference(*(r[0] for r in results)))) or 'none'}")


def main() -> None:
    """Print both tables."""
    setting = arguments(__doc__, default_scale="20k")
    sets, scale = make(setting), SCALES[setting.scale]
    print_machine()
    print(f"inspection of {scale.images:,} + 200 images and {scale.boxes:,} + 1,452 boxes, COCO")
    compare(WAYS, sets.coco, setting, GOALS, lambda _: (0, 0))
    find_all(sets, setting)


if __name__ == "__main__":
    main()
