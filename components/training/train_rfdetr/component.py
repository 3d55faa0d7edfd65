"""Train RF-DETR in this pod."""

from typing import NamedTuple

from kfp import dsl

from rfdetr_pipelines.components.images import GPU_IMAGE


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def train_rfdetr(
    parameters: dict,
    dataset: dsl.Input[dsl.Dataset],
    kfp_run_id: str,
    model: dsl.Output[dsl.Model],
    goodput: dsl.Output[dsl.Markdown],
) -> NamedTuple("Trained", [("run_id", str), ("checkpoint", str)]):
    """Train RF-DETR under torchrun, with every GPU of this pod, into one MLflow run.

    Args:
        parameters: Training and run parameters by name, as resolve_parameters gives them; defaults for the others.
        dataset: What convert_dataset wrote.
        kfp_run_id: Run of the pipeline, dsl.PIPELINE_JOB_ID_PLACEHOLDER; a retry of the step continues its training.
        model: Refers to the checkpoints in the MLflow run; no weights pass through KFP.
        goodput: Where the time went, over all attempts, with GPU hours and cost.

    Returns:
        run_id: MLflow run of the training.
        checkpoint: URI of the best checkpoint, whose content never changes.
    """
    from rfdetr_train import steps

    result = steps.train(parameters, dataset.path, kfp_run_id=kfp_run_id, goodput=goodput.path)
    # Not s3://: the KFP launcher would try to upload an output artifact with such a URI to its own bucket and fail.
    model.uri = result.checkpoint
    model.metadata["mlflow_run_id"] = result.run_id
    model.metadata["completed_epochs"] = result.completed_epochs
    model.metadata["goodput"] = result.goodput.ratio
    return result.run_id, result.checkpoint
