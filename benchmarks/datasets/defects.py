"""The defects that are put into single images, annotations and label rows: one function for each kind."""

from __future__ import annotations

import io
from collections.abc import Callable

from jpegs import FRAME
from seeding import Seeded, SeededCoco, SeededYolo, replace

EACH = 10  # times that every defect is put in
_HUGE = 65_500  # pixels, wide and high
_JFIF_END = 20
# An APP1 segment with one tag: the orientation is 6, a quarter turn.
_EXIF = bytes.fromhex("ffe10022457869660000 49492a0008000000 0100 1201 0300 01000000 06000000 00000000")


def damage_image(seeded: Seeded, code: str) -> None:
    """Replace an image by a damaged or unusual one."""
    path = seeded.pick_image()
    data = path.read_bytes()
    replace(path, _DAMAGES[code](data))
    seeded.note(code, path.name)
    if code == "oversized-image" and isinstance(seeded, SeededCoco):
        seeded.note("size-mismatch", path.name)


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "unreadable-image": lambda data: b"" if data[-3] % 2 else b"no image" + data,
    "truncated-image": lambda data: data[:-200],
    "oversized-image": lambda data: _resize(data, _HUGE),
    "exif-orientation": lambda data: data[:_JFIF_END] + _EXIF + data[_JFIF_END:],
    "wrong-extension": lambda data: _saved(data, "PNG", "RGB"),
    "unusual-pixels": lambda data: _saved(data, "JPEG", "CMYK"),
}


def _resize(data: bytes, side: int) -> bytes:
    """Let the header claim another size."""
    place = data.index(FRAME) + len(FRAME)
    return data[:place] + side.to_bytes(2, "big") * 2 + data[place + 4 :]


def _saved(data: bytes, kind: str, mode: str) -> bytes:
    """Save an image in another format or colour space; the comment that tells it from others stays."""
    from PIL import Image, PngImagePlugin

    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        comment = bytes(image.info["comment"])
        text = PngImagePlugin.PngInfo()
        text.add_text("comment", comment.hex())
        image.convert(mode).save(file, kind, comment=comment, pnginfo=text)
    return file.getvalue()


def copy_image(seeded: Seeded, code: str) -> None:
    """Add a copy of an image: to its own split, to valid, or with another extension."""
    image = seeded.pick_image()
    split, suffix = ("val" if code == "leaked-image" else "train"), (".jpeg" if code == "duplicate-stem" else ".jpg")
    name = f"{image.stem}{suffix}" if code == "duplicate-stem" else f"copy-{code}-{image.name}"
    seeded.add_copy(image, split, name)
    seeded.note(code, image.stem)
    if code == "duplicate-stem":
        seeded.note("duplicate-image", image.stem)


IMAGE_DEFECTS = {
    **dict.fromkeys(_DAMAGES, damage_image),
    **dict.fromkeys(("duplicate-image", "leaked-image", "duplicate-stem"), copy_image),
}


def change_image_entry(seeded: SeededCoco, code: str) -> None:
    """Change the entry of an image."""
    image, boxes = seeded.pick()
    place = str(image["file_name"])
    if code == "missing-image":
        (seeded.root / "train2017" / place).unlink()
    elif code == "unsafe-file-name":
        image["file_name"] = f"../../{place}"
    elif code == "size-mismatch":
        image["width"] += 7
    elif code == "missing-size":
        del image["width"], image["height"]
    elif code == "duplicate-file-name":
        seeded.add_box(boxes[0], image_id=seeded.add_entry(image)["id"])
    elif code == "backslash-in-name":
        folder = seeded.root / "train2017" / "sub"
        folder.mkdir(exist_ok=True)
        (folder.parent / place).rename(folder / place)
        image["file_name"] = f"sub\\{place}"
    elif code == "duplicate-image-id":
        # Of the same size, or the boxes that both get would not fit. The annotations are those of the first.
        other = seeded.pick_like(image)
        for box in seeded.boxes[max(image["id"], other["id"])]:
            box["image_id"] = min(image["id"], other["id"])
        place = max(place, str(other["file_name"]))
        image["id"] = other["id"] = min(image["id"], other["id"])
        seeded.note("unlabelled-images", place)
    seeded.note(code, place)


