"""Name the format of a labelled dataset and check it."""

from typing import NamedTuple

from kfp import dsl

from rfdetr_pipelines.components.images import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def detect_dataset(
    dataset_dir: str,
    report: dsl.Output[dsl.Markdown],
    findings: dsl.Output[dsl.Artifact],
    eval_split: str = "test",
    dataset_format: str = "",
    dataset_task: str = "",
    on_data_error: str = "fail",
    on_data_warning: str = "warn",
) -> NamedTuple("Detected", [("format", str), ("fingerprint", str), ("revision", str)]):
    """Name the format of a labelled image dataset and check its annotations, before a GPU is asked for.

    Args:
        dataset_dir: Folder, .zip or .tar archive, or s3:// URI of either, in COCO or YOLO format.
        report: What was found, for people.
        findings: The same as JSON.
        eval_split: Split that the evaluation will score, test or valid; it must exist.
        dataset_format: Format where the files cannot tell: coco or yolo.
        dataset_task: What the labels were made for, where their rows cannot tell: detect, segment, pose or obb.
        on_data_error: What errors do: fail, warn or drop.
        on_data_warning: What warnings do: fail, warn or drop.

    Returns:
        format: coco or yolo.
        fingerprint: Changes when, and only when, the data changes.
        revision: Changes when objects in S3 are written, also with what they held before; empty elsewhere.
    """
    from rfdetr_train import steps

    options = steps.DataOptions(dataset_format, dataset_task, on_data_error, on_data_warning)
    found = steps.detect_dataset(dataset_dir, eval_split, options, markdown=report.path, json_report=findings.path)
    return found.format, found.fingerprint, found.revision
