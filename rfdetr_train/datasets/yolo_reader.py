"""Reads and checks a YOLO dataset. Images are listed, never opened."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rfdetr_train.datasets.data_yaml import MAX_BYTES, parse_data_yaml
from rfdetr_train.datasets.fingerprint import Fingerprint
from rfdetr_train.datasets.inspect import Findings, inspect_classes, inspect_unseen_classes
from rfdetr_train.datasets.model import Split
from rfdetr_train.datasets.source import Category, LabelledBox, Parsed, report_missing_splits, usable_split
from rfdetr_train.datasets.yolo import YoloPlace, find_places, folders_of, images_below, parse_rows
from rfdetr_train.storage import ObjectInfo, Store, map_parallel

# A label file of an image with a thousand long polygons is a tenth of this.
_MAX_LABEL_BYTES = 16 << 20
# What labelling tools leave among the label files.
_NOT_LABELS = {"classes.txt", "notes.txt", "labels.txt", "readme.txt"}


@dataclass
class YoloSplit:
    """A parsed YOLO split."""

    place: YoloPlace
    images: dict[str, ObjectInfo]
    label_keys: dict[str, str] = field(default_factory=dict)
    """Key of the label file by image name, for the images that have one."""
    rows: dict[str, list[LabelledBox]] = field(default_factory=dict)
    """Boxes by image name, for the images that have a label file."""
    summary: Split = field(init=False)

    def boxes(self) -> Iterator[tuple[str, Sequence[LabelledBox]]]:
        """See ``SourceSplit.boxes``."""
        for name in self.images:
            yield name, self.rows.get(name, ())


def read_yolo(
    store: Store, data_key: str, listing: Mapping[str, ObjectInfo], required: Sequence[str], findings: Findings
) -> Parsed:
    """Read ``data.yaml`` and all label files."""
    declared = parse_data_yaml(store.read(data_key, MAX_BYTES), data_key)
    places = find_places(declared, data_key, store.uri, folders_of(listing))
    fingerprint = Fingerprint("yolo", declared.names)
    splits = {}
    for name, place in places.items():
        images = {image: listing[key] for image, key in images_below(place.images, listing)}
        if usable_split(name, place.images or data_key, len(images), required, findings):
            splits[name] = YoloSplit(place, images)
            _read_labels(store, splits[name], listing, len(declared.names), findings, fingerprint)
            _summarize(splits[name], declared.names)
    folders = {name: f"{data_key}: {key}: {folder}" for name, (key, folder) in declared.splits.items()}
    report_missing_splits(places, required, findings, folders)
    inspect_classes(declared.names, data_key, findings)
    _check_classes(splits, declared.names, findings)
    categories = [Category(label, name, label) for label, name in enumerate(declared.names)]
    layout = "roboflow" if all(place.images.endswith("/images") for place in places.values()) else "ultralytics"
    return Parsed(layout, categories, f"names of {data_key}", list(splits.values()), fingerprint.hexdigest())


def _read_labels(
    store: Store,
    split: YoloSplit,
    listing: Mapping[str, ObjectInfo],
    class_count: int,
    findings: Findings,
    fingerprint: Fingerprint,
) -> None:
    """Read the label file of every image; report rows, images without boxes and labels without an image."""
    for image in split.images:
        key = posixpath.join(split.place.labels, posixpath.splitext(image)[0] + ".txt")
        if key in listing:
            split.label_keys[image] = key
    contents = map_parallel(lambda key: store.read(key, _MAX_LABEL_BYTES), split.label_keys.values(), store.parallelism)
    fingerprint.add_split(split.place.name)
    for image, found in split.images.items():
        fingerprint.add_image(image, found)
        if image in split.label_keys:
            data = next(contents)
            fingerprint.add_bytes("labels", data)
            split.rows[image] = parse_rows(data, split.label_keys[image], class_count, findings)
        if not split.rows.get(image):
            findings.add("unlabelled-images", found.key)
    _report_orphans(split, listing, findings)


def _report_orphans(split: YoloSplit, listing: Mapping[str, ObjectInfo], findings: Findings) -> None:
    """Report label files whose image is not there."""
    used = set(split.label_keys.values())
    prefix = f"{split.place.labels}/"
    for key in listing:
        if key.startswith(prefix) and key.endswith(".txt") and key not in used:
            name = posixpath.basename(key)
            if name.lower() not in _NOT_LABELS and not name.startswith("."):
                findings.add("missing-image", f"{key}: no image of this name in {split.place.images}")


def _check_classes(splits: Mapping[str, YoloSplit], names: Sequence[str], findings: Findings) -> None:
    """Check that train has boxes, and of all classes that the other splits have."""
    counts = {
        name: Counter(row.label for rows in split.rows.values() for row in rows) for name, split in splits.items()
    }
    if "train" in splits and not counts["train"]:
        findings.add("empty-split", f"{splits['train'].place.labels}: 'train' has no boxes")
        return
    inspect_unseen_classes(names, counts, {name: split.place.labels for name, split in splits.items()}, findings)


def _summarize(split: YoloSplit, names: Sequence[str]) -> None:
    """Count what the report shows."""
    counts = Counter(names[row.label] for rows in split.rows.values() for row in rows)
    split.summary = Split(
        name=split.place.name,
        source_name=split.place.source_name,
        image_count=len(split.images),
        box_count=counts.total(),
        boxes_per_class={name: counts[name] for name in names},
        annotations=split.place.labels,
        image_root=split.place.images,
    )
