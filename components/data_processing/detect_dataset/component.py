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
) -> NamedTuple("Detected", [("format", str), ("fingerprint", str)]):
    """Name the format of a labelled image dataset and check it, before a GPU is asked for.

    Args:
        dataset_dir: Folder or s3:// URI, in COCO or YOLO format.
        report: What was found, for people.
        findings: The same as JSON.
        eval_split: Split that the evaluation will score, test or valid; it must exist.

    Returns:
        format: coco or yolo.
        fingerprint: Changes when, and only when, the data changes.
    """
    from rfdetr_train import steps

    found = steps.detect_dataset(dataset_dir, eval_split, markdown=report.path, json_report=findings.path)
    return found.format, found.fingerprint
