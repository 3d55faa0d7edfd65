"""Score a checkpoint with the COCO metrics."""

from kfp import dsl

from rfdetr_pipelines.components.images import GPU_IMAGE


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def evaluate_detector(
    parameters: dict,
    dataset: dsl.Input[dsl.Dataset],
    checkpoint: str,
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    evaluation: dsl.Output[dsl.Artifact],
    run_id: str = "",
) -> None:
    """Score a checkpoint on a split with pycocotools, on the original annotations.

    Args:
        parameters: As for train_rfdetr; eval_split, device, batch_size and num_workers are used.
        dataset: What convert_dataset wrote.
        checkpoint: Path or URI of the checkpoint.
        metrics: The COCO numbers and the AP of every class.
        report: The numbers, what was evaluated, and sample predictions.
        evaluation: The same as JSON.
        run_id: MLflow run to log to; none when empty.
    """
    from rfdetr_train import steps

    result = steps.evaluate(parameters, dataset.path, checkpoint, run_id, html=report.path, json_report=evaluation.path)
    metrics.metadata["split"] = result.split
    for name, value in result.scores.finite_metrics().items():
        metrics.log_metric(name, value)