def change_box(seeded: SeededCoco, code: str) -> None:
    """Change an annotation."""
    image, boxes = seeded.pick()
    box = boxes[0]
    x, y, width, height = box["bbox"]
    if code == "missing-bbox":
        del box["bbox"]
    elif code == "missing-area":
        del box["area"]
    elif code == "unknown-category":
        box["category_id"] = 9_999
    elif code == "unknown-image":
        box["image_id"] = 5
    elif code == "duplicate-annotation-id":
        box["id"] = boxes[1]["id"]
    elif code == "degenerate-box":
        box["bbox"] = seeded.dice.choice([[x, y, 0, height], [x, y, width, -height], [-90, y, 80.5, height]])
    elif code == "box-outside-image":
        box["bbox"] = [x, y, image["width"] - x + 3, height]
    elif code == "duplicate-box":
        box = seeded.add_box(box)
    elif code == "crowd-region":
        box["iscrowd"] = 1
    seeded.note(code, f"annotation {box['id']}")


_ENTRIES = (
    "missing-image", "unsafe-file-name", "backslash-in-name", "size-mismatch", "missing-size", "duplicate-file-name",
    "duplicate-image-id",
)  # fmt: skip
_BOXES = (
    "missing-bbox", "missing-area", "unknown-category", "unknown-image", "duplicate-annotation-id", "degenerate-box",
    "box-outside-image", "duplicate-box", "crowd-region",
)  # fmt: skip
COCO_DEFECTS: dict[str, Callable[[SeededCoco, str], None]] = {
    **IMAGE_DEFECTS,
    **dict.fromkeys(_ENTRIES, change_image_entry),
    **dict.fromkeys(_BOXES, change_box),
}


def change_rows(seeded: SeededYolo, code: str) -> None:
    """Change the first row of a label file."""
    path, rows = seeded.pick()
    label, x, y, width, height = rows[0].split()
    first = {
        "class-id-out-of-range": f"80 {x} {y} {width} {height}",
        "malformed-row": f"{label} {x} {y}",
        "degenerate-box": seeded.dice.choice([f"{label} nan {y} {width} {height}", f"{label} {x} {y} 0 {height}"]),
        "box-outside-image": f"{label} 0.99 {y} 0.1 {height}",
        "mixed-rows": f"{label} 0.1 0.1 0.5 0.1 0.3 0.6",
        "track-id": f"{rows[0]} 17",
        "float-class-id": f"{label}.0 {x} {y} {width} {height}",
        "decimal-comma": rows[0].replace(".", ","),
        "byte-order-mark": f"\ufeff{rows[0]}",
        "duplicate-box": rows[1],
    }[code]
    path.write_text("\n".join([first, *rows[1:]]) + "\n")
    seeded.note(code, path.name)
    if code == "mixed-rows":
        seeded.note("polygon-row", path.name)


def change_label_file(seeded: SeededYolo, code: str) -> None:
    """Remove, empty, or add a label file, or write another kind of rows."""
    path, rows = seeded.pick()
    place = path.name
    if code == "missing-label":
        path.unlink()
        place = f"{path.stem}.jpg"
    elif code == "unlabelled-images":
        path.write_text("")
        place = f"{path.stem}.jpg"
    elif code == "orphan-label":
        place = f"no-image-{path.name}"
        path.with_name(place).write_text(rows[0] + "\n")
    elif code == "polygon-row":
        path.write_text("3 0.1 0.1 0.5 0.1 0.3 0.6\n")
    seeded.note(code, place)


_ROWS = (
    "class-id-out-of-range", "malformed-row", "degenerate-box", "box-outside-image", "mixed-rows", "track-id",
    "float-class-id", "decimal-comma", "byte-order-mark", "duplicate-box",
)  # fmt: skip
_FILES = ("missing-label", "unlabelled-images", "orphan-label", "polygon-row")
YOLO_DEFECTS: dict[str, Callable[[SeededYolo, str], None]] = {
    **IMAGE_DEFECTS,
    **dict.fromkeys(_ROWS, change_rows),
    **dict.fromkeys(_FILES, change_label_file),
}
