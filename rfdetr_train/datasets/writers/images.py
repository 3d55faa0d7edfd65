"""Takes over the images of a split: refers to them, links or copies them, or has a server copy them."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rfdetr_train.datasets.bake import upright
from rfdetr_train.datasets.manifest import HERE, Images, PreparedImage, PreparedSplit, place_of
from rfdetr_train.datasets.model import printable
from rfdetr_train.datasets.progress import Progress
from rfdetr_train.datasets.transfer import transfer
from rfdetr_train.errors import DatasetError, ParameterError
from rfdetr_train.storage import Location, Store, Wanted, map_parallel, open_store, parse_location


@dataclass(frozen=True)
class Output:
    """Where a dataset is written.

    Attributes:
        folder: A folder on this machine, from which a bucket is filled.
        location: Where it will be.
        images: How images are taken over.
    """

    folder: Path
    location: Location
    images: Images


def place_images(store: Store, split: PreparedSplit, output: Output) -> PreparedSplit:
    """Take over the images of a split.

    Args:
        store: Where they lie.
        split: The split, with the images where they are.
        output: Where it is written.

    Returns:
        The split, with the images where they are now.

    Raises:
        DatasetError: An image is gone or has changed, or cannot be turned upright.
    """
    if output.images == "none":
        return PreparedSplit(split.annotations, split.image_folder, HERE, [])
    if output.images == "reference" or not split.images:
        return split
    bring = _copy_on_server if output.images == "server-copy" else _bring
    sizes = bring(store, split, output)
    here = [PreparedImage(image.file_name, place_of(split, image), sizes[image.file_name]) for image in split.images]
    return PreparedSplit(split.annotations, split.image_folder, HERE, here)


def _bring(store: Store, split: PreparedSplit, output: Output) -> Mapping[str, int]:
    """Link or copy images, and return the size of each."""
    places = {output.folder / place_of(split, image): image for image in split.images}
    wanted = [Wanted(image.key, image.size, place, image.etag) for place, image in places.items()]
    turned = {place: image for place, image in places.items() if image.action}

    def finish(item: Wanted) -> None:
        if item.destination in turned:
            upright(item.destination, turned[item.destination].action)

    what = f"{split.image_folder}: images"
    workers = (os.cpu_count() or 1) if turned else 1
    transfer(store, wanted, what, link=output.images == "link", finish=finish, workers=workers)
    sizes = {image.file_name: image.size for image in split.images}
    return sizes | {image.file_name: place.stat().st_size for place, image in turned.items()}


def check_server_copy(source: Store, output: Location) -> None:
    """Refuse places between which no server copies.

    Raises:
        ParameterError: One of them is not in S3, or they are in two buckets.
    """
    location = parse_location(source.uri)
    if output.scheme != "s3":
        raise ParameterError("images: 'server-copy' writes to S3. Give an output s3://bucket/prefix, or images 'copy'.")
    if location.scheme != "s3" or location.names_archive:
        raise ParameterError(
            "images: 'server-copy' reads from a prefix in S3, not from a folder of this machine or an archive. "
            "Upload or unpack the dataset first, or write to a folder."
        )
    if location.root != output.root:
        raise ParameterError(
            f"images: 'server-copy' copies inside one bucket; the dataset is in '{location.root}', the output in "
            f"'{output.root}'. Name an output in s3://{location.root}/."
        )


def _copy_on_server(source: Store, split: PreparedSplit, output: Output) -> Mapping[str, int]:
    """Copy images inside a bucket, and return the size of each; those that are turned go through this machine."""
    location = parse_location(source.uri)
    bucket = open_store(f"s3://{location.root}")
    progress = Progress(f"{split.image_folder}: copies in the bucket", len(split.images))

    def copy(image: PreparedImage) -> None:
        start = posixpath.join(location.prefix, image.key)
        end = posixpath.join(output.location.prefix, place_of(split, image))
        if image.action:
            _through_here(bucket, start, end, image)
        elif not bucket.copy(start, end):
            raise ParameterError("images: this store cannot copy by itself. Write to a folder with images 'copy'.")

    try:
        for _ in map_parallel(copy, split.images, bucket.parallelism):
            progress.advance(0)
    except FileNotFoundError as error:
        raise DatasetError(
            f"An image is no longer there: {printable(str(error))}. The dataset has changed: convert it again."
        ) from None
    return _copied_sizes(bucket, split, output)


def _through_here(bucket: Store, start: str, end: str, image: PreparedImage) -> None:
    """Turn an image upright on its way."""
    with tempfile.TemporaryDirectory(prefix="rfdetr-upright-") as work:
        path = Path(work) / posixpath.basename(image.file_name)
        bucket.fetch(start, path, version=image.etag)
        upright(path, image.action)
        bucket.put_file(end, path)


def _copied_sizes(bucket: Store, split: PreparedSplit, output: Output) -> Mapping[str, int]:
    """Return the sizes of the copies, which must be those that were listed."""
    folder = posixpath.join(output.location.prefix, split.image_folder)
    found = {info.key[len(folder) + 1 :]: info.size for info in bucket.list(folder)}
    changed: Sequence[str] = [
        image.file_name for image in split.images if not image.action and found.get(image.file_name) != image.size
    ]
    if changed:
        raise DatasetError(
            f"The image {printable(changed[0])} has another size than when it was listed. "
            "The dataset has changed: convert it again."
        )
    return found
