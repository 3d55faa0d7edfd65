"""Write the COCO annotations and the manifest of a dataset."""

from kfp import dsl

from rfdetr_pipelines.components.images import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def convert_dataset(
    dataset_dir: str,
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.Markdown],
    fingerprint: str = "",
    revision: str = "",
    dataset_format: str = "",
    dataset_task: str = "",
    on_data_error: str = "fail",
    on_data_warning: str = "warn",
) -> None:
    """Convert a YOLO dataset to COCO, or take over a COCO one; image headers are checked, images are not copied.

    Args:
        dataset_dir: Folder, .zip or .tar archive, or s3:// URI of either, in COCO or YOLO format.
        dataset: COCO annotations of each split and dataset.json, which says where each image is.
        report: What was found in annotations and images, and what was changed, for people.
        fingerprint: Fingerprint that detect_dataset found; a dataset that has changed since is refused.
        revision: Revision that detect_dataset found; a cached result is of the same one.
        dataset_format: Format where the files cannot tell: coco or yolo.
        dataset_task: What the labels were made for, where their rows cannot tell: detect, segment, pose or obb.
        on_data_error: What errors do: fail, warn or drop.
        on_data_warning: What warnings do: fail, warn or drop.
    """
    from rfdetr_train import steps

    options = steps.DataOptions(dataset_format, dataset_task, on_data_error, on_data_warning)
    steps.convert_dataset(dataset_dir, dataset.path, options, fingerprint=fingerprint, markdown=report.path)
    dataset.metadata["source"] = dataset_dir
    dataset.metadata["fingerprint"] = fingerprint
    dataset.metadata["revision"] = revision
