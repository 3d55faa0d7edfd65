"""A listing seen as folders. Datasets have hundreds of thousands of files: what passes over all of them does little."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.yolo import IMAGE_EXTENSIONS, is_image
from rfdetr_train.errors import DatasetError
from rfdetr_train.storage import Store

# Names of files that unpacking and file managers leave behind; what is hidden begins with a dot.
_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
_DATA_FILES = ("/_annotations.coco.json", "/data.yaml", "/data.yml", "/obj.data")
# Four letters tell most files at a third of the time that is_image takes.
_IMAGES = frozenset(end for text in IMAGE_EXTENSIONS if len(text) == 4 for end in (text, text.upper()))
_COMMON = {*_IMAGES, ".txt", "jpeg", "JPEG", "tiff", "webp"}
_MAX_TEXT_BYTES = 256 << 20
_MAX_LINES = 5_000_000


class Tree(Collection[str]):
    """The files of a dataset, from a folder of the store down; their keys are relative to it.

    Attributes:
        groups: Folder -> the names of the files directly in it; "" is the root.
        root: Where the folder lies, as far as an absolute path could name it.
        parallelism: See ``Store``.
    """

    def __init__(self, store: Store, groups: Mapping[str, list[str]], prefix: str = "") -> None:
        """See files of a store.

        Args:
            store: Where they lie.
            groups: Folder -> names of the files in it.
            prefix: "" or a folder of the store, with a '/' at its end.
        """
        self._store = store
        self._prefix = prefix
        self._sets: dict[str, frozenset[str]] = {}
        self.groups = groups
        self.root = f"{store.uri}/{prefix}".rstrip("/")
        self.parallelism = store.parallelism

    def __contains__(self, key: object) -> bool:
        """Whether there is a file with a key."""
        folder, _, name = str(key).rpartition("/")
        if folder not in self._sets:
            self._sets[folder] = frozenset(self.groups.get(folder, ()))
        return name in self._sets[folder]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys of all files."""
        return (f"{folder}/{name}" if folder else name for folder, names in self.groups.items() for name in names)

    def __len__(self) -> int:
        """Return the number of files."""
        return sum(map(len, self.groups.values()))

    @cached_property
    def folders(self) -> set[str]:
        """Every folder that holds something, at any depth; "" is the root."""
        folders = {""}
        for folder in self.groups:
            while folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return folders

    @cached_property
    def others(self) -> list[str]:
        """What is neither an image nor a text, in order, without hidden files."""
        others = Tree(
            self._store,
            {folder: [name for name in names if name[-4:] not in _COMMON] for folder, names in self.groups.items()},
        )
        return sorted(key for key in others if not is_hidden(key))

    def image_folders(self) -> list[str]:
        """Return the folders that images lie directly in, in order."""
        shown = (folder for folder in self.groups if not is_hidden(f"{folder}/"))
        return sorted(folder for folder in shown if any(map(is_image, self.groups[folder])))

    def has_text(self, folder: str) -> bool:
        """Whether a text file lies directly in a folder."""
        return any(name.endswith(".txt") for name in self.groups.get(folder, ()))

    def images_below(self, folder: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder of images below a folder and itself, with their names; what is hidden is left out."""
        for each, names in self.groups.items():
            if is_below(each, folder) and not is_hidden(f"{each}/"):
                images = [name for name in names if (name[-4:] in _IMAGES or is_image(name)) and name[0] != "."]
                if images:
                    yield each, images

    def nested_data_file(self) -> str:
        """Return the first key of the store that shows a dataset further down, "" where there is none."""
        found = [key for key in self.others if key.endswith(_DATA_FILES) or "/annotations/instances_" in key]
        return self.full(found[0]) if found else ""

    def only_folder(self) -> str:
        """Return the folder in which everything lies, as where a zip file was unpacked; "" where there is none."""
        tops = {folder.split("/", 1)[0] for folder in self.groups if folder and not is_hidden(folder)}
        loose = [name for name in self.groups.get("", ()) if not is_hidden(name)]
        return tops.pop() if len(tops) == 1 and not loose else ""

    def descend(self, folder: str) -> Tree:
        """Return what lies below a folder."""
        groups = {each[len(folder) + 1 :]: names for each, names in self.groups.items() if is_below(each, folder)}
        return Tree(self._store, groups, f"{self._prefix}{folder}/")

    def full(self, key: str) -> str:
        """Return a key of this tree as a key of the store; also of a folder, where "" is this tree."""
        return (self._prefix + key).rstrip("/")

    def short(self, key: str) -> str:
        """Return a key of the store, of something in this tree, as a key of this tree."""
        return key[len(self._prefix) :]

    def read(self, key: str, max_bytes: int = _MAX_TEXT_BYTES) -> bytes:
        """Read a file.

        Raises:
            DatasetError: It is larger than the limit.
        """
        return self._store.read(self.full(key), max_bytes)

    def read_range(self, key: str, start: int, count: int) -> bytes:
        """Read a part of a file."""
        return self._store.read_range(self.full(key), start, count)

    def size(self, key: str) -> int:
        """Return the size of a file in bytes."""
        return self._store.size(self.full(key))

    def read_lines(self, key: str, max_bytes: int = _MAX_TEXT_BYTES) -> tuple[list[str], list[tuple[str, str]]]:
        """Read the lines of a text file, without spaces around them and without empty ones at the end.

        Returns:
            The lines, and a finding where the file begins with a byte order mark.

        Raises:
            DatasetError: It is not UTF-8, or far too large.
        """
        data = self.read(key, max_bytes)
        if data.count(b"\n") > _MAX_LINES:
            raise DatasetError(f"{printable(self.full(key))} has more than {_MAX_LINES:,} lines. Check what it is.")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DatasetError(f"{printable(self.full(key))} is not UTF-8. Save it as UTF-8.") from None
        notes = [("byte-order-mark", self.full(key))] if data.startswith(b"\xef\xbb\xbf") else []
        return [line.strip() for line in text.rstrip().splitlines()], notes


def is_hidden(key: str) -> bool:
    """Whether a file, or a folder above it, is hidden or clutter."""
    return key.startswith((".", *_CLUTTER)) or "/." in key


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or something below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")
