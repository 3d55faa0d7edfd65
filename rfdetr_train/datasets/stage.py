"""Brings a prepared dataset to a local disk, in the layout that training reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rfdetr_train.datasets.bake import upright
from rfdetr_train.datasets.manifest import HERE, Prepared, PreparedImage, place_of, read_manifest
from rfdetr_train.datasets.room import check_room
from rfdetr_train.datasets.staged import Missing, StagedFolder, put_in_place, staging_to
from rfdetr_train.datasets.transfer import CORES, transfer
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import Store, Wanted, open_store


def stage(prepared_dir: str | Path, destination: str | Path, *, image_splits: Sequence[str] | None = None) -> Path:
    """Make the local folder that training reads: ``<split>/_annotations.coco.json`` beside the images.

    Images on the same disk become hard links, others are copied, many at a time; an archive is unpacked while it comes.
    What an earlier, interrupted call brought is kept, where the same size and content tag are wanted still. Of several
    processes that stage to one folder, one works and the others wait. A destination with another dataset of ours is
    cleared first.

    Args:
        prepared_dir: What ``convert`` wrote, in COCO.
        destination: Folder on a local disk.
        image_splits: Splits whose images are wanted; all by default. Annotations always come, the label space too.

    Returns:
        The destination.

    Raises:
        DatasetError: An image is missing or is another one than when the dataset was converted.
        InfrastructureError: The images do not fit on the disk.
        ParameterError: The prepared dataset is not COCO or has no images, or the destination holds something else.
    """
    prepared_path, folder = Path(prepared_dir), Path(destination)
    prepared = read_manifest(prepared_path)
    if prepared.format != "coco":
        raise ParameterError(f"{prepared_path} is {prepared.format}; training reads COCO. Convert with target coco.")
    if prepared.images == "none":
        raise ParameterError(
            f"{prepared_path} holds labels without images, and training reads both. Convert with images reference."
        )
    with staging_to(folder, prepared.fingerprint) as staged:
        images = _images(prepared, image_splits)
        missing = staged.missing({place: image for place, (_, image) in images.items()})
        batches: dict[str, list[Missing]] = {}
        for place, image in missing.items():
            batches.setdefault(images[place][0], []).append(image)
        _bring(staged, folder, [(_open(root, prepared_path), batch) for root, batch in batches.items()])
        for split in prepared.splits.values():
            _stage_annotations(prepared_path, split.annotations, folder)
    return folder


def _images(prepared: Prepared, image_splits: Sequence[str] | None) -> dict[str, tuple[str, PreparedImage]]:
    """Return the wanted images and the roots of their stores, by their places in the folder."""
    return {
        place_of(split, image): (split.image_root, image)
        for name, split in prepared.splits.items()
        if image_splits is None or name in image_splits
        for image in split.images
    }


def _open(root: str, prepared_path: Path) -> Store:
    return open_store(str(prepared_path) if root == HERE else root)


def _bring(staged: StagedFolder, folder: Path, batches: Sequence[tuple[Store, list[Missing]]]) -> None:
    """Bring what is missing; every store is gone through once, for a packed archive can only be read in order."""
    check_room(folder, batches)
    with staged.noting() as note:
        for store, images in batches:
            _bring_batch(store, images, note)


def _bring_batch(store: Store, images: Sequence[Missing], note: Callable[[Missing], None]) -> None:
    """Bring images of one store, and turn those that need it."""
    actions = {str(image.wanted.destination): image.action for image in images if image.action}

    def finish(item: Wanted) -> None:
        action = actions.get(str(item.destination), "")
        upright(item.destination, action)
        note(Missing(item, action))

    wanted = [image.wanted for image in images]
    transfer(store, wanted, "staging", link=True, finish=finish, workers=CORES if actions else 1)


def _stage_annotations(prepared_path: Path, annotations: str, folder: Path) -> None:
    """Copy an annotation file."""
    try:
        data = (prepared_path / annotations).read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{prepared_path / annotations} is missing. Convert the dataset again.") from None
    put_in_place(folder / annotations, data)
