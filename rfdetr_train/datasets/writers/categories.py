"""The classes of a dataset as the categories of what is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from rfdetr_train.datasets.coco import CocoCategory, training_categories
from rfdetr_train.datasets.layout import Format
from rfdetr_train.datasets.manifest import PreparedCategory
from rfdetr_train.datasets.table import Category
from rfdetr_train.datasets.writers.raw_coco import patch_fields, value_of

# What the rule is about by which RF-DETR takes categories for classes.
_RULED = ("id", "name", "supercategory")
NONE = msgspec.Raw(b'"none"')
Fields = Mapping[str, msgspec.Raw]


def prepared_categories(categories: Sequence[Category], source: Format, target: Format) -> list[PreparedCategory]:
    """Give the classes their ids: in YOLO 0 to n-1; in COCO those of a COCO source, else 1 to n.

    RF-DETR takes the ids of COCO in their order as labels.
    """
    ids = [category.id for category in categories]
    numbers = [id_ for id_ in ids if isinstance(id_, int)]
    if target == "yolo":
        numbers = list(range(len(ids)))
    elif source != "coco" or len(numbers) < len(ids) or numbers != sorted(set(numbers)):
        numbers = list(range(1, len(ids) + 1))
    return [
        PreparedCategory(number, category.id, category.name, category.label)
        for number, category in zip(numbers, categories, strict=True)
    ]


def agree(entries: Sequence[Fields], categories: Sequence[PreparedCategory]) -> bool:
    """Whether an annotation file lists every class with its id, and nothing else under the id or the name of one."""
    found = [(value_of(entry.get("id")), value_of(entry.get("name"))) for entry in entries]
    wanted = {(category.id, category.name) for category in categories}
    ids, names = {id_ for id_, _ in wanted}, {name for _, name in wanted}
    of_classes = [(id_, name) for id_, name in found if id_ in ids or name in names]
    whole = all(isinstance(id_, int) for id_, _ in of_classes)
    return whole and len(of_classes) == len(wanted) and set(of_classes) == wanted


def numbered(entries: Sequence[Fields], categories: Sequence[PreparedCategory], changes: Counter[str]) -> list[Fields]:
    """Return the entries of an annotation file with the ids that classes are to have, and all classes.

    Of two with the name of one class the first stays; what is no class gets an id that no class has.

    Args:
        entries: The categories of the file.
        categories: The classes with their ids.
        changes: Where to count the ids that are others than before.
    """
    wanted = {category.name: category.id for category in categories}
    free, taken = max(wanted.values(), default=0) + 1, set(wanted.values())
    missing, result = dict(wanted), list[Fields]()
    for entry in entries:
        id_, name = value_of(entry.get("id")), value_of(entry.get("name"))
        if name in wanted:
            if name not in missing:
                continue
            id_ = missing.pop(name)
        elif not isinstance(id_, int) or id_ in taken:
            id_ = free
        taken.add(id_)
        free = max(free, id_ + 1)
        fields = dict(entry)
        if patch_fields(fields, {"id": id_}):
            changes["string-id" if "source_id" in fields else "category-renumbered"] += 1
        result.append(fields)
    for name, id_ in missing.items():
        values = {"id": id_, "name": name, "supercategory": "none"}
        result.append({key: msgspec.Raw(msgspec.json.encode(value)) for key, value in values.items()})
    return result


def as_classes(
    entries: Sequence[Fields], categories: Sequence[PreparedCategory], used: Collection[int]
) -> Sequence[Fields]:
    """Return the categories of a train split so that RF-DETR takes for classes what are classes.

    It drops a category that is the ``supercategory`` of another and has no annotation. A class may have lost its
    annotations to a policy or to an edit; without it all labels after it would be others.

    Args:
        entries: The categories.
        categories: The classes with their ids.
        used: Ids of the categories that have annotations.
    """
    listed = [msgspec.convert({name: value_of(entry.get(name)) for name in _RULED}, CocoCategory) for entry in entries]
    ids = [category.id for category in categories]
    if [category.id for category in training_categories(listed, used)] == ids:
        return entries
    return [{**entry, "supercategory": NONE} for entry in entries if value_of(entry.get("id")) in ids]
