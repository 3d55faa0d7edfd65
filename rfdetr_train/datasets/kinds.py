"""The catalogue of findings: what can be wrong with a dataset, how bad it is, and what to do about it.

Codes are stable across versions. ``error`` is what changes silently what a model learns or how it is measured, or what
stops the trainer; ``warning`` is what we understand and handle, and people should know; ``info`` is worth a line.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from rfdetr_train.datasets.model import Severity

Dropped = Literal["", "box", "image", "class"]


class Kind(NamedTuple):
    """A kind of finding.

    Attributes:
        severity: Unless a place of use says otherwise.
        message: What is wrong, in a sentence.
        fix: What to do about it, or what is done.
        drops: What the policy ``drop`` leaves out because of it: the box, the image with its boxes, the second class
            of a name (its boxes go to the first), or "" where leaving something out does not help.
    """

    severity: Severity
    message: str
    fix: str
    drops: Dropped = ""


KINDS = {
    # Splits
    "missing-split": Kind(
        "error",
        "A split that is needed is not there.",
        "Add it. Without a test split, eval_split=valid scores on the split that chose the checkpoint.",
    ),
    "empty-split": Kind("error", "A split has nothing to learn or to measure.", "Add labelled images to it."),
    "leaked-image": Kind(
        "error",
        "The same image, byte for byte, is in train and in another split: scores on it measure memory.",
        "Remove it from one of the splits.",
        "image",
    ),
    # Images
    "missing-image": Kind(
        "error",
        "An image that the annotations name does not exist.",
        "Add the image or remove its annotations.",
        "image",
    ),
    "unsafe-file-name": Kind(
        "error",
        "The name of an image leaves the dataset.",
        "Write file_name relative to the folder of the images.",
        "image",
    ),
    "backslash-in-name": Kind(
        "warning",
        "The name of an image has backslashes, as on Windows; RF-DETR does not find it.",
        "They are read as '/', which a conversion writes.",
    ),
    "unreadable-image": Kind(
        "error",
        "An image is empty, or no JPEG, PNG, BMP, WebP, TIFF or GIF.",
        "Save the image again or remove it.",
        "image",
    ),
    "truncated-image": Kind("error", "An image ends before its time.", "Copy or export it again.", "image"),
    "oversized-image": Kind(
        "error",
        "An image has more pixels than the limit; decoding it could take all memory.",
        "Scale it down, or raise RFDETR_MAX_IMAGE_PIXELS.",
        "image",
    ),
    "size-mismatch": Kind(
        "warning",
        "The annotations give another width and height than the image has; boxes are taken as pixels of the image.",
        "The size of the image is used. Correct width and height.",
    ),
    "exif-orientation": Kind(
        "warning",
        "An image is shown turned or mirrored by an EXIF tag that RF-DETR does not read.",
        "A prepared copy is written upright in the frame of its boxes; --exif says which frame that is.",
    ),
    "wrong-extension": Kind("warning", "An image is of another format than its extension says.", "Rename it."),
    "unusual-pixels": Kind(
        "warning",
        "An image is CMYK or has 16 bits a channel; as 8-bit RGB it may look different than where it was labelled.",
        "Save it as 8-bit RGB.",
    ),
    "duplicate-stem": Kind(
        "warning",
        "Two images differ only in extension, case or folder; YOLO finds labels by the stem.",
        "Converted files get names of their own.",
    ),
    "duplicate-file-name": Kind(
        "warning",
        "Two entries of 'images' name one file.",
        "They become one image with the annotations of both.",
    ),
    "duplicate-image": Kind("info", "Two images of a split are the same, byte for byte.", "Both are kept."),
    "unlabelled-images": Kind("info", "An image has no boxes.", "It is used as background."),
    "missing-label": Kind("info", "An image has no label file.", "It is used as background."),
    # Annotations
    "missing-bbox": Kind(
        "error", "An annotation has no 'bbox' of four numbers.", "Write bbox as [x, y, width, height].", "box"
    ),
    "unknown-category": Kind(
        "error",
        "An annotation has a category_id that 'categories' does not list.",
        "Add the category or correct the id.",
        "box",
    ),
    "unknown-image": Kind(
        "error",
        "An annotation has an image_id that 'images' does not list.",
        "Add the image or remove the annotation.",
        "box",
    ),
    "duplicate-image-id": Kind(
        "error", "Two images have the same id, so that their annotations cannot be told apart.", "Give each its own id."
    ),
    "duplicate-annotation-id": Kind(
        "error",
        "Two annotations have the same id; COCO tools keep one of them.",
        "Give every annotation its own id; a conversion numbers them anew.",
        "",
    ),
    "duplicate-category-id": Kind("error", "Two categories have the same id.", "Give every category its own id."),
    "string-id": Kind(
        "warning",
        "Ids are strings, decimals or missing; COCO and RF-DETR want whole numbers.",
        "A conversion numbers them anew.",
    ),
    "missing-area": Kind(
        "warning", "An annotation has no 'area', at which RF-DETR stops.", "A conversion writes width x height."
    ),
    "missing-size": Kind(
        "warning", "An image has no width and height in the annotations.", "A conversion reads them from the image."
    ),
    "degenerate-box": Kind(
        "warning",
        "A box has no area inside its image: width or height is zero, negative or not a number, or it lies outside.",
        "It is left out of training and of converted files.",
        "box",
    ),
    "box-outside-image": Kind(
        "warning", "A box reaches over the edge of its image.", "It is clipped to the image in training and conversion."
    ),
    "duplicate-box": Kind("info", "An image has the same box with the same class more than once.", "All are kept."),
    "crowd-region": Kind(
        "info",
        "An annotation is a crowd region.",
        "It is not trained on, and ignored in evaluation; YOLO cannot hold it.",
    ),
    # Classes
    "category-mismatch": Kind(
        "error",
        "A category id has another name than in the train split; every label of it would be wrong.",
        "Use the categories of the train split in all splits.",
    ),
    "category-renumbered": Kind(
        "warning",
        "A category has another id than in the train split.",
        "Its name decides; a conversion writes one id for it in all splits.",
    ),
    "class-only-in-valid": Kind(
        "error",
        "The valid or test split has a class that the train split never shows.",
        "Add examples to train, or remove the class from the other splits.",
        "box",
    ),
    "duplicate-class-name": Kind(
        "error",
        "Two classes have the same name; the model would learn them as two that nobody can tell apart.",
        "Rename one, or merge them; --on-error warn merges them.",
        "class",
    ),
    "class-id-gap": Kind(
        "warning",
        "Class ids are not 0 to n-1.",
        "Classes are numbered anew in the order of their ids; dataset.json has the mapping.",
    ),
    "class-count": Kind("error", "'nc' and the number of 'names' differ.", "Correct nc or names."),
    "missing-class-names": Kind(
        "warning", "No file names the classes.", "They are called by their ids. Add names to data.yaml."
    ),
    "unused-parent-category": Kind(
        "info",
        "A category groups others and has no annotation of its own.",
        "It is not a class of the model, as in RF-DETR.",
    ),
    # Label rows
    "class-id-out-of-range": Kind(
        "error",
        "A label row has a class id that 'names' does not list.",
        "Correct the row or add the class to names.",
        "box",
    ),
    "malformed-row": Kind(
        "error",
        "A label row is neither 'class x y width height' nor 'class' with at least three points.",
        "Correct or remove the row. Rows with keypoints need kpt_shape in data.yaml.",
        "box",
    ),
    "orphan-label": Kind(
        "error", "A label file has no image; what it labels is lost.", "Add the image or remove the file.", "box"
    ),
    "mixed-rows": Kind(
        "warning", "A label file has boxes and polygons; Ultralytics drops such a file.", "Every row becomes its box."
    ),
    "polygon-row": Kind("warning", "A label row is a polygon.", "Its bounding box is used."),
    "keypoint-row": Kind("warning", "A label row has keypoints.", "Its box is used, the keypoints are not."),
    "track-id": Kind("warning", "A label row has a track id after its box.", "It is ignored."),
    "byte-order-mark": Kind(
        "warning", "A file begins with a byte order mark, at which RF-DETR stops.", "It is ignored."
    ),
    "float-class-id": Kind(
        "warning", "A class id is written as a decimal (0.0), at which RF-DETR stops.", "It is read as a whole number."
    ),
    "decimal-comma": Kind(
        "warning", "A label row has decimal commas.", "They are read as points. Export with another locale."
    ),
    "malformed-polygon": Kind(
        "warning", "A polygon has an odd number of values, or fewer than three points.", "Its box is used without it."
    ),
    "ambiguous-task": Kind(
        "warning",
        "Rows of four points can be polygons or oriented boxes; the bytes do not tell.",
        "Their bounding boxes are used. Say which with --task segment or --task obb.",
    ),
    # Files
    "nan-in-json": Kind(
        "warning",
        "An annotation file holds NaN or Infinity, which JSON does not have and other readers stop at.",
        "They are read as what they mean. Export the file again.",
    ),
    "foreign-path": Kind(
        "info",
        "'path' or a split in the data file is a place on another machine.",
        "What lies beside the data file is used.",
    ),
    "unused-file": Kind("info", "An annotation file is not used.", "Remove it if it should not be here."),
    "download-ignored": Kind("info", "The data file has 'download'.", "It is never run."),
}
"""In the order in which findings of one severity are shown."""
