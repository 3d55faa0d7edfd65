"""A COCO annotation file as the bytes of its entries, so that what is not changed is written as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rfdetr_train.errors import DatasetError

Raw = msgspec.Raw
Entry = msgspec.Raw | bytes
Id = int | float | str | None
BigInts = NDArray[np.object_]
"""Whole numbers that may have more than 64 bits, as ids may."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Annotation(msgspec.Struct, gc=False):
    """What is looked at in an annotation that may stay as it is."""

    id: Id = None
    area: float | None = None


@dataclass
class RawCoco:
    """An annotation file.

    Attributes:
        fields: Everything in it, in its order.
        images: Entries of ``images``.
        categories: Entries of ``categories`` by field.
        annotations: Entries of ``annotations``.
        is_plain: Whether any reader takes its bytes: JSON without a byte order mark and NaN, and with all three lists.
    """

    fields: dict[str, Raw]
    images: list[Raw]
    categories: list[dict[str, Raw]]
    annotations: list[Raw]
    is_plain: bool


def parse_raw(data: bytes, where: str) -> RawCoco:
    """Take an annotation file apart; what is NaN or infinite in it becomes null.

    Raises:
        DatasetError: It is no COCO file.
    """
    is_plain = not data.startswith(BYTE_ORDER_MARK)
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        try:
            fields = msgspec.json.decode(data, type=dict[str, Raw])
        except msgspec.DecodeError:
            is_plain = False
            plain = json.dumps(json.loads(data, parse_constant=lambda _: None))
            fields = msgspec.json.decode(plain, type=dict[str, Raw])
        return RawCoco(
            fields,
            msgspec.json.decode(fields["images"], type=list[Raw]),
            msgspec.json.decode(fields["categories"], type=list[dict[str, Raw]]),
            msgspec.json.decode(fields.get("annotations", b"[]"), type=list[Raw]),
            is_plain and "annotations" in fields,
        )
    except (msgspec.DecodeError, KeyError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"{where} cannot be read as COCO: {error}. It changed while it was read, or is cut off."
        ) from None


def ids_and_areas(entries: Sequence[Raw]) -> tuple[list[Id], list[bool]]:
    """Return the ids of annotations, and whether they have an area."""
    decoder = msgspec.json.Decoder(_Annotation)
    found = [decoder.decode(entry) for entry in entries]
    return [entry.id for entry in found], [entry.area is not None for entry in found]


def fields_of(entry: Raw) -> dict[str, Raw]:
    """Return the fields of an entry."""
    return msgspec.json.decode(entry, type=dict[str, Raw])


def value_of(field: Raw | None) -> Any:
    """Return a field as a Python value; None where there is none."""
    return None if field is None else msgspec.json.decode(field)


def patched(entry: Raw, patch: Mapping[str, object]) -> Entry:
    """Return an entry with other values in some fields: the same bytes where it has them already.

    An id that was no whole number stays as ``source_id``.
    """
    if not patch:
        return entry
    fields = fields_of(entry)
    return msgspec.json.encode(fields) if patch_fields(fields, patch) else entry


def patch_fields(fields: dict[str, Raw], patch: Mapping[str, object]) -> bool:
    """Put values into the fields of an entry, and say whether any is another than before."""
    old = {name: value_of(fields.get(name)) for name in patch}
    # 1.0 is no whole number to everybody.
    changed = {name: value for name, value in patch.items() if (old[name], type(old[name])) != (value, type(value))}
    if "id" in changed and old["id"] is not None and not isinstance(old["id"], int):
        fields.setdefault("source_id", fields["id"])
    fields.update({name: Raw(msgspec.json.encode(value)) for name, value in changed.items()})
    return bool(changed)


def write_raw(
    path: Path,
    raw: RawCoco,
    images: Iterable[Entry],
    categories: Sequence[Mapping[str, Raw]],
    annotations: Iterable[Entry],
) -> None:
    """Write an annotation file with other entries; everything else as it was."""
    entries = {"images": images, "categories": map(msgspec.json.encode, categories), "annotations": annotations}
    with path.open("wb", buffering=1 << 20) as file:
        separator = b"{"
        for name in [*raw.fields, *(name for name in entries if name not in raw.fields)]:
            file.write(separator + msgspec.json.encode(name) + b": ")
            if name in entries:
                _write_list(file, entries[name])
            else:
                file.write(raw.fields[name])
            separator = b", "
        file.write(b"}")


def _write_list(file: IO[bytes], entries: Iterable[Entry]) -> None:
    """Write a JSON list."""
    separator = b"["
    for entry in entries:
        file.write(separator)
        file.write(entry)
        separator = b", "
    file.write(b"]" if separator != b"[" else b"[]")
