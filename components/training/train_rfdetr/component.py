"""Train RF-DETR in this pod."""

from typing import NamedTuple

from kfp import dsl

from rfdetr_pipelines.components.images import GPU_IMAGE


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def train_rfdetr(
    parameters: dict,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> NamedTuple("Trained", [("run_id", str), ("checkpoint", str)]):
    """Train RF-DETR under torchrun, with every GPU of this pod, into one MLflow run.

    Args:
        parameters: Training and run parameters by name, as resolve_parameters gives them; defaults for the others.
        dataset: What convert_dataset wrote.
        model: Refers to the checkpoints in the MLflow run; no weights pass through KFP.

    Returns:
        run_id: MLflow run of the training.
        checkpoint: URI of the best checkpoint.
    """
    from rfdetr_train import steps

    result = steps.train(parameters, dataset.path)
    # Not s3://: the KFP launcher would try to upload an output artifact with such a URI to its own bucket and fail.
    model.uri = result.checkpoint
    model.metadata["mlflow_run_id"] = result.run_id
    model.metadata["completed_epochs"] = result.completed_epochs
    return result.run_id, result.checkpoint
