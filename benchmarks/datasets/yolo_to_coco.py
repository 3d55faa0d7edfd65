"""CPU seconds and memory of YOLO -> COCO: rfdetr's own reader and converters against ours, in one run.

    .venv/bin/python benchmarks/datasets/yolo_to_coco.py [--scale 20k|118k] [--data FOLDER] [--repeats N]

Every converter writes COCO annotations of the same generated dataset, with the image sizes from the image headers;
rfdetr's reader builds the train and validation datasets, as every start of a training on YOLO files does. Each run is
a fresh process; shown are the medians of interleaved repeats, ``net`` without the imports, and how many times what
ours needs a peer needs; ``images`` and ``boxes`` count what a way wrote. Ours checks everything on the way: EXIF
orientation, byte order marks, every row. With FOLDER in /dev/shm, memory, the disk has no part in it.
Goals, net of imports: 3 times rfdetr's reader, 6 times the others.
"""

from __future__ import annotations

from comparison import Goal, compare, count_coco
from generator import SCALES, make
from peers import YOLO_TO_COCO
from setting import arguments, print_machine

GOALS = {
    "rfdetr's reader": Goal(net=3),
    **{peer: Goal(net=6) for peer in ("datumaro", "labelformat", "supervision", "globox")},
}


def main() -> None:
    """Run all and print the rows."""
    setting = arguments(__doc__, default_scale="118k")
    sets, scale = make(setting), SCALES[setting.scale]
    print_machine()
    print(f"YOLO -> COCO: {scale.images:,} + 200 images, {scale.boxes:,} + 1,452 boxes less the crowd regions;")
    print(f"{setting.repeats} repeats, medians; an image without boxes has no label file")
    compare(YOLO_TO_COCO, sets.yolo, setting, GOALS, count_coco)


if __name__ == "__main__":
    main()
