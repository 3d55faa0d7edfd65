"""The ``data.yaml`` of a YOLO dataset. Only names and folders are used; ``download:`` and the like never run."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError

NAMES = ("data.yaml", "data.yml")
MAX_BYTES = 1 << 20
# Split -> keys that declare it, the first one wins.
_SPLIT_KEYS = {"train": ("train",), "valid": ("val", "valid"), "test": ("test",)}


class DataYaml(NamedTuple):
    """What is used of a ``data.yaml``.

    Attributes:
        names: Class names by label.
        path: The folder that the splits are relative to, as written; "" where it is not given.
        splits: Canonical split name -> (key, folder as written).
    """

    names: list[str]
    path: str
    splits: dict[str, tuple[str, str]]


class _PlainLoader(yaml.SafeLoader):
    """The safe loader without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias, load anything else."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted")
        return super().compose_node(parent, index)


def parse_data_yaml(data: bytes, where: str) -> DataYaml:
    """Parse and check a ``data.yaml``.

    Raises:
        DatasetError: It is no YAML mapping, or names, nc or a split are not what they must be.
    """
    values = _load(data, where)
    if "kpt_shape" in values:
        raise DatasetError(
            f"{where} has 'kpt_shape': this is a pose dataset, whose rows are no boxes alone. Export it for detection."
        )
    names = _names(values.get("names"), where)
    count = values.get("nc")
    if count not in (None, len(names)):
        raise DatasetError(f"{where}: nc is {count!r}, but names has {len(names)} classes. Correct one of them.")
    splits = {}
    for split, keys in _SPLIT_KEYS.items():
        for key in keys:
            if values.get(key) and split not in splits:
                splits[split] = (key, _folder(values[key], key, where))
    return DataYaml(names, _folder(values.get("path") or "", "path", where), splits)


def _load(data: bytes, where: str) -> dict[Any, Any]:
    """Load the mapping."""
    try:
        values = yaml.load(data.decode("utf-8-sig"), _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()), 300)
        raise DatasetError(f"{where} cannot be read as YAML: {reason}. Correct it.") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{where} must be a mapping with names, train and val; it is a {type(values).__name__}.")
    return values


def _names(names: Any, where: str) -> list[str]:
    """Return the class names by label."""
    if isinstance(names, dict):
        by_label = {int(key): name for key, name in names.items() if str(key).isascii() and str(key).isdigit()}
        if len(by_label) != len(names) or sorted(by_label) != list(range(len(by_label))):
            raise DatasetError(f"{where}: the keys of names must be 0, 1, 2, ... without a gap. Correct names.")
        names = [by_label[label] for label in range(len(by_label))]
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{where}: names must list the classes, for example names: [cat, dog]. Add names.")
    for name in names:
        # YAML reads yes, no, on and off as truth values; the class would be called True.
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise DatasetError(f"{where}: names holds {name!r}, which is no text. Put the name in quotes.")
    return [str(name) for name in names]


def _folder(value: Any, key: str, where: str) -> str:
    """Return the folder that a key declares."""
    if not isinstance(value, str) or value.endswith(".txt"):
        raise DatasetError(f"{where}: {key} must be one folder, not a list of folders or a file of names.")
    return value
