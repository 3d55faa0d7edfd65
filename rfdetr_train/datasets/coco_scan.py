"""Looks at parts of a COCO annotation file that is too large to be read for a first answer."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from rfdetr_train.storage import Store, map_parallel

_WINDOWS = 128
_WINDOW = 16 << 10  # bytes
_IMAGE_WINDOWS = 32
_CHUNK = 4 << 20
_COUNTED = 64 << 20  # bytes of a list whose entries are counted one by one, which takes 0.05 s
_MOST_GAPS = 8
_CATEGORIES = 8 << 20
_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
# With one level of braces inside, as in run-length encoded segmentations and attributes.
_OBJECT = re.compile(rb"\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+){0,32}+\}")
_BRACKET = re.compile(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]]')
_MARKS = {"images": b'"file_name"', "annotations": b'"image_id"', "categories": b'"name"'}


class Scan(NamedTuple):
    """What parts of an annotation file show.

    Attributes:
        data: An annotation file with all categories, some of the images and some of the annotations.
        images: Images of the whole file.
        annotations: Annotations of the whole file; near to it where the file is very large.
        looked_at: Annotations in ``data``.
    """

    data: bytes
    images: int
    annotations: int
    looked_at: int


class _Window(NamedTuple):
    """A part of the file."""

    start: int
    data: bytes


def scan_coco(store: Store, key: str) -> Scan | None:
    """Look at parts of an annotation file, None where they do not show how it is made."""
    size = store.size(key)
    windows = _read(store, key, 0, size, _WINDOWS)
    starts = _list_starts(store, key, windows)
    if starts.keys() != _MARKS.keys():
        return None
    ends = {name: min([start for start in starts.values() if start > starts[name]], default=size) for name in starts}
    categories = _first_array(store.read_range(key, starts["categories"], _CATEGORIES))
    some = _read(store, key, starts["images"], ends["images"], _IMAGE_WINDOWS)
    images = _objects(some, _MARKS["images"])
    inside = [window for window in windows if starts["annotations"] <= window.start < ends["annotations"]]
    annotations = _objects(inside, _MARKS["annotations"])
    if not (categories and images and annotations):
        return None
    lists = {b"images": b"[%b]" % b",".join(images), b"annotations": b"[%b]" % b",".join(annotations)}
    text = b",".join(b'"%b":%b' % pair for pair in {**lists, b"categories": categories}.items())
    return Scan(
        b"{%b}" % text,
        _count(store, key, starts["images"], ends["images"], _MARKS["images"], some),
        _count(store, key, starts["annotations"], ends["annotations"], _MARKS["annotations"], inside),
        len(annotations),
    )


def _read(store: Store, key: str, start: int, stop: int, count: int) -> list[_Window]:
    """Read parts that are spread evenly; fewer of them where they would overlap."""
    count = max(min(count, (stop - start) // _WINDOW), 1)
    last = max(stop - start - _WINDOW, 0)
    places = [start + last * number // max(count - 1, 1) for number in range(count)]
    parts = map_parallel(lambda at: store.read_range(key, at, min(_WINDOW, stop - at)), places, store.parallelism)
    return [_Window(*pair) for pair in zip(places, parts, strict=True)]


def _list_starts(store: Store, key: str, windows: list[_Window]) -> dict[str, int]:
    """Return where the lists begin, at their bracket: at both ends of the file, or between windows that differ."""
    kinds = [_kind(window.data) for window in windows]
    gaps = [_Window(0, windows[0].data), windows[-1]]
    before = 0
    for number, kind in enumerate(kinds):
        # A window inside of one long polygon shows nothing.
        if kind and kinds[before] and kind != kinds[before]:
            start, stop = windows[before].start, windows[number].start + _WINDOW
            gaps.append(_Window(start, store.read_range(key, start, stop - start)))
        before = number if kind else before
        if len(gaps) > _MOST_GAPS:
            return {}
    found = [(gap.start + match.end() - 1, match[1].decode()) for gap in gaps for match in _LIST.finditer(gap.data)]
    starts: dict[str, int] = {}
    for start, name in sorted(found):
        starts.setdefault(name, start)
    return starts


def _kind(data: bytes) -> str:
    """Return the list that a part shows most of, "" where it shows none."""
    counts = {name: data.count(mark) for name, mark in _MARKS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else ""


def _first_array(data: bytes) -> bytes:
    """Return the array that data begins with, b"" where it does not end."""
    depth = 0
    for match in _BRACKET.finditer(data):
        depth += {b"[": 1, b"]": -1}.get(match[0], 0)
        if depth == 0:
            return data[: match.end()]
    return b""


def _objects(windows: list[_Window], mark: bytes) -> list[bytes]:
    """Return the whole objects with a mark in them, each once."""
    found = dict.fromkeys(match[0] for window in windows for match in _OBJECT.finditer(window.data) if mark in match[0])
    return [text for text in found if _is_json(text)]


def _is_json(text: bytes) -> bool:
    """Whether an object is whole; a brace in a text can make it look so."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _count(store: Store, key: str, start: int, stop: int, mark: bytes, windows: list[_Window]) -> int:
    """Return the number of entries of a list: one by one where that is quick, else by how dense they are."""
    if stop - start > _COUNTED:
        seen = sum(window.data.count(mark) for window in windows)
        return round(seen * (stop - start) / max(sum(len(window.data) for window in windows), 1))
    # Parts overlap by less than a mark, so that none is lost between them and none is counted twice.
    step = _CHUNK - len(mark) + 1
    parts = map_parallel(
        lambda at: store.read_range(key, at, min(_CHUNK, stop - at)).count(mark),
        range(start, stop, step),
        store.parallelism,
    )
    return sum(parts)
