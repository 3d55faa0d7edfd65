"""Write the COCO annotations and the manifest of a dataset."""

from kfp import dsl

from rfdetr_pipelines.components.images import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def convert_dataset(
    dataset_dir: str,
    dataset: dsl.Output[dsl.Dataset],
    fingerprint: str = "",
) -> None:
    """Convert a YOLO dataset to COCO, or take over a COCO one; images are referenced, not copied.

    Args:
        dataset_dir: Folder or s3:// URI, in COCO or YOLO format.
        dataset: COCO annotations of each split and dataset.json, which says where each image is.
        fingerprint: Fingerprint that detect_dataset found; a dataset that has changed since is refused.
    """
    from rfdetr_train import steps

    steps.convert_dataset(dataset_dir, fingerprint, dataset.path)
    dataset.metadata["source"] = dataset_dir
    dataset.metadata["fingerprint"] = fingerprint
