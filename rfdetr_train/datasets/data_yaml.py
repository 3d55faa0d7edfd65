"""The data file of a YOLO dataset, usually ``data.yaml``. Nothing in it is ever run or downloaded."""

from __future__ import annotations

from typing import Any, NamedTuple, cast, get_args

from rfdetr_train.datasets.layout import Task
from rfdetr_train.datasets.model import printable
from rfdetr_train.errors import DatasetError

MAX_BYTES = 1 << 20
_MAX_DEPTH = 16
# Split -> keys that declare it, the first one wins.
_SPLIT_KEYS = {"train": ("train",), "valid": ("val", "valid", "validation"), "test": ("test",)}


class DataYaml(NamedTuple):
    """What is used of a data file.

    Attributes:
        names: Class names by class id; None where the file has neither ``names`` nor ``nc``.
        path: The folder that the splits are relative to, as written; "" where it is not given.
        splits: Canonical split name -> (key, places as written: folders or list files).
        task: As ``task`` or ``kpt_shape`` give it.
        keypoints: Keypoints of an object and values of each.
        notes: (code, example) of findings.
    """

    names: dict[int, str] | None
    path: str
    splits: dict[str, tuple[str, tuple[str, ...]]]
    task: Task | None
    keypoints: tuple[int, int] | None
    notes: tuple[tuple[str, str], ...]


def parse_data_yaml(data: bytes, where: str) -> DataYaml:
    """Parse and check a data file.

    Raises:
        DatasetError: It is no YAML mapping, or what is used of it is not what it must be.
    """
    values = load_yaml(data, where)
    names, notes = _names(values, where)
    if "download" in values:
        notes.append(("download-ignored", f"{where}: download"))
    keypoints = _keypoints(values.get("kpt_shape"), where)
    path = values.get("path") or ""
    if not isinstance(path, str):
        raise DatasetError(f"{where}: path must be a folder, not a {type(path).__name__}. Correct it or remove it.")
    task = values.get("task") if values.get("task") in get_args(Task) else "pose" if keypoints else None
    return DataYaml(names, path, _splits(values, where), cast("Task | None", task), keypoints, tuple(notes))


def load_yaml(data: bytes, where: str) -> dict[Any, Any]:
    """Load a mapping of plain values.

    Raises:
        DatasetError: It is none, is nested deeply, repeats a key, or has aliases, a few lines of which can stand for
            gigabytes, or tags, which make objects.
    """
    import yaml

    # The pure loader takes 0.1 s for the names of LVIS, the one of libyaml a hundredth of it.
    loader_type = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        text = data.decode("utf-8-sig")
        _refuse_tricks(yaml.parse(text, Loader=loader_type))
        loader = loader_type(text)
        try:
            node = loader.get_single_node()
            _refuse_repeated_keys(node)
            values = loader.construct_document(node) if node else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:
        reason = printable(" ".join(str(error).split()), 300)
        raise DatasetError(f"{where} cannot be read as YAML: {reason}. Correct it.") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{where} must be a mapping with names, train and val; it is a {type(values).__name__}.")
    return values


def _refuse_tricks(events: Any) -> None:
    """Refuse what data files do not need, before anything is built: libyaml recurses without a limit."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted")
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError(f"tags ({event.tag}) are not accepted")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise yaml.YAMLError(f"it is nested more than {_MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_repeated_keys(node: Any) -> None:
    """Refuse a mapping that names a key twice; the loader would keep the last one silently."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise yaml.YAMLError(f"the key '{repeated}' is there twice")
        for _, value in node.value:
            _refuse_repeated_keys(value)


def _names(values: dict[Any, Any], where: str) -> tuple[dict[int, str] | None, list[tuple[str, str]]]:
    """Return the class names by id, and findings about them."""
    names, count = values.get("names"), values.get("nc")
    if names is None:
        ids = range(count) if isinstance(count, int) and 0 < count <= 10_000 else ()
        return {id_: str(id_) for id_ in ids} or None, [("missing-class-names", f"{where} has no names")]
    if isinstance(names, list):
        by_id = dict(enumerate(names))
    elif isinstance(names, dict):
        by_id = {int(key): name for key, name in names.items() if str(key).isascii() and str(key).isdigit()}
        if len(by_id) != len(names):
            raise DatasetError(f"{where}: the keys of names must be whole numbers, each once: 0, 1, 2. Correct names.")
    else:
        by_id = {}
    if not by_id:
        raise DatasetError(f"{where}: names must list the classes, for example names: [cat, dog]. Add names.")
    for name in by_id.values():
        # YAML reads yes, no, on and off as truth values; the class would be called True.
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise DatasetError(f"{where}: names holds {name!r}, which is no text. Put the name in quotes.")
    notes = []
    if count not in (None, len(by_id)):
        notes.append(("class-count", f"{where}: nc is {count!r}, names has {len(by_id)} classes"))
    return {id_: str(by_id[id_]) for id_ in sorted(by_id)}, notes


def _splits(values: dict[Any, Any], where: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what the splits are declared as."""
    splits = {}
    for split, keys in _SPLIT_KEYS.items():
        key = next((key for key in keys if values.get(key)), "")
        if key:
            value = values[key]
            texts = value if isinstance(value, list) else [value]
            if not all(isinstance(text, str) and text for text in texts):
                raise DatasetError(f"{where}: {key} must be a folder, a list of folders or a list file. Correct it.")
            splits[split] = (key, tuple(texts))
    return splits


def _keypoints(shape: Any, where: str) -> tuple[int, int] | None:
    """Return the shape of the keypoints of an object."""
    if shape is None:
        return None
    # bool is an int.
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(value) is int for value in shape)):
        raise DatasetError(f"{where}: kpt_shape must be two numbers, for example [17, 3]. Correct it.")
    count, values = shape
    if not (0 < count <= 1000 and values in (2, 3)):
        raise DatasetError(f"{where}: kpt_shape is {shape}; it must be keypoints and 2 or 3 values. Correct it.")
    return count, values
