"""The parameter contract: one table from which everything that has parameters is made.

The first 22 fields of :class:`Parameters` are the training parameters of ``docs/parameters.md`` with RF-DETR's names,
types, defaults and descriptions; the others say where and how the run happens. Validation, the flags of
``rfdetr-train train``, the documentation and rfdetr's own configs all come from this table; tests compare the
signature of the pipeline and the installed rfdetr with it.

Values arrive as strings (UI, CLI) or whole floats (KFP sends 1.0 for 1) and are coerced. KFP has no usable optional
parameters, so "not set" travels as a sentinel: ``""`` for text, ``0`` for numbers (:func:`sentinel`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from rfdetr_train.errors import ParameterError
from rfdetr_train.params_errors import explain
from rfdetr_train.rfdetr_schema import check_extra_train_args, resolve_resolution

ModelName = Literal["nano", "small", "medium", "base", "large"]


def _not_a_bool(value: object) -> object:
    # pydantic takes True for 1; a switch given where a number belongs is a mistake, not a number.
    if isinstance(value, bool):
        raise ValueError("a number, not true or false")
    return value


def _unset(value: object) -> object:
    return None if value in ("", 0, "0", None) else value


def _parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"a JSON object, and this is not JSON ({error})") from None


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


Integer = Annotated[int, BeforeValidator(_not_a_bool)]
Number = Annotated[float, BeforeValidator(_not_a_bool), Field(allow_inf_nan=False)]
OptionalText = Annotated[str | None, BeforeValidator(_blank_is_none)]
OptionalSize = Annotated[int | None, BeforeValidator(_unset), BeforeValidator(_not_a_bool)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_parse_json)]


def _training(default: Any, description: str, **constraints: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": "training"}, **constraints)


def _run(default: Any, description: str, **constraints: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": "run"}, **constraints)


class Parameters(BaseModel):
    """Every parameter of a training run; see the module docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, protected_namespaces=())

    dataset_dir: str = _training(
        ..., "Path to COCO or YOLO formatted dataset with train/valid/test splits.", min_length=1
    )
    output_dir: str = _training(
        "output", "Directory for checkpoints, logs, and other training artifacts.", min_length=1
    )
    epochs: Integer = _training(100, "Number of full passes over the dataset.", ge=1)
    batch_size: Integer = _training(4, "Samples per iteration. Balance with `grad_accum_steps`.", ge=1)
    grad_accum_steps: Integer = _training(4, "Gradient accumulation steps for effective larger batch sizes.", ge=1)
    lr: Number = _training(1e-4, "Learning rate for the model (excluding encoder).", gt=0)
    lr_encoder: Number = _training(1.5e-4, "Learning rate for the backbone encoder.", gt=0)
    resolution: OptionalSize = _training(
        None,
        "Input image size (must be divisible by 56 for base, 32 for the others; another multiple of 56 is rounded up).",
        ge=1,
    )
    weight_decay: Number = _training(1e-4, "L2 regularization coefficient.", ge=0)
    device: Literal["cuda", "cpu", "mps"] = _training("cuda", "Training device: cuda, cpu, or mps.")
    use_ema: bool = _training(True, "Enable Exponential Moving Average of weights.")
    gradient_checkpointing: bool = _training(False, "Trade compute for memory during backprop.")
    checkpoint_interval: Integer = _training(10, "Save checkpoint every N epochs.", ge=1)
    resume: OptionalText = _training(
        None,
        "Path to checkpoint for resuming training; also s3://…, runs:/<run id>, or auto for the unfinished run of the "
        "same name.",
    )
    tensorboard: bool = _training(True, "Enable TensorBoard logging.")
    wandb: bool = _training(False, "Enable Weights & Biases logging.")
    project: OptionalText = _training(None, "W&B project name.")
    run: OptionalText = _training(None, "W&B run name; also the name of the MLflow run.")
    early_stopping: bool = _training(False, "Enable early stopping.")
    early_stopping_patience: Integer = _training(10, "Epochs without improvement before stopping.", ge=1)
    early_stopping_min_delta: Number = _training(0.001, "Minimum mAP change to qualify as improvement.", ge=0)
    early_stopping_use_ema: bool = _training(False, "Use EMA model for early stopping metrics.")

    model: ModelName = _run("medium", "RF-DETR variant: nano, small, medium, base or large.")
    pretrain_weights: str = _run(
        "", 'Starting weights: "" for the official ones, "none" for random initialisation, or a path or URI.'
    )
    eval_split: Literal["test", "valid"] = _run(
        "test", "Split that the final evaluation scores; valid is the split that chose the checkpoint."
    )
    dataset_format: Literal["", "coco", "yolo"] = _run(
        "", "Format of the dataset where its files cannot tell: coco or yolo."
    )
    dataset_task: Literal["", "detect", "segment", "pose", "obb"] = _run(
        "", "What the labels were made for, where their rows cannot tell: detect, segment, pose or obb."
    )
    on_data_error: Literal["fail", "warn", "drop"] = _run(
        "fail", "Errors in the dataset: fail stops before training, warn goes on, drop leaves out what is wrong."
    )
    on_data_warning: Literal["fail", "warn", "drop"] = _run(
        "warn", "Warnings about the dataset: the same choice as on_data_error."
    )
    seed: Integer = _run(0, "Seed of the initial weights, the data order and the augmentations.", ge=0, le=2**32 - 1)
    num_workers: Integer = _run(2, "Data loading processes of each training process.", ge=0)
    experiment: str = _run("rfdetr", "MLflow experiment.", min_length=1)
    checkpoint_every_steps: Integer = _run(
        0, "Optimizer steps between two commits of the training state inside an epoch; 0: only by time.", ge=0
    )
    checkpoint_every_seconds: Integer = _run(
        300, "Seconds between two commits of the training state inside an epoch; 0: only by steps.", ge=0
    )
    hang_timeout: Integer = _run(
        1800, "Seconds without a finished batch after which a training process is taken for hung and ended.", ge=10
    )
    gpu_hour_price: Number = _run(0.0, "Price of a GPU hour, for the cost in the goodput report; 0: none.", ge=0)
    launcher: Literal["pod"] = _run("pod", "Where torchrun runs: pod, the step's own pod.")
    num_nodes: Integer = _run(1, "Training nodes.", ge=1)
    gpus_per_node: Integer = _run(
        1, "GPUs, and so training processes, of a node; with device=cpu the number of CPU processes.", ge=1
    )
    cpu: str = _run("4", "CPU limit of the training pod, as a Kubernetes quantity.", pattern=r"^\d+(\.\d+)?m?$")
    memory: str = _run(
        "16Gi", "Memory limit of the training pod, as a Kubernetes quantity.", pattern=r"^\d+(\.\d+)?([KMGT]i?)?$"
    )
    extra_train_args: JsonObject = _run(
        {}, "Other arguments of rfdetr's TrainConfig or ModelConfig by name, as a JSON object."
    )

    @model_validator(mode="after")
    def _check_together(self) -> Parameters:
        """Check what one field alone cannot show."""
        if self.num_nodes > 1:
            raise ValueError("num_nodes: 1 is wanted with launcher=pod: one pod is one node")
        if self.early_stopping and self.early_stopping_use_ema and not self.use_ema:
            raise ValueError("early_stopping_use_ema: true needs use_ema=true, there is no EMA model to watch")
        check_extra_train_args(self.extra_train_args, self.model, owned=set(type(self).model_fields))
        resolve_resolution(self.model, self.resolution, self.extra_train_args)
        return self

    @property
    def effective_resolution(self) -> int:
        """Input size in pixels that the model is built with (560 on medium is rounded up to 576)."""
        return resolve_resolution(self.model, self.resolution, self.extra_train_args)

    @property
    def effective_batch_size(self) -> int:
        """Images that one optimizer step sees, over all processes."""
        return self.batch_size * self.grad_accum_steps * self.world_size

    @property
    def world_size(self) -> int:
        """Training processes over all nodes."""
        return self.num_nodes * self.gpus_per_node

    @property
    def gpus(self) -> int:
        """GPUs that a training pod needs."""
        return self.gpus_per_node if self.device == "cuda" else 0

    @property
    def notes(self) -> list[str]:
        """What is run otherwise than it was written, for the log and for the tracked run."""
        if self.resolution is None or self.resolution == self.effective_resolution:
            return []
        return [
            f"resolution: {self.resolution} does not fit model {self.model!r}; "
            f"it runs at {self.effective_resolution}, the next multiple of the model's block."
        ]

    def as_sent(self) -> dict[str, Any]:
        """The values as KFP carries them: plain JSON types, sentinels for what is not set."""
        return {name: sentinel(value, type(self).model_fields[name]) for name, value in self.model_dump().items()}


