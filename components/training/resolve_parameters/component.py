"""Validate the parameters of a run before a GPU is asked for."""

from typing import NamedTuple

from kfp import dsl

from rfdetr_pipelines.components.images import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def resolve_parameters(
    dataset_dir: str,
    plan: dsl.Output[dsl.Markdown],
    output_dir: str = "output",
    epochs: int = 100,
    batch_size: int = 4,
    grad_accum_steps: int = 4,
    lr: float = 0.0001,
    lr_encoder: float = 0.00015,
    resolution: int = 0,
    weight_decay: float = 0.0001,
    device: str = "cuda",
    use_ema: bool = True,
    gradient_checkpointing: bool = False,
    checkpoint_interval: int = 10,
    resume: str = "",
    tensorboard: bool = True,
    wandb: bool = False,
    project: str = "",
    run: str = "",
    early_stopping: bool = False,
    early_stopping_patience: int = 10,
    early_stopping_min_delta: float = 0.001,
    early_stopping_use_ema: bool = False,
    model: str = "medium",
    pretrain_weights: str = "",
    eval_split: str = "test",
    dataset_format: str = "",
    dataset_task: str = "",
    on_data_error: str = "fail",
    on_data_warning: str = "warn",
    seed: int = 0,
    num_workers: int = 2,
    experiment: str = "rfdetr",
    checkpoint_every_steps: int = 0,
    checkpoint_every_seconds: int = 300,
    hang_timeout: int = 1800,
    gpu_hour_price: float = 0.0,
    launcher: str = "pod",
    num_nodes: int = 1,
    gpus_per_node: int = 1,
    cpu: str = "4",
    memory: str = "16Gi",
    extra_train_args: dict = {},
) -> NamedTuple("Resolved", [("parameters", dict), ("gpus", str)]):
    """Validate the parameters of a training run; a mistake is named with the nearest valid value.

    Args:
        dataset_dir: Path to COCO or YOLO formatted dataset with train/valid/test splits.
        plan: What will be run, for people.
        output_dir: Directory for checkpoints, logs, and other training artifacts.
        epochs: Number of full passes over the dataset.
        batch_size: Samples per iteration. Balance with `grad_accum_steps`.
        grad_accum_steps: Gradient accumulation steps for effective larger batch sizes.
        lr: Learning rate for the model (excluding encoder).
        lr_encoder: Learning rate for the backbone encoder.
        resolution: Input image size (must be divisible by 56 for base, 32 for the others; another multiple of 56 is
            rounded up).
        weight_decay: L2 regularization coefficient.
        device: Training device: cuda, cpu, or mps.
        use_ema: Enable Exponential Moving Average of weights.
        gradient_checkpointing: Trade compute for memory during backprop.
        checkpoint_interval: Save checkpoint every N epochs.
        resume: Path to checkpoint for resuming training; also s3://…, runs:/<run id>, or auto for the unfinished run
            of the same name.
        tensorboard: Enable TensorBoard logging.
        wandb: Enable Weights & Biases logging.
        project: W&B project name.
        run: W&B run name; also the name of the MLflow run.
        early_stopping: Enable early stopping.
        early_stopping_patience: Epochs without improvement before stopping.
        early_stopping_min_delta: Minimum mAP change to qualify as improvement.
        early_stopping_use_ema: Use EMA model for early stopping metrics.
        model: RF-DETR variant: nano, small, medium, base or large.
        pretrain_weights: Starting weights: "" for the official ones, "none" for random initialisation, or a path
            or URI.
        eval_split: Split that the final evaluation scores; valid is the split that chose the checkpoint.
        dataset_format: Format of the dataset where its files cannot tell: coco or yolo.
        dataset_task: What the labels were made for, where their rows cannot tell: detect, segment, pose or obb.
        on_data_error: Errors in the dataset: fail stops before training, warn goes on, drop leaves out what is wrong.
        on_data_warning: Warnings about the dataset: the same choice as on_data_error.
        seed: Seed of the initial weights, the data order and the augmentations.
        num_workers: Data loading processes of each training process.
        experiment: MLflow experiment.
        checkpoint_every_steps: Optimizer steps between two commits of the training state inside an epoch; 0: only
            by time.
        checkpoint_every_seconds: Seconds between two commits of the training state inside an epoch; 0: only by steps.
        hang_timeout: Seconds without a finished batch after which a training process is taken for hung and ended.
        gpu_hour_price: Price of a GPU hour, for the cost in the goodput report; 0: none.
        launcher: Where torchrun runs: pod, the step's own pod.
        num_nodes: Training nodes.
        gpus_per_node: GPUs, and so training processes, of a node; with device=cpu the number of CPU processes.
        cpu: CPU limit of the training pod, as a Kubernetes quantity.
        memory: Memory limit of the training pod, as a Kubernetes quantity.
        extra_train_args: Other arguments of rfdetr's TrainConfig or ModelConfig by name, as a JSON object.

    Returns:
        parameters: All parameters by name, for train_rfdetr and evaluate_detector.
        gpus: GPUs that the training pod needs; 0 when it trains on the CPU.
    """
    values = dict(locals())
    from rfdetr_train import steps

    resolved = steps.resolve_parameters(values, values.pop("plan").path)
    return resolved.as_sent(), str(resolved.gpus)
