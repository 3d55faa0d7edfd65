"""CPU seconds and memory of COCO -> YOLO: the converters that people use against ours, in one run.

    .venv/bin/python benchmarks/datasets/coco_to_yolo.py [--scale 20k|118k] [--data FOLDER] [--repeats N]

Every way writes the label files of the same generated dataset and nothing else: no image is copied. Each run is a
fresh process; shown are the medians of interleaved repeats, ``net`` without the imports, and how many times what ours
needs a peer needs; ``images`` and ``boxes`` count what a way wrote. Ours is shown a second time with all that a user
gets from it: image headers checked, EXIF orientation applied, images linked, a sidecar with what YOLO cannot hold.
Most of the time goes into making 118,000 files: with FOLDER in /dev/shm, memory, the disk has no part in it.
Goals at 118k: at most 0.75 of hotcoco's CPU and 0.4 of its memory, a third of ultralytics' CPU; a tenth of
supervision's at 20k.
"""

from __future__ import annotations

from comparison import Goal, compare, count_yolo
from generator import SCALES, make
from peers import COCO_TO_YOLO
from setting import arguments, print_machine

GOALS = {
    "118k": {"hotcoco": Goal(cpu=1 / 0.75, memory=1 / 0.4), "ultralytics": Goal(cpu=3)},
    "20k": {"ultralytics": Goal(cpu=3), "supervision": Goal(cpu=10)},
}


def main() -> None:
    """Run all and print the rows."""
    setting = arguments(__doc__, default_scale="118k")
    sets, scale = make(setting), SCALES[setting.scale]
    print_machine()
    size = sets.annotations.stat().st_size / 1e6
    print(f"COCO -> YOLO: {scale.images:,} + 200 images, {scale.boxes:,} + 1,452 boxes, {size:.0f} MB of JSON;")
    print(f"{setting.repeats} repeats, medians; crowd regions, which YOLO cannot hold, are no boxes")
    compare(COCO_TO_YOLO, sets.coco, setting, GOALS[setting.scale], count_yolo)


if __name__ == "__main__":
    main()
