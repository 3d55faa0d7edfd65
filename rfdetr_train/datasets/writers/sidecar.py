"""What label files of YOLO cannot hold, kept beside them: ids, areas, crowd regions, polygons, licences, names.

``sidecar/<split>.coco`` is the annotation file that a conversion to COCO would write; no reader takes it for a dataset,
for its name does not end in .json. ``sidecar/index`` has the names that images had. No digests are kept: whether a
label row is still the one that was written is seen by making the rows of ``<split>.coco`` again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from rfdetr_train.datasets.coco_reader import read_coco
from rfdetr_train.datasets.findings import Findings
from rfdetr_train.datasets.layout import Layout, Place
from rfdetr_train.datasets.reading import Dataset
from rfdetr_train.datasets.splits import Parsed
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage.keys import check_keys

FOLDER = "sidecar"
INDEX = f"{FOLDER}/index"
_VERSION = 1
_MAX_BYTES = 256 << 20
_ABOUT = (
    "What the label files cannot hold, kept by rfdetr-train. A conversion to COCO takes from here what belongs to rows "
    "that were not changed since. Remove this folder to convert from the labels alone."
)


class Index(msgspec.Struct, frozen=True):
    """The index of a sidecar.

    Attributes:
        version: Of this file.
        outlines: Whether label rows are polygons.
        names: Split -> name of an image -> the name that it had, where it had another one.
        about: For people.
    """

    version: int
    outlines: bool
    names: dict[str, dict[str, str]]
    about: str = _ABOUT


class Sidecar(msgspec.Struct):
    """A sidecar that was read.

    Attributes:
        index: Its index.
        parsed: Its splits.
        digest: SHA-256 over all of it.
    """

    index: Index
    parsed: Parsed
    digest: str


def key_of(split: str) -> str:
    """Return the key of the annotations of a split."""
    return f"{FOLDER}/{split}.coco"


def renamed(names: Sequence[str], originals: Sequence[str]) -> dict[str, str]:
    """Return the names that images had, where they had others."""
    return {name: original for name, original in zip(names, originals, strict=True) if name != original}


def write_index(folder: Path, names: Mapping[str, dict[str, str]], *, outlines: bool) -> None:
    """Write the index."""
    path = folder / INDEX
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(Index(_VERSION, outlines, dict(names))), indent=1))


def carry_sidecar(dataset: Dataset, sidecar: Sidecar, folder: Path, names: Mapping[str, dict[str, str]]) -> None:
    """Take the sidecar of a YOLO dataset over to another one.

    Args:
        dataset: The dataset.
        sidecar: Its sidecar.
        folder: The other one.
        names: Split -> name of an image there -> its name here, where that is another one.
    """
    known = sidecar.index.names
    originals = {
        split: known.get(split, {})
        | {new: known.get(split, {}).get(old, old) for new, old in names.get(split, {}).items()}
        for split in sidecar.parsed.tables
    }
    write_index(folder, originals, outlines=sidecar.index.outlines)
    for split in sidecar.parsed.tables:
        dataset.store.fetch(key_of(split), folder / key_of(split), link=False)


def read_sidecar(dataset: Dataset) -> Sidecar | None:
    """Read the sidecar of a YOLO dataset, None where it has none.

    Raises:
        DatasetError: It is damaged.
    """
    if INDEX not in dataset.listing:
        return None
    try:
        data = dataset.store.read(INDEX, _MAX_BYTES)
        index = msgspec.json.decode(data, type=Index)
        if index.version != _VERSION:
            raise DatasetError(f"it has version {index.version}, wanted {_VERSION}")
        for names in index.names.values():
            check_keys(list(names.values()))
        places = tuple(
            Place(split, split, key_of(split), ("",)) for split in dataset.tables if key_of(split) in dataset.listing
        )
        layout = Layout("coco", "sidecar", places)
        parsed = read_coco(dataset.store, layout, {}, (), Findings(), polygons=index.outlines)
        if not all(isinstance(id_, int) for table in parsed.tables.values() for id_ in table.images.ids):
            raise DatasetError("the ids of its images are not all whole numbers")
    except (DatasetError, msgspec.DecodeError) as error:
        raise DatasetError(
            f"{INDEX} cannot be used: {error}. Restore the folder '{FOLDER}', or remove it to convert from the labels "
            "alone."
        ) from None
    digest = hashlib.sha256(data)
    for table in parsed.tables.values():
        digest.update(table.digests[table.annotations])
    return Sidecar(index, parsed, digest.hexdigest())
