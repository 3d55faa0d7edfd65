"""From a folder of labelled images to a trained and evaluated RF-DETR detector."""

from kfp import dsl, kubernetes
from kfp.dsl.pipeline_channel import PipelineChannel

from rfdetr_pipelines.components.data_processing.convert_dataset import convert_dataset
from rfdetr_pipelines.components.data_processing.detect_dataset import detect_dataset
from rfdetr_pipelines.components.deployment.report_status import report_status
from rfdetr_pipelines.components.evaluation.evaluate_detector import evaluate_detector
from rfdetr_pipelines.components.training.resolve_parameters import resolve_parameters
from rfdetr_pipelines.components.training.train_rfdetr import train_rfdetr

# Both are optional in the namespace: without them the pods use what the platform gives them.
CONFIG_MAP = "rfdetr-pipelines"
CONFIG_MAP_KEYS = (
    "MLFLOW_TRACKING_URI",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_CA_BUNDLE",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "RFDETR_ALLOWED_ENDPOINTS",
    "WANDB_MODE",
)
SECRET = "rfdetr-pipelines"
SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "WANDB_API_KEY",
)


def _give_resources(
    task: dsl.PipelineTask, *, cpu: PipelineChannel, memory: PipelineChannel, gpus: PipelineChannel
) -> None:
    task.set_cpu_limit(cpu).set_memory_limit(memory)
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
    # The setters do not announce their channels to the group that the task is in (kfp 2.16, 2.17): without this line
    # the compiled group lacks the inputs and the run fails on the cluster.
    task.register_pipeline_channels([cpu, memory, gpus])
    # Data loading workers pass batches through /dev/shm, of which a pod has 64 MB: they die of "bus error" there.
    kubernetes.empty_dir_mount(task, volume_name="dshm", mount_path="/dev/shm", medium="Memory")


def _survive_preemption(task: dsl.PipelineTask) -> None:
    """Let the training continue by itself: a retry has the same KFP run id, and so the same MLflow run and last commit.

    Argo knows no exit codes here and retries every failed pod, but a training that diverged or ran out of memory is
    refused at once when it is repeated. A pod that was deleted with its node is an error and no failure to Argo, and
    is not retried: see docs/decisions/06-resume-is-exact.md.
    """
    task.set_retry(
        num_retries=8,
        backoff_duration="15s",
        backoff_factor=2,
        # Not the longest pause: Argo allows this long for all attempts together, from the start of the first. KFP's
        # default is an hour, after which no retry begins and one that trains is killed.
        backoff_max_duration="30d",
    )


def _connect(task: dsl.PipelineTask) -> None:
    """Give a task the addresses and credentials of S3, MLflow and W&B, by reference."""
    kubernetes.use_config_map_as_env(
        task, config_map_name=CONFIG_MAP, config_map_key_to_env={key: key for key in CONFIG_MAP_KEYS}, optional=True
    )
    kubernetes.use_secret_as_env(
        task, secret_name=SECRET, secret_key_to_env={key: key for key in SECRET_KEYS}, optional=True
    )


@dsl.pipeline(
    name="rfdetr-training",
    display_name="RF-DETR training",
    description="From a folder of labelled images (COCO or YOLO) to a trained and evaluated RF-DETR detector.",
)
def rfdetr_training(
    dataset_dir: str,
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
) -> None:
    """Detect, convert, train, evaluate.

    Args:
        dataset_dir: Path to COCO or YOLO formatted dataset with train/valid/test splits.
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
    """
    values = dict(locals())
    final = report_status().set_caching_options(False)
    _connect(final)
    with dsl.ExitHandler(final, name="run"):
        resolved = resolve_parameters(**values).set_caching_options(False)
        reading = {
            "dataset_dir": dataset_dir,
            "dataset_format": dataset_format,
            "dataset_task": dataset_task,
            "on_data_error": on_data_error,
            "on_data_warning": on_data_warning,
        }
        detected = detect_dataset(**reading, eval_split=eval_split).after(resolved)
        # What lies behind a URI is not in KFP's cache key. The fingerprint is, and the revision: objects that were
        # written anew have other content tags, on which staging insists. So only the conversion may be cached.
        detected.set_caching_options(False)
        converted = convert_dataset(
            **reading, fingerprint=detected.outputs["fingerprint"], revision=detected.outputs["revision"]
        )
        converted.set_caching_options(True)
        # A branch for another launcher goes beside this task; it returns the same two strings.
        trained = train_rfdetr(
            parameters=resolved.outputs["parameters"],
            dataset=converted.outputs["dataset"],
            kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        )
        _survive_preemption(trained)
        _give_resources(trained, cpu=cpu, memory=memory, gpus=resolved.outputs["gpus"])
        trained.set_caching_options(False)
        evaluated = evaluate_detector(
            parameters=resolved.outputs["parameters"],
            dataset=converted.outputs["dataset"],
            checkpoint=trained.outputs["checkpoint"],
            run_id=trained.outputs["run_id"],
        )
        _give_resources(evaluated, cpu=cpu, memory=memory, gpus=resolved.outputs["gpus"])
        evaluated.set_caching_options(False)
        for task in (resolved, detected, converted, trained, evaluated):
            _connect(task)