def parse(values: Mapping[str, Any]) -> Parameters:
    """Validate parameters that arrive as strings, whole floats or typed values.

    Args:
        values: Parameter values by name; missing ones take the contract's default.

    Returns:
        The validated parameters.

    Raises:
        ParameterError: With one line for each mistake: name, value, what is allowed, the nearest valid value.
    """
    try:
        return Parameters.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterError(explain(error, Parameters)) from None


def sentinel(value: Any, field: FieldInfo) -> Any:
    """Translate "not set" to the value that stands for it in KFP: ``0`` for numbers, ``""`` for text."""
    if value is not None:
        return value
    return 0 if field.annotation == (int | None) else ""


def default_of(name: str) -> Any:
    """Default of a parameter as KFP and the CLI show it; ``None`` when the parameter is required."""
    field = Parameters.model_fields[name]
    return None if field.is_required() else sentinel(field.get_default(call_default_factory=True), field)


def shown_default(name: str) -> str:
    """Default of a parameter for people: ``default: 100``, ``required``, ``not set``."""
    field = Parameters.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "default: the model's own" if name == "resolution" else "not set"
    return f"default: {json.dumps(default)}" if isinstance(default, bool | str | dict) else f"default: {default:g}"


def type_of(name: str) -> str:
    """Type of a parameter by the name that RF-DETR's documentation uses."""
    schema = Parameters.model_json_schema()["properties"][name]
    kind = schema.get("type") or schema["anyOf"][0]["type"]
    return {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict"}[kind]


def group_of(name: str) -> str:
    """``training`` for RF-DETR's own 22 parameters, ``run`` for ours."""
    extra = Parameters.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["group"])


TRAINING_PARAMETERS = tuple(name for name in Parameters.model_fields if group_of(name) == "training")
RUN_PARAMETERS = tuple(name for name in Parameters.model_fields if group_of(name) == "run")
