"""Reads and checks a COCO dataset."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rfdetr_train.datasets.boxes import fit
from rfdetr_train.datasets.coco import (
    CocoAnnotation,
    CocoCategory,
    CocoFile,
    CocoImage,
    CocoPlace,
    box_of,
    choose_image_root,
    labels_by_id,
    parse_coco,
    training_categories,
)
from rfdetr_train.datasets.fingerprint import Fingerprint
from rfdetr_train.datasets.inspect import Findings, inspect_classes, inspect_unseen_classes
from rfdetr_train.datasets.model import SPLITS, Split
from rfdetr_train.datasets.source import Category, LabelledBox, Parsed, report_missing_splits, usable_split
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import ObjectInfo, Store, check_key


@dataclass
class CocoSplit:
    """A parsed COCO split."""

    place: CocoPlace
    file: CocoFile
    image_root: str
    images: dict[str, ObjectInfo] = field(default_factory=dict)
    box_counts: Counter[int] = field(default_factory=Counter)
    """Annotations by category id."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """Label by category id, the same in all splits."""
    summary: Split = field(init=False)

    def boxes(self) -> Iterator[tuple[str, Sequence[LabelledBox]]]:
        """See ``SourceSplit.boxes``."""
        by_image: defaultdict[int, list[LabelledBox]] = defaultdict(list)
        for annotation in self.file.annotations:
            box = box_of(annotation)
            if box is not None and not annotation.iscrowd and annotation.category_id in self.labels:
                by_image[annotation.image_id].append(LabelledBox(self.labels[annotation.category_id], box))
        # Two entries may name one file, each with a part of its boxes.
        by_name: defaultdict[str, list[LabelledBox]] = defaultdict(list)
        for image in self.file.images:
            by_name[file_key(image)].extend(by_image.get(image.id, ()))
        yield from by_name.items()


def read_coco(
    store: Store,
    layout: str,
    places: Sequence[CocoPlace],
    listing: Mapping[str, ObjectInfo],
    required: Sequence[str],
    findings: Findings,
) -> Parsed:
    """Read all annotation files and check them against the listing and each other."""
    _refuse_ambiguous(places)
    splits: dict[str, CocoSplit] = {}
    contents: dict[str, bytes] = {}
    for place in sorted(places, key=lambda place: SPLITS.index(place.name)):
        data = store.read(place.annotations)
        file = parse_coco(data, place.annotations)
        if usable_split(place.name, place.annotations, len(file.images), required, findings):
            root = choose_image_root(place, [file_key(image) for image in file.images], listing)
            splits[place.name] = CocoSplit(place, file, root)
            contents[place.name] = data
    report_missing_splits({place.name for place in places}, required, findings)
    for split in splits.values():
        _check_images(split, listing, findings)
        _check_annotations(split, findings)
    classes, class_source = _check_categories(splits, findings)
    for split in splits.values():
        _summarize(split, classes)
    fingerprint = Fingerprint("coco", [category.name for category in classes])
    for name, split in splits.items():
        fingerprint.add_split(name)
        fingerprint.add_bytes("annotations", contents[name])
        for file_name in sorted(split.images):
            fingerprint.add_image(file_name, split.images[file_name])
    categories = [Category(category.id, category.name, label) for label, category in enumerate(classes)]
    return Parsed(layout, categories, class_source, list(splits.values()), fingerprint.hexdigest())


def file_key(image: CocoImage) -> str:
    """Return the key of an image relative to the folder of the images."""
    return image.file_name.removeprefix("./")


def _refuse_ambiguous(places: Sequence[CocoPlace]) -> None:
    """Refuse two annotation files for one split."""
    for name, count in Counter(place.name for place in places).items():
        if count > 1:
            files = " and ".join(sorted(place.annotations for place in places if place.name == name))
            raise DatasetError(f"There are {count} annotation files for the split '{name}': {files}. Keep one of them.")


def _check_images(split: CocoSplit, listing: Mapping[str, ObjectInfo], findings: Findings) -> None:
    """Find the object of every image; report doubled ids, unsafe names and missing files."""
    seen: set[int] = set()
    annotated = {annotation.image_id for annotation in split.file.annotations}
    for image in split.file.images:
        where = f"{split.place.annotations}: image {image.id} '{image.file_name}'"
        if image.id in seen:
            findings.add("duplicate-image-id", where)
        seen.add(image.id)
        if image.id not in annotated:
            findings.add("unlabelled-images", where)
        name = file_key(image)
        try:
            found = listing.get(posixpath.join(split.image_root, check_key(name)))
        except DatasetError:
            findings.add("unsafe-file-name", where)
            continue
        if found is None:
            findings.add("missing-image", where)
        else:
            split.images[name] = found


def _check_annotations(split: CocoSplit, findings: Findings) -> None:
    """Check every annotation against images and categories, and its box against its image."""
    images = {image.id: image for image in split.file.images}
    categories = {category.id for category in split.file.categories}
    seen: set[int] = set()
    for annotation in split.file.annotations:
        if annotation.id in seen:
            findings.add("duplicate-annotation-id", _place(split, annotation))
        seen.add(annotation.id)
        if annotation.area is None:
            findings.add("missing-area", _place(split, annotation))
        if annotation.category_id not in categories:
            findings.add("unknown-category", f"{_place(split, annotation)}, category_id {annotation.category_id}")
        split.box_counts[annotation.category_id] += 1
        image = images.get(annotation.image_id)
        if image is None:
            findings.add("unknown-image", f"{_place(split, annotation)}, image_id {annotation.image_id}")
        elif code := _box_problem(annotation, image):
            findings.add(code, _place(split, annotation))


def _box_problem(annotation: CocoAnnotation, image: CocoImage) -> str | None:
    """Return the code of what is wrong with a box."""
    box = box_of(annotation)
    if box is None:
        return "missing-bbox"
    # Without a size in the file nothing is outside; the converter reads the size from the image.
    fitted = fit(box, image.width or float("inf"), image.height or float("inf"))
    if fitted is None:
        return "degenerate-box"
    return None if fitted is box else "box-outside-image"


def _place(split: CocoSplit, annotation: CocoAnnotation) -> str:
    """Say where an annotation is."""
    return f"{split.place.annotations}: annotation {annotation.id}"


def _check_categories(splits: Mapping[str, CocoSplit], findings: Findings) -> tuple[list[CocoCategory], str]:
    """Name the classes of the model, as the train split gives them, and check the other splits against them."""
    if not splits:
        return [], ""
    reference = splits.get("train") or next(iter(splits.values()))
    source = f"categories of {reference.place.annotations}"
    for split in splits.values():
        _check_category_ids(split, findings)
    classes = training_categories(reference.file.categories, reference.box_counts)
    kept = labels_by_id(classes)
    for category in reference.file.categories:
        if category.id not in kept:
            place = f"{reference.place.annotations}: category {category.id} '{category.name}'"
            findings.add("unused-parent-category", place)
    inspect_classes([category.name for category in classes], source, findings)
    for split in splits.values():
        split.labels = kept
        if split is not reference:
            _compare_categories(split, reference, findings)
    if reference.place.name == "train" and not any(reference.box_counts.values()):
        findings.add("empty-split", f"{reference.place.annotations}: 'train' has no boxes")
    else:
        counts = {name: _by_label(split) for name, split in splits.items()}
        names = [category.name for category in classes]
        inspect_unseen_classes(names, counts, {name: s.place.annotations for name, s in splits.items()}, findings)
    return classes, source


def _by_label(split: CocoSplit) -> dict[int, int]:
    """Return the number of boxes of every label."""
    return {split.labels[id_]: count for id_, count in split.box_counts.items() if id_ in split.labels}


def _check_category_ids(split: CocoSplit, findings: Findings) -> None:
    """Report doubled category ids."""
    for id_, count in Counter(category.id for category in split.file.categories).items():
        if count > 1:
            findings.add("duplicate-category-id", f"{split.place.annotations}: category {id_}")


def _compare_categories(split: CocoSplit, reference: CocoSplit, findings: Findings) -> None:
    """Report categories that mean something else than in the train split, or that it does not have."""
    names = {category.id: category.name for category in reference.file.categories}
    own = labels_by_id(training_categories(split.file.categories, split.box_counts))
    for category in split.file.categories:
        where = f"{split.place.annotations}: category {category.id} '{category.name}'"
        if names.get(category.id, category.name) != category.name:
            findings.add("category-mismatch", f"{where}, '{names[category.id]}' in train")
        elif category.id not in split.labels and category.id in own:
            findings.add("class-only-in-valid", where)


def _summarize(split: CocoSplit, classes: Sequence[CocoCategory]) -> None:
    """Count what the report shows."""
    counts = Counter[str]()
    for category in classes:
        counts[category.name] += split.box_counts[category.id]
    split.summary = Split(
        name=split.place.name,
        source_name=split.place.source_name,
        image_count=len(split.file.images),
        box_count=len(split.file.annotations),
        boxes_per_class=dict(counts),
        annotations=split.place.annotations,
        image_root=split.image_root,
    )
